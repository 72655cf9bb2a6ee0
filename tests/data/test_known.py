"""Data sets with a name: idx files, CIFAR-10's binary format."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from birthmark import data
from birthmark.data.known import cifar10, digits, fashion_mnist, read_idx
from birthmark.errors import DataError


def idx(path: Path, array: np.ndarray) -> None:
    head = b"\0\0\x08" + bytes([array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


@pytest.fixture
def garments(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for which, n in (("train", 120), ("t10k", 40)):
        idx(tmp_path / f"{which}-images-idx3-ubyte.gz", random.integers(0, 256, (n, 28, 28)))
        idx(tmp_path / f"{which}-labels-idx1-ubyte.gz", random.integers(0, 10, n))
    return tmp_path


def test_digits_ship() -> None:
    train, held, notes, _ = digits(None)
    assert (len(train), held, notes) == (1797, None, ())
    assert (train[:5].shape, train[:].inputs.min(), train[:].inputs.max()) == ((1, 8, 8), 0, 1)


def test_fashion_mnist_is_read_from_a_directory(garments: Path) -> None:
    found = data.load("fashion-mnist", directory=garments)
    assert found.shape == (1, 28, 28)
    assert sum(len(part) for part in found.parts.values()) == 160
    assert 0 <= found["owner"].inputs.min() < found["owner"].inputs.max() <= 1


LABELS = "train-labels-idx1-ubyte.gz"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda raw: gzip.compress(gzip.decompress(raw)[:-5]),
            "expected 120 bytes of data, got 115; the file is truncated",
        ),
        (lambda raw: raw[: len(raw) // 2], "cannot be read"),
        (lambda raw: raw[:20] + bytes([raw[20] ^ 255]) + raw[21:], "cannot be read|expected|label"),
        (lambda raw: b"", "something else"),
        (lambda raw: gzip.compress(b"\0\0\x08\x00"), "expected an idx file of bytes with 1 axes"),
        (lambda raw: gzip.compress(b"\0\0\x08\x01" + b"\0\0\0\x78" + bytes([99]) * 120), "labels up to 99"),
        (lambda raw: gzip.compress(b"\0\0\x08\x01" + b"\0\0\0\x02" + bytes(2)), "120 images and 2 labels"),
    ],
)
def test_damaged_idx_files_are_one_line(garments: Path, change, said: str) -> None:
    path = garments / LABELS
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=said) as caught:
        fashion_mnist(garments)
    assert "\n" not in str(caught.value)


def test_idx_files_are_unpacked_no_further_than_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idx(tmp_path / "a.gz", np.zeros((100, 100)))
    monkeypatch.setattr("birthmark.data.known.LARGEST_IDX", 500)
    with pytest.raises(DataError, match="expected 10000 bytes of data, got 488"):
        read_idx(tmp_path / "a.gz", axes=2)


def test_cifar10_in_its_binary_format(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (60, 3073), dtype=np.uint8)
    rows[:, 0] %= 10
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
    train, test, *_ = cifar10(tmp_path)
    assert train[:].inputs.shape == (120, 3, 32, 32)
    assert test is not None
    assert np.allclose(test[:].inputs[0, 1, 0, :3] * 255, rows[0, 1 + 1024 : 1 + 1027])
    with pytest.raises(DataError, match="all held-out inputs lie in the training data, too"):
        data.load(str(tmp_path))
    (tmp_path / "test_batch.bin").write_bytes(rows.tobytes()[:-1])
    with pytest.raises(DataError, match="expected rows of 3,073 bytes"):
        cifar10(tmp_path)
    rows[7, 0] = 10
    (tmp_path / "test_batch.bin").write_bytes(rows.tobytes())
    with pytest.raises(DataError, match="expected labels 0 to 9, got 10"):
        cifar10(tmp_path)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(DataError, match="missing"):
        cifar10(tmp_path)
