"""Families of toy models as plain functions: a family shares a centre, its members differ by a seed; and their pool."""

from collections.abc import Callable
from typing import Any

import numpy as np

from birthmark.answers import softmax
from birthmark.types import Floats, Labels, Samples

CLASSES, WIDTH = 5, 12
Predict = Callable[[Any], Floats]


def weights(seed: int, apart: float) -> tuple[Floats, Floats, Floats]:
    """What a member multiplies with: a centre shared by all, and its own way off it."""
    common, own = np.random.default_rng(0), np.random.default_rng(seed)
    w = common.normal(size=(WIDTH, CLASSES)) + apart * own.normal(size=(WIDTH, CLASSES)) / 2
    return w, own.normal(size=(WIDTH, 40)), apart * own.normal(size=(40, CLASSES)) / 3


def member(seed: int, apart: float = 0.6, sharp: float = 1.0) -> Predict:
    """A classifier (n, 12) -> probabilities (n, 5), non-linear in its own way."""
    w, v, u = weights(seed, apart)

    def predict(inputs: Any) -> Floats:
        x = np.asarray(inputs, dtype=np.float64)
        return softmax(sharp * (x @ w + np.tanh(x @ v) @ u))

    return predict


def labels(of: Predict) -> Callable[[Any], Labels]:
    return lambda inputs: of(inputs).argmax(axis=1)


def pool(n: int = 600, seed: int = 1, labelled: bool = True) -> Samples:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(n, WIDTH)).astype(np.float32)
    truth = (member(10_000, 0.0)(inputs) + 0.1 * random.normal(size=(n, CLASSES))).argmax(axis=1)
    return Samples(inputs, truth if labelled else np.full(n, -1), CLASSES)


def family(twins: int = 19, references: int = 4) -> tuple[Predict, list[Predict], list[Predict]]:
    """A source, its twins, and independent models."""
    return member(1), [member(100 + i) for i in range(twins)], [member(200 + i, 0.8) for i in range(references)]
