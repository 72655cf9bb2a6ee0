"""Against crafted queries (CEM, IPGuard, NaturalFinger and their like): move the boundary where such queries must lie.

The thief makes the same kind of points: inputs that flip the stolen model but not independent ones. Teaching it the
independent models' answers there, beside adversarial training, takes away what a claim of that kind can ask about.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import fits, obtained, own_models
from birthmark.types import Access, Answers, Array, Samples
from birthmark.workshop.training import Training, device, fit, outputs, pgd, seeded


@dataclass(frozen=True)
class AdaptiveBoundary(Attack):
    """Take a copy or a student; in rounds, make decoys and fine-tune on data, decoys and PGD examples.

    Attributes:
        own: number of independent models that must agree on a decoy's label.
        rounds: of decoys and fine-tuning.
        epsilon, steps: L-inf radius, in input units, and steps of decoys and of adversarial training.
        share: of each batch that is replaced by adversarial examples, 0 to 1.
        student: architecture, when there are no weights to copy; "" is vgg for images and mlp for flat inputs.
        epochs, rate, batch: of students and independent models.
        tune, tune_rate: epochs and rate of each round's fine-tuning.
        least_steps: small data are gone through until so many optimiser steps are done; a sixth of it when fine-tuning.
    """

    name: ClassVar[str] = "adaptive-boundary"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("cem", "ipguard", "naturalfinger", "metafinger", "metav", "liteguard")

    own: int = 2
    rounds: int = 2
    epsilon: float = 0.1
    steps: int = 5
    share: float = 0.3
    student: str = ""
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    tune: int = 2
    tune_rate: float = 1e-3
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.own < 1 or self.rounds < 1 or self.epsilon <= 0 or self.steps < 1 or not 0 <= self.share <= 1:
            raise SettingError(f"expected own, rounds and steps >= 1, epsilon > 0 and share in [0, 1], got {self}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if target.answers is Answers.VALUES or not data.classes:
            raise SettingError(
                "adaptive-boundary: expected a classifier and class labels, got real values; use ftal or mixed"
            )
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        stolen, answers = obtained(target, data.inputs, self.student, how, seed=seed, least_steps=self.least_steps)
        own = own_models(
            self.own, stolen, fits(stolen, data), answers.shape[1], how, seed=seed, least_steps=self.least_steps
        )
        tuning = Training(
            epochs=self.tune,
            rate=self.tune_rate,
            batch=self.batch,
            adversarial=self.share,
            epsilon=self.epsilon,
            steps=self.steps,
        )
        for turn in range(self.rounds):
            points, labels = self._decoys(stolen, own, data, seed + turn)
            more = Samples(np.concatenate([data.inputs, points]), np.concatenate([data.targets, labels]), data.classes)
            fit(stolen, more, at_least(tuning, len(more), self.least_steps // 6), seed=seed + turn)
        return stolen

    def _decoys(
        self, stolen: nn.Module, own: list[nn.Module], data: Samples, seed: int
    ) -> tuple[Array, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        """Points near the data that flip the stolen model, with the label that all independent models give them."""
        made = list[Array]()
        with seeded(seed):
            for start in range(0, len(data), 500):
                part = data[start : start + 500]
                x, y = (
                    torch.from_numpy(part.inputs).to(device()),
                    torch.from_numpy(part.targets.astype(np.int64)).to(device()),
                )
                made.append(pgd(stolen, x, y, epsilon=self.epsilon, steps=self.steps).cpu().numpy())
        points = np.concatenate(made)
        said = np.stack([outputs(model, points).argmax(1) for model in own])
        useful = (said == said[0]).all(axis=0) & (outputs(stolen, points).argmax(1) != said[0])
        return points[useful], said[0][useful]
