"""Extraction with images that show nothing of the task: patchworks of the thief's own pictures.

The owner's stand-in for Knockoff with data of another domain: every query is pieced together from quarters of four
images, turned and mirrored, at times laid over another patchwork or inverted; the student learns the answers.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.errors import DataError
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import ask
from birthmark.theft.parents import Extraction
from birthmark.types import Array, Samples


@dataclass(frozen=True)
class Patchwork(Extraction):
    """Train a student from scratch on the target's answers to patchworks.

    Attributes:
        queries: patchworks asked.
    """

    name: ClassVar[str] = "patchwork"
    source_paper: ClassVar[str] = "ours, after Orekondy et al. 2019"
    allowed: ClassVar[Allowed] = {"queries": "[1, inf)"}

    epochs: int = 8
    rate: float = 1e-2
    batch: int = 128
    queries: int = 10_000

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if len(data.shape) != 3 or not len(data):
            raise DataError(
                f"patchwork needs images, got {len(data)} inputs of shape {data.shape}; use retrain or distill"
            )
        inputs = patchworks(data.inputs, self.queries, seed=seed)
        return self.learned(inputs, ask(target, inputs), target.answers, seed=seed)


def patchworks(images: Array, n: int, *, seed: int) -> Array:
    """`n` patchworks (n, c, h, w) of images in [0, 1]."""
    random = np.random.default_rng(seed)
    first, second = _quarters(images, n, random), _quarters(images, n, random)
    over, inverted = random.random((2, n, 1, 1, 1)) < np.array([0.3, 0.15])[:, None, None, None, None]
    made = np.where(over, np.maximum(first, second), first) * random.uniform(0.4, 1, (n, 1, 1, 1))
    return np.where(inverted, 1 - made, made).astype(np.float32)


def _quarters(images: Array, n: int, random: np.random.Generator) -> Array:
    h, w = images.shape[2:]
    made = np.empty((n, *images.shape[1:]), dtype=np.float32)
    for rows in (slice(0, h // 2), slice(h // 2, h)):
        for columns in (slice(0, w // 2), slice(w // 2, w)):
            part = images[random.integers(len(images), size=n)]
            part = np.where(random.random((n, 1, 1, 1)) < 0.5, part[..., ::-1], part)
            part = np.where(random.random((n, 1, 1, 1)) < 0.5, part[:, :, ::-1], part)
            if h == w:
                part = np.where(random.random((n, 1, 1, 1)) < 0.5, part.swapaxes(2, 3), part)
            made[:, :, rows, columns] = part[:, :, rows, columns]
    return made
