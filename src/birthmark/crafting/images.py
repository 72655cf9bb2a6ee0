"""What happens to pictures on their way to an API.

8-bit pixels, JPEG, cut-and-paste. NumPy only; images (n, c, h, w) in [0, 1].
"""

from io import BytesIO

import numpy as np
from PIL import Image

from birthmark.errors import SettingError, ShapeError
from birthmark.types import Array


def eight_bit(inputs: Array) -> Array:
    """Images clipped to [0, 1] and rounded to 1/255, as an upload does; inputs that are no images (n, d) unchanged."""
    if inputs.ndim != 4:
        return inputs
    return (np.round(np.clip(inputs, 0, 1) * 255) / 255).astype(np.float32)


def jpeg(images: Array, quality: int) -> Array:
    """Each image through a JPEG file of this quality, 1 to 95.

    Raises:
        ShapeError: not grey or RGB images (n, 1 or 3, h, w).
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(
            f"expected grey or RGB images (n, 1 or 3, h, w) to compress, got shape {images.shape}; use another query "
            "set"
        )
    made = []
    for image in np.round(np.clip(images, 0, 1) * 255).astype(np.uint8):
        file = BytesIO()
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
        back = np.asarray(Image.open(file), dtype=np.float32) / 255
        made.append(back[None] if back.ndim == 2 else back.transpose(2, 0, 1))
    return np.stack(made).astype(np.float32)


def cutmix(images: Array, kind: str, *, seed: int) -> Array:
    """CutMix: a box of every image is replaced by the same box of another one.

    Args:
        kind: "standard" draws for each pair an area share 1 - lambda, lambda ~ Beta(1, 1), and a uniform centre (Yun et
            al. 2019). "sac" is what the released code of SAC does: one permutation and one box for the whole batch, its
            side a fifth of the image's, its centre redrawn until both coordinates lie in the outer sixths, clipped at
            the border: a small corner patch.

    Raises:
        SettingError: another kind.
        ShapeError: no images.
    """
    if kind not in ("standard", "sac"):
        raise SettingError(f"expected CutMix of kind 'standard' or 'sac', got {kind!r}")
    if images.ndim != 4:
        raise ShapeError(f"expected images (n, c, h, w) to mix, got shape {images.shape}; use another query set")
    random = np.random.default_rng(seed)
    n, _, h, w = images.shape
    others, mixed = images[random.permutation(n)], images.copy()
    box = _corner(h, w, random) if kind == "sac" else None
    for i in range(n):
        rows, columns = box or _box(
            h, w, float(np.sqrt(1 - random.beta(1, 1))), int(random.integers(h)), int(random.integers(w))
        )
        mixed[i, :, rows, columns] = others[i, :, rows, columns]
    return mixed


def _corner(h: int, w: int, random: np.random.Generator) -> tuple[slice, slice]:
    while True:
        y, x = int(random.integers(h)), int(random.integers(w))
        if not h / 6 <= y < h * 5 / 6 and not w / 6 <= x < w * 5 / 6:
            return _box(h, w, 0.2, y, x)


def _box(h: int, w: int, side: float, y: int, x: int) -> tuple[slice, slice]:
    tall, wide = int(h * side), int(w * side)
    return slice(max(y - tall // 2, 0), min(y - tall // 2 + tall, h)), slice(
        max(x - wide // 2, 0), min(x - wide // 2 + wide, w)
    )
