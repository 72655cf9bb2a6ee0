"""Extraction with images that show nothing of the task: patchworks of the thief's own pictures.

The owner's stand-in for Knockoff with data of another domain: every query is pieced together from quarters of four
images, turned and mirrored, at times laid over another patchwork or inverted; the student learns the answers.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import DataError, SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import ask, train_student
from birthmark.types import Access, Array, Samples
from birthmark.workshop.training import Training


@dataclass(frozen=True)
class Patchwork(Attack):
    """Train a student from scratch on the target's answers to patchworks.

    Attributes:
        student: architecture by name; "" is vgg.
        queries: patchworks asked.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    name: ClassVar[str] = "patchwork"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours, after Orekondy et al. 2019"

    student: str = ""
    queries: int = 10_000
    epochs: int = 8
    rate: float = 1e-2
    batch: int = 128
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise SettingError(f"expected at least 1 query, got {self.queries}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if len(data.shape) != 3 or not len(data):
            raise DataError(
                f"patchwork needs images, got {len(data)} inputs of shape {data.shape}; use retrain or distill"
            )
        inputs = patchworks(data.inputs, self.queries, seed=seed)
        answers = ask(target, inputs)
        how = Training(epochs=self.epochs, batch=self.batch, rate=self.rate)
        return train_student(
            self.student, inputs[: len(answers)], answers, target.answers, how, seed=seed, least_steps=self.least_steps
        )


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
