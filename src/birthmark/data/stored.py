"""What a reader read: arrays as they lie on disk, scaled when a part is taken, so that they are held once."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from birthmark.errors import DataError
from birthmark.types import Labels, Samples

LARGEST = 8 << 30  # bytes of float32 inputs; more is refused before it is read
DEPTHS = (8, 10, 12, 14, 16)  # bits a pixel

Values = NDArray[np.generic]
Which = slice | NDArray[np.integer] | NDArray[np.bool_]


@dataclass(frozen=True)
class Stored:
    """Inputs (n, *d) of any real type, divided by `scale` when read, with targets as in `Samples`.

    Images are (n, h, w), (n, c, h, w) or (n, h, w, c); parts have shape (n, c, h, w).
    """

    inputs: Values
    targets: Values
    classes: int
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, which: Which) -> Samples:
        """A part as float32 samples.

        Raises:
            ShapeError: inputs that are not finite.
        """
        with np.errstate(over="ignore"):
            part = np.array(_channels_first(self.inputs)[which], dtype=np.float32, order="C")
        part /= np.float32(self.scale)
        return Samples(part, self.targets[which], self.classes)


class Read(NamedTuple):
    """What a reader found: samples to train on, official held-out ones (or None), and what the owner must know."""

    train: Stored
    held: Stored | None = None
    notes: tuple[str, ...] = ()


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
            f"{LARGEST >> 30} GB; give a sample of them, or smaller ones"
        )


def copies(*sets: Stored) -> tuple[Labels, ...]:
    """For each input of each set the number of the first equal one, counted through all sets."""
    first: dict[bytes, int] = {}
    return tuple(
        np.array([first.setdefault(row.tobytes(), len(first)) for row in stored.inputs], dtype=np.int64)
        for stored in sets
    )
