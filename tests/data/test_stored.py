"""What readers hold: scaled when a part is taken, in order and kind as they lie on disk."""

import numpy as np
import pytest

from birthmark.data.stored import Stored, bounded, copies, full_scale
from birthmark.errors import DataError, ShapeError


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ((6, 4, 5), (1, 4, 5)),
        ((6, 4, 5, 3), (3, 4, 5)),
        ((6, 3, 4, 5), (3, 4, 5)),
        ((6, 7), (7,)),
        ((6, 4, 5, 1), (1, 4, 5)),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float64, bool])
def test_a_part_is_float32_with_channels_first(shape: tuple[int, ...], part: tuple[int, ...], kind: type) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    samples = Stored(values, np.arange(6), 6, 5)[np.array([3, 1])]
    assert samples.shape == part
    assert samples.inputs.dtype == np.float32
    assert samples.inputs.flags.c_contiguous
    assert list(samples.targets) == [3, 1]
    assert np.isclose(np.sort(samples.inputs[0].ravel()) * 5, np.sort(values[3].ravel().astype(float))).all()


def test_a_part_never_shares_memory_with_what_was_read() -> None:
    values = np.ones((4, 3), np.float32)
    part = Stored(values, np.arange(4), 4, 2)[:2]
    assert (values == 1).all()
    assert not np.shares_memory(part.inputs, values)


def test_too_large_for_float32_is_not_finite() -> None:
    with pytest.raises(ShapeError, match="finite"):
        Stored(np.full((3, 2), 1e300), np.arange(3), 3)[:]


@pytest.mark.parametrize(
    ("largest", "white"),
    [(0, 255), (255, 255), (256, 1023), (4095, 4095), (4096, 16383), (16384, 65535), (65535, 65535)],
)
def test_full_scale_is_the_shallowest_depth_that_holds_the_largest(largest: int, white: int) -> None:
    assert full_scale(largest) == white


def test_sizes_are_refused_before_anything_is_made() -> None:
    bounded("small", (1000, 3, 224, 224))
    with pytest.raises(DataError, match=r"big: inputs of shape \(100000, 3, 224, 224\) would take 56\.1 GB"):
        bounded("big", (100_000, 3, 224, 224))
    with pytest.raises(DataError):
        bounded("beyond 64 bits", (2**40, 2**40))


def test_copies_are_numbered_by_the_first_of_them_through_all_sets() -> None:
    one = Stored(np.array([[1, 2], [3, 4], [1, 2]]), np.arange(3), 3)
    other = Stored(np.array([[5, 6], [3, 4]]), np.arange(2), 3)
    assert [list(part) for part in copies(one, other)] == [[0, 1, 0], [2, 1]]
