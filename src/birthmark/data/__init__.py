"""Data sets, and their deterministic disjoint splits: owner, reserve, attacker, innocent, queries, test.

`digits` ships with scikit-learn. `fashion-mnist` is read where Debian's package `dataset-fashion-mnist` puts it, from
`--data-dir` or BIRTHMARK_DATA, or downloaded from its home with a checksum. CIFAR-10 is read in its official binary
format. Anything else comes as an .npz file or as a folder of images, one sub-folder a class.
"""

import gzip
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from birthmark.artifact import write_atomically
from birthmark.data import tasks
from birthmark.errors import DataError, nearest
from birthmark.types import Samples

FASHION_PLACES = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset/fashion-mnist")
FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_FILES = {  # SHA-256 of the uncompressed idx files: mirrors compress them differently
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


@dataclass(frozen=True)
class Data:
    """A data set cut into disjoint parts; `parts` maps a name to samples.

    The official test images (or a share of the rest where there are none) are held out: "queries" is where claims
    choose from, "test" measures accuracy and nothing else.
    """

    name: str
    parts: Mapping[str, Samples]

    def __getitem__(self, split: str) -> Samples:
        """A part, or a piece of it: "attacker", "attacker[:5000]", "reserve[1/3]" (the second third)."""
        match = re.fullmatch(r"([a-z]+)(?:\[(\d*):(\d*)\]|\[(\d+)/(\d+)\])?", split)
        if match is None or match[1] not in self.parts:
            raise nearest("data split", split, self.parts)
        whole = self.parts[match[1]]
        if match[5]:
            edges = np.linspace(0, len(whole), int(match[5]) + 1).astype(int)
            if int(match[4]) >= int(match[5]):
                raise DataError(f"expected a piece from 0 to {int(match[5]) - 1}, got {split!r}")
            return whole[edges[int(match[4])] : edges[int(match[4]) + 1]]
        return whole[int(match[2] or 0) : int(match[3] or len(whole))]

    @property
    def shape(self) -> tuple[int, ...]:
        return next(iter(self.parts.values())).shape

    @property
    def classes(self) -> int:
        return next(iter(self.parts.values())).classes


SHARES = {"owner": 0.30, "reserve": 0.16, "attacker": 0.30, "innocent": 0.24}  # of what is not held out


def load(name: str, *, seed: int = 0, directory: str | Path | None = None) -> Data:
    """Load a data set by name, or from a path (.npz, CIFAR-10 binary folder, image folder), and split it.

    The same name and seed give the same parts on every machine.

    Raises:
        DataError: not found, damaged, or too small to split.
    """
    return _load(name, seed, str(directory or os.environ.get("BIRTHMARK_DATA") or ""))


@lru_cache(maxsize=4)
def _load(name: str, seed: int, directory: str) -> Data:
    if name in tasks.TASKS:
        return Data(name, tasks.parts(name, seed, lambda: fashion_mnist(Path(directory) if directory else None)))
    if name in DATASETS:
        train, held = DATASETS[name](Path(directory) if directory else None)
    elif Path(name).exists():
        train, held = _from_path(Path(name))
    else:
        raise nearest("data set", name, [*DATASETS, *tasks.TASKS])
    return split(name, train, held, seed=seed)


def split(name: str, train: Samples, held: Samples | None, *, seed: int) -> Data:
    """Cut samples into disjoint parts by seed; without official test samples 30 % are held out."""
    if len(train) < 50:
        raise DataError(f"{name}: expected at least 50 samples to split, got {len(train)}")
    random = np.random.default_rng(seed)
    train = train[random.permutation(len(train))]
    if held is None:
        cut = round(0.3 * len(train))
        held, train = train[:cut], train[cut:]
    else:
        held = held[random.permutation(len(held))]
    ends = np.round(np.cumsum(list(SHARES.values())) * len(train)).astype(int)
    starts = [0, *ends[:-1]]
    half = len(held) // 2 if len(held) >= 4000 else round(len(held) * 0.6)
    parts = {part: train[int(a) : int(b)] for part, a, b in zip(SHARES, starts, ends, strict=True)}
    return Data(name, {**parts, "queries": held[:half], "test": held[half:]})


def digits(directory: Path | None) -> tuple[Samples, None]:
    """The 1,797 8x8 digits that ship with scikit-learn, in [0, 1]."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return Samples((raw.images[:, None] / 16).astype(np.float32), raw.target.astype(np.int64), 10), None


def fashion_mnist(directory: Path | None) -> tuple[Samples, Samples]:
    """Fashion-MNIST: 60,000 + 10,000 images of 28x28, 10 classes (Xiao, Rasul & Vollgraf 2017)."""
    places = [directory, directory / "fashion-mnist"] if directory else [Path(place) for place in FASHION_PLACES]
    place = next((p for p in places if p and (p / "train-images-idx3-ubyte.gz").is_file()), None) or _download_fashion(
        directory
    )
    return _idx_pair(place, "train"), _idx_pair(place, "t10k")


def _idx_pair(place: Path, which: str) -> Samples:
    images, labels = (
        read_idx(place / f"{which}-images-idx3-ubyte.gz"),
        read_idx(place / f"{which}-labels-idx1-ubyte.gz"),
    )
    return Samples((images[:, None] / 255).astype(np.float32), labels.astype(np.int64), 10)


def read_idx(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Read an idx file of bytes, gzipped or not.

    Raises:
        DataError: not an idx file, or truncated.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise DataError(f"{path}: expected an idx file of bytes, got something else")
    shape = tuple(int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3]))
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape))
    if body.size != np.prod(shape):
        raise DataError(f"{path}: expected {np.prod(shape)} bytes of data, got {body.size}; the file is truncated")
    return body.reshape(shape)


def _download_fashion(directory: Path | None) -> Path:
    import httpx2

    cache = (
        directory or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "birthmark" / "fashion-mnist"
    )
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


def cifar10(directory: Path | None) -> tuple[Samples, Samples]:
    """CIFAR-10 in its official binary format (`cifar-10-batches-bin`): rows of one label byte and 3,072 pixel bytes."""
    places = [p for p in (directory, directory and directory / "cifar-10-batches-bin") if p]
    place = next((p for p in places if (p / "data_batch_1.bin").is_file()), None)
    if place is None:
        raise DataError(
            "cifar10: expected --data-dir (or BIRTHMARK_DATA) to hold data_batch_1.bin ... test_batch.bin of the "
            "official binary version"
        )
    train = [_cifar_rows(p) for p in sorted(place.glob("data_batch_*.bin"))]
    return _joined(train), _cifar_rows(place / "test_batch.bin")


def _cifar_rows(path: Path) -> Samples:
    if not path.is_file():
        raise DataError(f"{path}: missing")
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    if not raw.size or raw.size % 3073:
        raise DataError(f"{path}: expected rows of 3,073 bytes, got {raw.size} bytes; the file is truncated")
    rows = raw.reshape(-1, 3073)
    if rows[:, 0].max() > 9:
        raise DataError(f"{path}: expected labels 0 to 9, got {rows[:, 0].max()}")
    return Samples((rows[:, 1:].reshape(-1, 3, 32, 32) / 255).astype(np.float32), rows[:, 0].astype(np.int64), 10)


def _joined(parts: list[Samples]) -> Samples:
    return Samples(
        np.concatenate([p.inputs for p in parts]), np.concatenate([p.targets for p in parts]), parts[0].classes
    )


def _from_path(path: Path) -> tuple[Samples, Samples | None]:
    if path.is_file():
        return npz(path)
    if (path / "data_batch_1.bin").is_file():
        return cifar10(path)
    return image_folder(path), None


def npz(path: Path) -> tuple[Samples, Samples | None]:
    """Arrays `inputs` (n, *d) and `targets` (n,) or (n, k), optionally `test_inputs` and `test_targets`; never pickles.

    Images are given as (n, h, w), (n, c, h, w) or (n, h, w, c); bytes are divided by 255.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npz without pickles ({error})") from None
    if not {"inputs", "targets"} <= set(arrays):
        raise DataError(f"{path}: expected arrays 'inputs' and 'targets', got {', '.join(sorted(arrays))}")
    train = _samples(arrays["inputs"], arrays["targets"], 0)
    if "test_inputs" not in arrays:
        return train, None
    return train, _samples(arrays["test_inputs"], arrays["test_targets"], train.classes)


def _samples(
    inputs: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    targets: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    classes: int,
) -> Samples:
    scale = 255 if inputs.dtype == np.uint8 else 1
    x = inputs.astype(np.float32) / scale
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if np.issubdtype(targets.dtype, np.integer) and targets.ndim == 1:
        return Samples(np.ascontiguousarray(x), targets.astype(np.int64), max(classes, int(targets.max()) + 1))
    return Samples(np.ascontiguousarray(x), targets.reshape(len(targets), -1).astype(np.float32), 0)


def image_folder(path: Path, *, largest: int = 100_000) -> Samples:
    """One sub-folder a class, sorted by name; images of one size, grey or RGB."""
    from PIL import Image, UnidentifiedImageError

    folders = sorted(p for p in path.iterdir() if p.is_dir())
    if len(folders) < 2:
        raise DataError(
            f"{path}: expected an .npz file, CIFAR-10's binary files, or one sub-folder of images a class; found "
            f"{len(folders)} sub-folders"
        )
    files = [
        (file, label) for label, folder in enumerate(folders) for file in sorted(folder.iterdir()) if file.is_file()
    ]
    if len(files) > largest:
        raise DataError(f"{path}: {len(files)} images do not fit in memory here (limit {largest}); use a sample")
    images, size = [], None
    for file, _ in files:
        try:
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "I", "F") else "RGB"))
        except (UnidentifiedImageError, OSError) as error:
            raise DataError(f"{file}: not an image ({error})") from None
        size = size or pixels.shape
        if pixels.shape != size:
            raise DataError(
                f"{file}: expected an image of shape {size} as the first one, got {pixels.shape}; resize them alike"
            )
        images.append(pixels)
    return _samples(np.stack(images), np.array([label for _, label in files]), len(folders))


DATASETS: dict[str, Callable[[Path | None], tuple[Samples, Samples | None]]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
}


def require(data: Data, task_shape: tuple[int, ...], outputs: int) -> None:
    """Raise DataError unless the data's inputs and classes are those of a model."""
    if data.shape != task_shape or data.classes != outputs:
        raise DataError(
            f"{data.name}: inputs of shape {data.shape} with {data.classes} classes do not fit a model for "
            f"{task_shape} with {outputs}"
        )
