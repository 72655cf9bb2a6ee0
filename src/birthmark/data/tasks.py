"""Tasks beyond the three big image sets: small data of every kind a network is made for, and how its networks are made.

Regression on tables (scikit-learn's diabetes, generated friedman1) and on images (the angle by which a garment was
turned), image to image (finding the garment in clutter), a tabular autoencoder (scikit-learn's breast cancer),
forecasting (noisy Mackey-Glass series), generation (latents to garments, by a VAE and by a GAN) and classification
(garments). Images are Fashion-MNIST at 14x14 pixels. Every task is cut into the same parts as any data set; the same
seed gives the same bits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import rotate

from birthmark.data.stored import Read
from birthmark.types import Array, Samples

Images = Callable[[], Read]
PARTS = ("owner", "reserve", "attacker", "innocent", "queries", "test")


@dataclass(frozen=True)
class Task:
    """How the networks of a task are made.

    Attributes:
        data: makes its parts from a seed and Fashion-MNIST.
        recipe: architecture of the source and its twins.
        others: architectures of independents and of students.
        training: settings of the standard loop.
        values: real-valued outputs; false for classifiers.
        generator: inputs are latents.
    """

    data: Callable[[int, Images], Mapping[str, Samples]]
    recipe: str
    others: tuple[str, ...]
    training: Mapping[str, Any] = field(default_factory=dict)
    values: bool = True
    generator: bool = False


def parts(name: str, seed: int, images: Images) -> Mapping[str, Samples]:
    """The parts of a task's data."""
    return TASKS[name].data(seed, images)


def _cut(
    inputs: Array,
    targets: np.ndarray[Any, Any],
    sizes: Mapping[str, int],
    random: np.random.Generator,
    classes: int = 0,
) -> dict[str, Samples]:
    order = random.permutation(len(inputs))
    ends = np.cumsum(list(sizes.values()))
    y = (
        targets.astype(np.int64)
        if classes
        else np.ascontiguousarray(targets.reshape(len(targets), -1), dtype=np.float32)
    )
    return {
        part: Samples(
            np.ascontiguousarray(inputs[order[end - size : end]], dtype=np.float32), y[order[end - size : end]], classes
        )
        for (part, size), end in zip(sizes.items(), ends, strict=True)
    }


def _standard(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def _around(rows: Array, n: int, random: np.random.Generator) -> Array:
    """`n` made-up rows: normal, with the mean and covariance of `rows`.

    Small tables hold too few to choose queries from.
    """
    return random.multivariate_normal(rows.mean(axis=0), np.cov(rows.T), size=n, method="cholesky").astype(np.float32)


def _table(
    inputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], random: np.random.Generator
) -> dict[str, Samples]:
    n = len(inputs)
    cut = _cut(
        inputs,
        targets,
        {
            "owner": round(0.36 * n),
            "reserve": round(0.12 * n),
            "attacker": round(0.26 * n),
            "innocent": round(0.16 * n),
            "test": round(0.1 * n) - 1,
        },
        random,
    )
    queries = _around(np.concatenate([cut["owner"].inputs, cut["reserve"].inputs]), 3000, random)
    return {**cut, "queries": Samples(queries, np.zeros((len(queries), cut["owner"].outputs), np.float32), 0)}


def diabetes(seed: int, images: Images) -> dict[str, Samples]:
    """442 patients, 10 columns; a year's progression, standardised."""
    from sklearn.datasets import load_diabetes

    raw = load_diabetes()
    return _table(_standard(raw.data), _standard(raw.target), np.random.default_rng(seed))


def cancer(seed: int, images: Images) -> dict[str, Samples]:
    """569 tumours, 30 standardised columns, which are to be reproduced."""
    from sklearn.datasets import load_breast_cancer

    rows = _standard(load_breast_cancer().data)
    return _table(rows, rows, np.random.default_rng(seed))


SIZES = {"owner": 2500, "reserve": 2000, "attacker": 4000, "innocent": 2500, "queries": 3000, "test": 1000}


def friedman1(seed: int, images: Images) -> dict[str, Samples]:
    """Ten uniform columns of which five matter, noise of standard deviation 1.

    The target standardised (Friedman 1991).
    """
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(sum(SIZES.values()), n_features=10, noise=1.0, random_state=seed)
    return _cut(x, _standard(y), SIZES, np.random.default_rng(seed))


def series(seed: int, images: Images, steps: int = 24, ahead: int = 4) -> dict[str, Samples]:
    """Windows of 24 values and the next 4 of a Mackey-Glass series with noise .1, one starting point a part."""
    random = np.random.default_rng(seed)
    made = {}
    for part, size in SIZES.items():
        n = 3 * size + 300 + steps + ahead
        x = np.empty(n + 170)
        x[:17] = 1.2 + 0.3 * random.standard_normal(17)
        for t in range(17, len(x)):
            x[t] = 0.9 * x[t - 1] + 0.2 * x[t - 17] / (1 + x[t - 17] ** 10)
        x = (x[170:] - 0.93) / 0.23 + 0.1 * random.standard_normal(n)
        starts = 300 + 3 * np.arange(size)
        windows = x[starts[:, None] + np.arange(steps + ahead)]
        made[part] = Samples(windows[:, :steps].astype(np.float32), windows[:, steps:].astype(np.float32), 0)
    return made


def _garments(seed: int, images: Images) -> tuple[Array, np.ndarray[Any, Any], np.random.Generator]:
    """As many garments (n, 28, 28) as the parts take, shuffled by seed; the held-out ones last."""
    random = np.random.default_rng(seed)
    train, held, *_ = images()
    assert held is not None
    n = sum(SIZES.values())
    first, last = random.permutation(len(train))[: n - 4000], random.permutation(len(held))[:4000]
    return (
        np.concatenate([train[first].inputs[:, 0], held[last].inputs[:, 0]]),
        np.concatenate([train.targets[first], held.targets[last]]),
        random,
    )


def _halved(x: Array) -> Array:
    """Images (n, 28, 28) to (n, 1, 14, 14) by averaging."""
    return np.asarray(x.reshape(len(x), 1, 14, 2, 14, 2).mean(axis=(3, 5)), dtype=np.float32)


def _in_order(inputs: Array, targets: np.ndarray[Any, Any], classes: int = 0) -> dict[str, Samples]:
    class Still:
        def permutation(self, n: int) -> np.ndarray[Any, Any]:
            return np.arange(n)

    return _cut(inputs, targets, SIZES, Still(), classes)  # type: ignore[arg-type]


def garments(seed: int, images: Images) -> dict[str, Samples]:
    """Garments in 10 classes."""
    x, y, _ = _garments(seed, images)
    return _in_order(_halved(x), y, 10)


def turned(seed: int, images: Images) -> dict[str, Samples]:
    """Garments turned by an angle in [-45, 45] degrees; the target is the angle / 45."""
    x, _, random = _garments(seed, images)
    angles = random.uniform(-45, 45, len(x))
    x = np.stack([rotate(image, angle, reshape=False, order=1) for image, angle in zip(x, angles, strict=True)])
    return _in_order(_halved(x), angles / 45)


def hidden(seed: int, images: Images) -> dict[str, Samples]:
    """Garments at half strength behind clutter (noise and bars); the target is the garment's silhouette, 14x14."""
    x, _, random = _garments(seed, images)
    clean = _halved(x)
    cluttered = 0.5 * clean + 0.25 * random.random(clean.shape, dtype=np.float32)
    bars = random.integers(0, 14, (len(clean), 2))
    rows = np.arange(len(clean))
    cluttered[rows, 0, bars[:, 0], :] = 0.6
    cluttered[rows, 0, :, bars[:, 1]] = 0.4
    return _in_order(np.clip(cluttered, 0, 1), clean > 0.2)


def latents(seed: int, images: Images) -> dict[str, Samples]:
    """Standard normal latents (12,) and, not belonging to them, garments to learn from."""
    x, _, random = _garments(seed, images)
    return _in_order(random.standard_normal((len(x), 12)).astype(np.float32), _halved(x))


TASKS: Mapping[str, Task] = {
    "diabetes": Task(
        diabetes,
        "mlp:width=32",
        ("mlp:width=64,depth=1", "mlp:width=24,depth=3"),
        {"epochs": 25, "batch": 32, "rate": 2e-3, "bf16": False},
    ),
    "friedman1": Task(
        friedman1,
        "mlp:width=64",
        ("mlp:width=128", "mlp:width=32,depth=3"),
        {"epochs": 16, "batch": 64, "rate": 4e-3, "bf16": False},
    ),
    "rotation": Task(turned, "lenet:width=6", ("cnn:width=6", "mlp:width=96"), {"epochs": 6, "batch": 64}),
    "segmentation": Task(hidden, "unet:width=6", ("unet:width=5", "unet:width=8"), {"epochs": 4, "batch": 64}),
    "autoencoder": Task(
        cancer,
        "autoencoder",
        ("autoencoder:width=48", "autoencoder:width=24,code=8"),
        {"epochs": 80, "batch": 32, "rate": 4e-3, "bf16": False},
    ),
    "forecast": Task(
        series, "forecaster", ("forecaster:width=32", "forecaster:relu=1"), {"epochs": 6, "batch": 64, "bf16": False}
    ),
    "vae": Task(
        latents,
        "vae",
        ("vae:width=128", "vae:width=64,depth=2"),
        {"epochs": 12, "batch": 64, "rate": 3e-3, "bf16": False},
        generator=True,
    ),
    "gan": Task(
        latents,
        "gan:width=8",
        ("gan:width=6", "gan:width=10"),
        {"epochs": 5, "batch": 64, "rate": 2e-3, "weight_decay": 0.0, "cycle": False, "bf16": False},
        generator=True,
    ),
    "garments-mlp": Task(
        garments,
        "mlp:width=96",
        ("mlp:width=160,depth=1", "mlp:width=64,depth=3"),
        {"epochs": 12, "batch": 64, "rate": 3e-3, "bf16": False},
        values=False,
    ),
    "garments-cnn": Task(
        garments, "lenet:width=6", ("cnn:width=6", "mlp:width=96"), {"epochs": 6, "batch": 64}, values=False
    ),
    "garments-res": Task(
        garments, "res:width=4", ("cnn:width=6", "lenet:width=6"), {"epochs": 5, "batch": 64}, values=False
    ),
}
