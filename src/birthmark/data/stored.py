"""What a reader read: arrays as they lie on disk, scaled when rows are taken, so that they are held once at most."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from birthmark.errors import DataError
from birthmark.inputs import are_strings
from birthmark.types import Array, Form, Labels, Samples

LARGEST = 8 << 30  # bytes of float32 inputs; more is refused before it is read into memory
LAZY = 256 << 20  # bytes of float32 inputs from which on rows are read when they are taken
DEPTHS = (8, 10, 12, 14, 16)  # bits a pixel
UNKNOWN = -1  # of targets that nobody knows, and of their number of classes
CHUNK = 4096  # rows

Values = NDArray[np.generic]
Which = slice | NDArray[np.integer] | NDArray[np.bool_]


class Scaled:
    """Rows of an array that stays where it is: an array (n, *d) of float32 (or int64) whose rows are read and scaled
    when they are taken.
    """

    def __init__(self, raw: Values, places: Labels, scale: float) -> None:
        self.raw, self.places, self.scale = raw, places, scale
        one = _taken(raw[:1], scale)
        self.dtype, self.shape = one.dtype, (len(places), *one.shape[1:])
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, which: int | Which) -> Array:
        if isinstance(which, (int, np.integer)):
            return self[int(which) : int(which) + 1][0]
        return _taken(self.raw[self.places[which]], self.scale)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype=dtype)

    def part(self, which: Which) -> "Scaled":
        """The same with some of its rows."""
        return Scaled(self.raw, self.places[which], self.scale)


@dataclass(frozen=True)
class Stored:
    """Inputs (n, *d) of any real type, divided by `scale` when read, or (n,) strings; with targets as in `Samples`.

    Images are (n, h, w), (n, c, h, w) or (n, h, w, c); parts have shape (n, c, h, w). `classes` is UNKNOWN where no
    input has a target.
    """

    inputs: Values
    targets: Values
    classes: int
    scale: float = 1.0
    form: Form = Form.NUMBERS
    names: tuple[str, ...] = ()  # of classes

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, which: Which) -> Samples:
        """A part as samples; of a large set its rows stay where they are.

        Raises:
            ShapeError: inputs that are not finite.
        """
        if are_strings(self.inputs):
            rows = cast(Array, self.inputs[which])
        elif 4 * self.inputs.size <= LAZY:
            rows = _taken(self.inputs[which], self.scale)
        else:
            rows = cast(Array, Scaled(self.inputs, np.arange(len(self))[which], self.scale))
        return Samples(rows, self.targets[which], self.classes, self.form, self.names)


class Read(NamedTuple):
    """What a reader found: samples to train on, official held-out ones (or None), what the owner must know, and the
    words of its classes, if it has any.
    """

    train: Stored
    held: Stored | None = None
    notes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def _taken(rows: Values, scale: float) -> Array:
    """Rows as models take them: float32 less scale, channels first; whole numbers of 16 bits and more as int64."""
    if rows.dtype.kind in "iu" and rows.ndim == 2 and scale == 1:
        return rows.astype(np.int64)
    with np.errstate(over="ignore"):
        part = np.array(_channels_first(rows), dtype=np.float32, order="C")
    part /= np.float32(scale)
    return part


def _channels_first(x: Values) -> Values:
    if x.ndim == 3:
        return x[:, None]
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3) else x


def full_scale(largest: int) -> int:
    """The white of the shallowest usual depth that holds the largest pixel: 255, 1023, 4095, 16383 or 65535."""
    return next((2**bits - 1 for bits in DEPTHS if largest < 2**bits), 2**16 - 1)


def bounded(name: str, shape: tuple[int, ...]) -> None:
    """Raise DataError if float32 inputs of that shape would take more than LARGEST bytes."""
    size = 4 * int(np.prod(np.array(shape, dtype=object), initial=1))
    if size > LARGEST:
        raise DataError(
            f"{name}: inputs of shape {shape} would take {size / 2**30:,.1f} GB in memory, and the limit is "
            f"{LARGEST >> 30} GB; give a sample of them, smaller ones, or a folder of inputs.npy and targets.npy"
        )


def room(shape: tuple[int, ...], kind: DTypeLike, name: str) -> Values:
    """An empty array to read into: in memory, or if it is large in a file without a name, which goes with it.

    Raises:
        DataError: no space for that file (TMPDIR says where it lies).
    """
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if size <= LAZY // 4:
        return np.empty(shape, kind)
    try:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=kind, mode="r+", shape=shape)
    except OSError as error:
        raise DataError(f"{name}: {size >> 20} MB of pictures find no room ({error.strerror}); set TMPDIR") from None


def chunks(rows: Values) -> Iterator[Values]:
    """The rows in pieces that fit in memory."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def copies(*sets: Stored) -> tuple[Labels, ...]:
    """For each input of each set the number of the first equal one, counted through all sets."""
    first: dict[bytes, int] = {}
    return tuple(
        np.array([first.setdefault(_print(row), len(first)) for row in stored.inputs], dtype=np.int64)
        for stored in sets
    )


def _print(row: Values | str) -> bytes:
    return blake2b(row.encode() if isinstance(row, str) else row.tobytes(), digest_size=16).digest()
