"""What a patchwork is made of."""

import numpy as np
import pytest

from birthmark.attacks.patchwork import patchworks


def test_quarters_of_dark_and_bright_images_stay_dark_or_bright() -> None:
    images = np.repeat(np.array([0.0, 1.0], dtype=np.float32), 4)[:, None, None, None] * np.ones(
        (1, 1, 8, 8), np.float32
    )
    made = patchworks(images, 200, seed=0)
    assert made.shape == (200, 1, 8, 8)
    assert made.min() >= 0
    assert made.max() <= 1
    quarters = made.reshape(200, 2, 4, 2, 4).transpose(0, 1, 3, 2, 4).reshape(200, 4, 16)
    assert np.ptp(quarters, axis=2).max() == 0  # each is of one image
    assert (np.ptp(quarters[:, :, 0], axis=1) > 0).mean() > 0.5  # and not all of the same


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 8, 8)])
def test_the_seed_decides(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).random((20, *shape)).astype(np.float32)
    one, again, other = (patchworks(images, 30, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
