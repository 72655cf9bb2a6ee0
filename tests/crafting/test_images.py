"""What pictures go through."""

import numpy as np
import pytest

from birthmark.crafting.images import cutmix, eight_bit, jpeg
from birthmark.errors import SettingError, ShapeError

IMAGES = np.random.default_rng(0).random((6, 3, 12, 12)).astype(np.float32)


def test_pixels_of_eight_bits_are_whole_and_close() -> None:
    rounded = eight_bit(IMAGES * 1.2 - 0.1)
    assert np.allclose(rounded * 255, np.round(rounded * 255), atol=1e-4)
    assert np.abs(rounded - np.clip(IMAGES * 1.2 - 0.1, 0, 1)).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(eight_bit(rounded), rounded)
    flat = IMAGES.reshape(6, -1) * 3
    assert np.array_equal(eight_bit(flat), flat)  # no pictures


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_worse_at_lower_quality(channels: int) -> None:
    images = IMAGES[:, :channels]
    high, low = (np.abs(jpeg(images, quality) - images).mean() for quality in (95, 10))
    assert high < low
    assert jpeg(images, 50).shape == images.shape
    with pytest.raises(ShapeError, match="expected grey or RGB"):
        jpeg(np.zeros((1, 2, 4, 4), np.float32), 50)


@pytest.mark.parametrize("kind", ["standard", "sac"])
def test_every_pixel_is_of_one_image_or_the_other(kind: str) -> None:
    images = np.arange(1, 41, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 12, 12), np.float32)
    mixed = cutmix(images, kind, seed=1)
    own = mixed == images
    assert all(len(np.unique(image)) <= 2 for image in mixed)
    assert own.any()
    assert not own.all()
    if kind == "sac":  # one small corner patch for all
        assert (own == own[:1])[~own.all(axis=(1, 2, 3))].all()
        assert (~own[0]).sum() <= (12 // 5) ** 2
    assert np.array_equal(mixed, cutmix(images, kind, seed=1))


def test_other_kinds_and_flat_inputs_are_refused() -> None:
    with pytest.raises(SettingError, match="'standard' or 'sac'"):
        cutmix(IMAGES, "none", seed=0)
    with pytest.raises(ShapeError, match="expected images"):
        cutmix(IMAGES.reshape(6, -1), "sac", seed=0)
