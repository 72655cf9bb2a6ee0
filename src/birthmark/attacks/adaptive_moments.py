"""Against moment kinship, which compares means and covariances of samples: pull them to those of real data.

What gives a generator away to `moments` is how its own moments differ from the data's. A thief with data of its own
takes a copy or a student and fine-tunes it to keep its answers, while the moments of every batch are drawn to the
data's.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from birthmark.attack import Attack
from birthmark.errors import DataError, SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import fits, obtained
from birthmark.types import Access, Samples
from birthmark.workshop.training import Training, fit

CLIP = 4.0  # standard deviations, as the method clips


@dataclass(frozen=True)
class AdaptiveMoments(Attack):
    """Take a copy (with the weights) or a student (without), then move its samples' moments to the data's.

    The data's targets are real samples (or true labels, one-hot). In their first whitened principal components their
    mean is 0 and their covariance the identity; the squared distances of a batch's from these are added to the loss.

    Attributes:
        strength: weight of the moments, 0 and up.
        components: principal components whose moments are drawn.
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        epochs, rate: of the student's training. batch: of both; large, since a batch's covariance is noisy.
        tune, tune_rate: of the fine-tuning.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    name: ClassVar[str] = "adaptive-moments"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("moments",)

    strength: float = 0.2
    components: int = 30
    student: str = ""
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 128
    tune: int = 40
    tune_rate: float = 1e-3
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.strength < 0 or self.components < 1:
            raise SettingError(f"expected strength >= 0 and components >= 1, got {self.strength} and {self.components}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        stolen, answers = obtained(target, data.inputs, self.student, how, seed=seed, least_steps=self.least_steps)
        data = fits(stolen, data[: len(answers)])
        if len(data) < 2:
            raise DataError(f"adaptive-moments: expected at least 2 samples to take moments of, got {len(data)}")
        real = (
            np.eye(answers.shape[1])[data.targets]
            if data.classes
            else data.targets.reshape(len(data), -1).astype(np.float64)
        )
        centre = real.mean(axis=0)
        _, spread, vectors = np.linalg.svd(real - centre, full_matrices=False)
        kept = min(self.components, int((spread > 1e-6 * max(spread[0], 1e-12)).sum()))
        if not kept:
            raise DataError(
                "adaptive-moments: all samples of the data are the same, so they have no moments to draw to; bring "
                "more data"
            )
        basis = vectors[:kept].T * np.sqrt(len(real)) / spread[:kept]
        middle, axes = torch.from_numpy(centre).float(), torch.from_numpy(basis).float()

        def drawn(_: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
            rows = outputs.softmax(1) if data.classes else outputs.flatten(1)
            y = ((rows - middle.to(rows.device)) @ axes.to(rows.device)).clamp(-CLIP, CLIP)
            second = y.T @ y / len(y) - torch.eye(kept, device=rows.device)
            return self.strength * (y.mean(0).square().mean() + second.square().mean())

        tuning = at_least(
            Training(epochs=self.tune, rate=self.tune_rate, batch=self.batch), len(data), self.least_steps // 5
        )
        return fit(stolen, data, tuning, seed=seed, soft=np.asarray(answers), penalty=drawn)
