"""Data sets and their splits."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from birthmark import data
from birthmark.errors import BirthmarkError, DataError


def test_splits_are_disjoint_deterministic_and_whole() -> None:
    parts = data.load("digits", seed=3).parts
    rows = [row.tobytes() for part in parts.values() for row in part.inputs]
    assert len(rows) == 1797
    assert {name: len(p) for name, p in parts.items()} == {
        name: len(p) for name, p in data.split("digits", *data.digits(None), seed=3).parts.items()
    }
    for name in parts:
        assert np.array_equal(parts[name].inputs, data.split("digits", *data.digits(None), seed=3).parts[name].inputs)
        assert set(parts[name].targets) == set(range(10))
    assert not np.array_equal(parts["owner"].inputs, data.load("digits", seed=4)["owner"].inputs)


def test_pieces_of_a_split() -> None:
    digits = data.load("digits")
    whole = digits["attacker"]
    thirds = [digits[f"attacker[{i}/3]"] for i in range(3)]
    assert np.array_equal(np.concatenate([t.inputs for t in thirds]), whole.inputs)
    assert np.array_equal(digits["attacker[:100]"].inputs, whole.inputs[:100])
    with pytest.raises(BirthmarkError, match="no data split named 'atacker'; did you mean attacker"):
        digits["atacker"]


def idx(path: Path, array: np.ndarray) -> None:
    head = b"\0\0\x08" + bytes([array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def test_fashion_mnist_is_read_from_a_directory(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for which, n in (("train", 120), ("t10k", 40)):
        idx(tmp_path / f"{which}-images-idx3-ubyte.gz", random.integers(0, 256, (n, 28, 28)))
        idx(tmp_path / f"{which}-labels-idx1-ubyte.gz", random.integers(0, 10, n))
    found = data.load("fashion-mnist", directory=tmp_path)
    assert found.shape == (1, 28, 28)
    assert sum(len(part) for part in found.parts.values()) == 160
    assert 0 <= found["owner"].inputs.min() < found["owner"].inputs.max() <= 1
    cut = tmp_path / "train-labels-idx1-ubyte.gz"
    cut.write_bytes(gzip.compress(gzip.decompress(cut.read_bytes())[:-5]))
    with pytest.raises(DataError, match="expected 120 bytes of data, got 115; the file is truncated"):
        data.fashion_mnist(tmp_path)


def test_cifar10_in_its_binary_format(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (60, 3073), dtype=np.uint8)
    rows[:, 0] %= 10
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
    train, test = data.cifar10(tmp_path)
    assert train.inputs.shape == (120, 3, 32, 32)
    assert np.allclose(test.inputs[0, 1, 0, :3] * 255, rows[0, 1 + 1024 : 1 + 1027])
    (tmp_path / "test_batch.bin").write_bytes(rows.tobytes()[:-1])
    with pytest.raises(DataError, match="expected rows of 3,073 bytes"):
        data.cifar10(tmp_path)


def test_npz_of_images_and_of_values(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "a.npz", inputs=random.integers(0, 256, (90, 8, 9, 3), dtype=np.uint8), targets=np.arange(90) % 4
    )
    found = data.load(str(tmp_path / "a.npz"))
    assert (found.shape, found.classes) == ((3, 8, 9), 4)
    np.savez(tmp_path / "b.npz", inputs=random.normal(size=(90, 5)), targets=random.normal(size=90))
    values = data.load(str(tmp_path / "b.npz"))["owner"]
    assert (values.classes, values.outputs, values.targets.ndim) == (0, 1, 2)
    np.savez(tmp_path / "c.npz", inputs=np.array([{}], dtype=object), targets=np.zeros(1))
    with pytest.raises(DataError, match="without pickles"):
        data.load(str(tmp_path / "c.npz"))


def test_a_folder_of_images(tmp_path: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(40):
            Image.fromarray(random.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(tmp_path / label / f"{i}.png")
    found = data.load(str(tmp_path))
    assert (found.shape, found.classes) == ((3, 12, 10), 2)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"notes\.txt: not an image"):
        data.image_folder(tmp_path)


def test_unknown_names_get_near_misses() -> None:
    with pytest.raises(BirthmarkError, match="did you mean fashion-mnist"):
        data.load("fashion_mnist")
