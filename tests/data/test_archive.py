"""Arrays of the owner's own: what is understood, and what is refused in one line."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from birthmark import data
from birthmark.data import stored
from birthmark.data.archive import npz, single
from birthmark.data.stored import UNKNOWN
from birthmark.errors import BirthmarkError, DataError
from birthmark.types import Samples

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(90, 5)), np.arange(90) % 3
PICTURES = RANDOM.integers(0, 256, (90, 8, 9, 3), dtype=np.uint8)


def saved(path: Path, **arrays: object) -> Path:
    np.savez_compressed(path / "own.npz", **{key: np.asarray(value) for key, value in arrays.items()})  # type: ignore[arg-type]
    return path / "own.npz"


def test_images_values_and_an_official_test_set(tmp_path: Path) -> None:
    found = data.load(str(saved(tmp_path, inputs=PICTURES, targets=np.arange(90) % 4)))
    assert (found.shape, found.classes, found.notes) == ((3, 8, 9), 4, ())
    values = data.load(str(saved(tmp_path, inputs=X, targets=X[:, 0])))["owner"]
    assert (values.classes, values.outputs, values.targets.ndim) == (0, 1, 2)
    held = saved(tmp_path, inputs=X, targets=Y, test_inputs=X[:20] + 9, test_targets=np.full(20, 4))
    found = data.load(str(held))
    assert (len(found["queries"]), len(found["test"]), found.classes) == (12, 8, 5)


@pytest.mark.parametrize("kind", ["U", "S"])
def test_words_are_numbered_in_sorted_order_and_said(tmp_path: Path, kind: str) -> None:
    words = np.array(["żaba", "dog", "cat"])[Y]
    words = np.char.encode(words, "utf-8") if kind == "S" else words
    read = npz(saved(tmp_path, inputs=X, targets=words, test_inputs=X[:3] + 1, test_targets=words[:3]))
    assert read.notes == ("labels are words: 'cat' is class 0, 'dog' is class 1, 'żaba' is class 2",)
    assert list(read.train.targets[:4]) == [2, 1, 0, 2]
    assert read.held is not None
    assert list(read.held.targets) == [2, 1, 0]
    with pytest.raises(DataError, match="test_targets has the label 'emu'"):
        npz(saved(tmp_path, inputs=X, targets=["cat", "dog"] * 45, test_inputs=X[:2], test_targets=["cat", "emu"]))


@pytest.mark.parametrize("targets", [Y[:, None], Y.astype(np.uint8), Y > 0, Y.astype(np.uint64)])
def test_class_numbers_of_any_integer_kind(tmp_path: Path, targets: np.ndarray) -> None:
    read = npz(saved(tmp_path, inputs=X, targets=targets))
    assert read.train.targets.dtype == np.int64
    assert read.train.targets.shape == (90,)
    assert read.train.classes == int(targets.max()) + 1


@pytest.mark.parametrize(("largest", "white"), [(65535, 65535), (4000, 4095), (900, 1023), (200, 255)])
def test_16_bit_images_are_divided_by_the_depth_they_need(tmp_path: Path, largest: int, white: int) -> None:
    pictures = RANDOM.integers(0, largest, (90, 8, 8), dtype=np.uint16)
    pictures[0, 0, 0] = largest
    read = npz(saved(tmp_path, inputs=pictures, targets=Y))
    assert np.isclose(read.train[:].inputs.max(), largest / white)
    assert white == 255 or f"divided by {white}" in read.notes[0]


def test_pictures_that_are_neither_bytes_nor_in_0_1_are_taken_as_they_are_and_said(tmp_path: Path) -> None:
    read = npz(saved(tmp_path, inputs=PICTURES.astype(np.float64), targets=Y))
    assert read.train[:].inputs.max() == 255
    assert "taken as they are" in read.notes[0]


GOOD = {"inputs": X, "targets": Y}
REFUSED = {
    "test inputs alone": (GOOD | {"test_inputs": X}, "expected an array 'test_targets'"),
    "test targets alone": (GOOD | {"test_targets": Y}, "expected an array 'test_inputs'"),
    "three other names": ({"a": X, "b": Y, "c": Y}, "expected arrays inputs and targets, got a, b, c; write it with"),
    "two alike": ({"a": X, "b": X}, "expected arrays inputs and targets, got a, b"),
    "no targets": ({"inputs": X}, "expected inputs with targets, got inputs alone"),
    "nothing": ({}, "expected an array 'inputs', got none"),
    "empty inputs": (GOOD | {"inputs": X[:0]}, r"got float64 of shape \(0, 5\)"),
    "empty targets": (GOOD | {"targets": Y[:0]}, "targets: expected class numbers"),
    "no columns": (GOOD | {"inputs": X[:, :0]}, r"of shape \(90, 0\)"),
    "a list of numbers": (GOOD | {"inputs": X[:, 0]}, r"of shape \(90,\)"),
    "one number": (GOOD | {"inputs": np.float64(3)}, r"of shape \(\)"),
    "one target": (GOOD | {"targets": np.int64(3)}, r"of shape \(\)"),
    "objects": (GOOD | {"inputs": np.array([{}] * 90, dtype=object)}, "an object array"),
    "object targets": (GOOD | {"targets": np.array(["a", None] * 45, dtype=object)}, "an object array"),
    "complex": (GOOD | {"inputs": X.astype(complex)}, "got complex128"),
    "dates": (GOOD | {"targets": np.zeros(90, "datetime64[s]")}, "targets: expected class numbers"),
    "words as inputs": (GOOD | {"inputs": np.full((90, 2), "a")}, "got <U1"),
    "a structure": (GOOD | {"inputs": np.zeros((90, 2), [("a", "f4")])}, "expected numbers"),
    "from 1": (GOOD | {"targets": Y + 1}, "labels go from 1 to 3; count from 0"),
    "below 0": (GOOD | {"targets": Y - 1}, "class numbers start at 0, got -1"),
    "far apart": (GOOD | {"targets": Y * 500}, "3 different labels up to 1000; number them from 0"),
    "huge": (GOOD | {"targets": Y.astype(np.uint64) + np.uint64(2**63)}, "class numbers start at 0"),
    "floats for labels": (GOOD | {"targets": Y.astype(float)}, "stored as float64; give class numbers as integers"),
    "one-hot": (GOOD | {"targets": np.eye(3)[Y]}, "one-hot rows; give class numbers"),
    "one-hot integers": (GOOD | {"targets": np.eye(3, dtype=int)[Y]}, "one-hot rows"),
    "NaN in targets": (GOOD | {"targets": np.where(Y > 1, np.nan, 0.5)}, "not all finite"),
    "NaN in inputs": (GOOD | {"inputs": np.where(X > 2, np.nan, X)}, "expected finite inputs"),
    "infinite in float32": (GOOD | {"inputs": X * 1e300}, "expected finite inputs"),
    "fewer targets": (GOOD | {"targets": Y[:80]}, "got 90 inputs and 80 targets"),
    "other test shape": (
        GOOD | {"test_inputs": X[:, :4], "test_targets": Y},
        r"expected inputs of shape \(5,\), got \(4,\)",
    ),
    "other test targets": (GOOD | {"test_inputs": X, "test_targets": X[:, 0]}, "of different kinds"),
    "words against numbers": (GOOD | {"test_inputs": X, "test_targets": np.full(90, "a")}, "expected class numbers"),
    "too few": ({"inputs": X[:40], "targets": Y[:40]}, "expected at least 50 samples to split, got 40"),
    "few different": (
        {"inputs": np.tile(X[:30], (10, 1)), "targets": np.tile(Y[:30], 10)},
        "expected at least 50 samples to split, got 30 different ones among 300",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(tmp_path: Path, name: str) -> None:
    arrays, said = REFUSED[name]
    with pytest.raises(BirthmarkError, match=said) as caught:
        data.load(str(saved(tmp_path, **arrays)))
    assert "\n" not in str(caught.value)


def bytes_of(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def array(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def test_a_single_array_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(array(X))
    assert single(tmp_path / "a.npy").train.classes == UNKNOWN
    with pytest.raises(DataError, match="expected inputs with targets, got inputs alone"):
        data.load(str(tmp_path / "a.npy"))


@pytest.mark.parametrize(
    "blob", [b"", b"P", b"PK\3\4", b"not an archive at all", bytes(1000), b"\x89PNG\r\n\x1a\n" * 20]
)
def test_no_archive_at_all(tmp_path: Path, blob: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(blob)
    with pytest.raises(DataError, match="is empty" if not blob else r"is no \.npz file"):
        npz(tmp_path / "a.npz")


def test_truncated_anywhere(tmp_path: Path) -> None:
    whole = bytes_of(**GOOD)
    for end in range(0, len(whole), 97):
        (tmp_path / "a.npz").write_bytes(whole[:end])
        with pytest.raises(DataError):
            npz(tmp_path / "a.npz")


def test_one_byte_changed_anywhere_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    whole, path = bytes_of(inputs=X[:60].round(1), targets=Y[:60]), tmp_path / "a.npz"
    refused = 0
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            read = npz(path)
        except DataError:
            refused += 1
        else:
            assert np.array_equal(read.train.inputs, X[:60].round(1))
            refused += read.train.classes == UNKNOWN  # by whoever needs targets
            assert read.train.classes == UNKNOWN or np.array_equal(read.train.targets, Y[:60])
    assert refused > len(whole) / 5 / 2


def member(path: Path, blob: bytes, name: str = "inputs.npy") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, blob)
        file.writestr("targets.npy", array(Y))
    return path


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (array(X)[:-8], "it is damaged"),
        (array(X) + b"more", "it is damaged"),
        (array(X).replace(b"(90, 5)", b"(9999999999999, 5)"), "."),
        (array(X).replace(b"(90, 5), }        ", b"(90, 99999999), } "), "it is damaged"),
        (array(X).replace(b"'<f8'", b"'|O8'"), "an object array"),
        (array(X).replace(b"'<f8'", b"'f8x'"), "cannot be read"),
        (array(X).replace(b"False", b"__import__('os').abort()"[:5]), "cannot be read"),
        (b"\x93NUMPY\x09\0" + array(X)[8:], "cannot be read"),
        (b"", "cannot be read"),
        (b"\x93NUMPY\x02\0" + struct.pack("<I", 2**31) + b"{", "cannot be read"),
    ],
)
def test_arrays_that_lie_about_themselves(tmp_path: Path, blob: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        npz(member(tmp_path / "a.npz", blob))


def test_a_bomb_is_refused_by_what_it_declares_and_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = member(tmp_path / "a.npz", array(np.zeros((1000, 5000))))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("birthmark.data.archive.LARGEST", 1 << 20)
    monkeypatch.setattr("birthmark.data.archive._array", None)  # nothing is read
    with pytest.raises(DataError, match=r"unpacks to 40,000,9.. bytes, more than 1,048,576"):
        npz(path)


def test_other_members_are_not_unpacked(tmp_path: Path) -> None:
    path = member(tmp_path / "a.npz", array(X))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("readme.txt", "hello")
        file.writestr("../outside.npy", array(X))
    assert len(npz(path).train) == 90
    assert not (tmp_path.parent / "outside.npy").exists()


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("X", "y"), ("images", "labels"), ("a", "b")])
def test_other_names_are_understood_and_said(tmp_path: Path, names: tuple[str, str]) -> None:
    read = npz(saved(tmp_path, **{names[0]: PICTURES, names[1]: Y}))
    assert read.notes == (f"read {names[0]} as inputs, {names[1]} as targets",)
    assert read.train.targets.tolist() == Y.tolist()


def test_usual_names_of_a_test_set_are_understood(tmp_path: Path) -> None:
    read = npz(saved(tmp_path, x_train=X, y_train=Y, x_test=X[:9] + 1, y_test=Y[:9]))
    assert read.held is not None
    assert len(read.held) == 9


def test_whole_numbers_in_rows_stay_whole_and_that_is_said(tmp_path: Path) -> None:
    read = npz(saved(tmp_path, inputs=np.arange(270).reshape(90, 3), targets=Y))
    assert read.train[:].inputs.dtype == np.int64
    assert "stay so, as token ids do" in read.notes[0]


def test_texts_are_inputs(tmp_path: Path) -> None:
    words = np.array([f"text {i} ä" for i in range(90)])
    for given in (words, np.char.encode(words, "utf-8")):
        read = npz(saved(tmp_path, inputs=given, targets=Y))
        assert read.train[:].inputs.tolist() == words.tolist()


def test_arrays_in_files_of_their_own_stay_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LAZY", 100)
    np.save(tmp_path / "inputs.npy", PICTURES)
    np.save(tmp_path / "targets.npy", Y)
    read = data._from_path(tmp_path)
    part = read.train[np.array([3, 1, 7])]
    assert isinstance(part.inputs, stored.Scaled)
    assert part.shape == (3, 8, 9)
    whole = PICTURES.transpose(0, 3, 1, 2)[[3, 1, 7]].astype(np.float32) / 255
    assert np.allclose(part.inputs[:], whole)
    assert np.allclose(part[1:].inputs[np.array([1])], whole[2:])
    assert part.digest == Samples(part.inputs[:], part.targets, 3).digest
    assert single(tmp_path / "inputs.npy").train.classes == -1
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"bad\.npy: no whole \.npy file"):
        single(tmp_path / "bad.npy")
