"""Data sets with a name.

`digits` ships with scikit-learn. `fashion-mnist` is read where Debian's package `dataset-fashion-mnist` puts it, from
`--data-dir` or BIRTHMARK_DATA, or downloaded from its home with a checksum. CIFAR-10 is read in its official binary
format.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from hashlib import sha256
from math import prod
from pathlib import Path

import httpx2
import numpy as np

from birthmark.artifact import write_atomically
from birthmark.data.stored import Read, Stored
from birthmark.errors import DataError

FASHION_PLACES = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset/fashion-mnist")
FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_FILES = {  # SHA-256 of the uncompressed idx files: mirrors compress them differently
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
LARGEST_IDX = 1 << 30  # bytes of an unpacked idx file


def digits(directory: Path | None) -> Read:
    """The 1,797 8x8 digits that ship with scikit-learn, in [0, 1]."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return Read(Stored((raw.images / 16).astype(np.float32), raw.target.astype(np.int64), 10))


def fashion_mnist(directory: Path | None) -> Read:
    """Fashion-MNIST: 60,000 + 10,000 images of 28x28, 10 classes (Xiao, Rasul & Vollgraf 2017).

    Raises:
        DataError: a file is damaged, or the download failed.
    """
    places = [directory, directory / "fashion-mnist"] if directory else [Path(place) for place in FASHION_PLACES]
    place = next((p for p in places if (p / "train-images-idx3-ubyte.gz").is_file()), None)
    place = place or _download_fashion(directory)
    return Read(_idx_pair(place, "train"), _idx_pair(place, "t10k"))


def _idx_pair(place: Path, which: str) -> Stored:
    images = read_idx(place / f"{which}-images-idx3-ubyte.gz", axes=3)
    labels = read_idx(place / f"{which}-labels-idx1-ubyte.gz", axes=1)
    if len(images) != len(labels) or labels.max(initial=0) > 9:
        raise DataError(
            f"{place}: expected a label from 0 to 9 for each {which} image, got {len(images)} images and "
            f"{len(labels)} labels up to {labels.max(initial=0)}"
        )
    return Stored(images, labels.astype(np.int64), 10, 255)


def read_idx(path: Path, *, axes: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Read an idx file of bytes with so many axes, gzipped or not.

    Raises:
        DataError: not an idx file, of other axes, or truncated.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(LARGEST_IDX)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if len(raw) < 4 + 4 * axes or raw[:4] != bytes([0, 0, 8, axes]):
        raise DataError(f"{path}: expected an idx file of bytes with {axes} axes, got something else")
    shape = tuple(int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * axes)
    if body.size != prod(shape):
        raise DataError(f"{path}: expected {prod(shape)} bytes of data, got {body.size}; the file is truncated")
    return body.reshape(shape)


def _download_fashion(directory: Path | None) -> Path:
    cache = directory or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "birthmark", "fashion-mnist")
    for name, digest in FASHION_FILES.items():
        if (cache / name).is_file():
            continue
        try:
            blob = httpx2.get(FASHION_HOME + name, timeout=30, follow_redirects=False).raise_for_status().content
        except httpx2.HTTPError as error:
            raise DataError(
                f"fashion-mnist: not found in {', '.join(FASHION_PLACES)} and the download failed ({error}); install "
                "Debian's package dataset-fashion-mnist or give --data-dir"
            ) from None
        if sha256(gzip.decompress(blob)).hexdigest() != digest:
            raise DataError(
                f"fashion-mnist: {name} was downloaded with another checksum than expected; nothing was kept"
            )
        write_atomically(cache / name, blob)
    return cache


def cifar10(directory: Path | None) -> Read:
    """CIFAR-10 in its official binary format (`cifar-10-batches-bin`): rows of one label byte and 3,072 pixel bytes.

    Raises:
        DataError: a file is missing, truncated, or has other labels.
    """
    places = [p for p in (directory, directory and directory / "cifar-10-batches-bin") if p]
    place = next((p for p in places if (p / "data_batch_1.bin").is_file()), None)
    if place is None:
        raise DataError(
            "cifar10: expected --data-dir (or BIRTHMARK_DATA) to hold data_batch_1.bin ... test_batch.bin of the "
            "official binary version"
        )
    train = np.concatenate([_cifar_rows(path) for path in sorted(place.glob("data_batch_*.bin"))])
    return Read(_cifar_stored(train), _cifar_stored(_cifar_rows(place / "test_batch.bin")))


def _cifar_rows(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if not path.is_file():
        raise DataError(f"{path}: missing")
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    if not raw.size or raw.size % 3073:
        raise DataError(f"{path}: expected rows of 3,073 bytes, got {raw.size} bytes; the file is truncated")
    if raw[::3073].max() > 9:
        raise DataError(f"{path}: expected labels 0 to 9, got {raw[::3073].max()}")
    return raw.reshape(-1, 3073)


def _cifar_stored(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Stored:
    return Stored(pixels[:, 1:].reshape(-1, 3, 32, 32), pixels[:, 0].astype(np.int64), 10, 255)


DATASETS: dict[str, Callable[[Path | None], Read]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
}
