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

from birthmark.errors import DataError
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.parents import Adaptive
from birthmark.theft.weights import fits
from birthmark.types import Floats, Samples
from birthmark.workshop.training import fit

CLIP = 4.0  # standard deviations, as the method clips


@dataclass(frozen=True)
class AdaptiveMoments(Adaptive):
    """Take a copy (with the weights) or a student (without), then move its samples' moments to the data's.

    The data's targets are real samples (or true labels, one-hot). In their first whitened principal components their
    mean is 0 and their covariance the identity; the squared distances of a batch's from these are added to the loss,
    for a fifth of the least steps.

    Attributes:
        strength: weight of the moments, 0 and up.
        components: principal components whose moments are drawn.
        batch: of all trainings; large, since a batch's covariance is noisy.
    """

    name: ClassVar[str] = "adaptive-moments"
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("moments",)
    allowed: ClassVar[Allowed] = {"strength": "[0, inf)", "components": "[1, inf)"}

    batch: int = 128
    tune: int = 40
    strength: float = 0.2
    components: int = 30

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        stolen, answers = self.taken(target, data, seed)
        data = fits(stolen, data[: len(answers)])
        if len(data) < 2:
            raise DataError(f"adaptive-moments: expected at least 2 samples to take moments of, got {len(data)}")
        real = data.targets.reshape(len(data), -1).astype(np.float64)
        centre, basis = self._whitened(
            np.eye(answers.shape[1])[data.targets.astype(np.int64)] if data.classes else real
        )
        middle, axes = torch.from_numpy(centre).float(), torch.from_numpy(basis).float()

        def drawn(_: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
            rows = outputs.softmax(1) if data.classes else outputs.flatten(1)
            y = ((rows - middle.to(rows.device)) @ axes.to(rows.device)).clamp(-CLIP, CLIP)
            second = y.T @ y / len(y) - torch.eye(axes.shape[1], device=rows.device)
            return self.strength * (y.mean(0).square().mean() + second.square().mean())

        return fit(stolen, data, self.tuning(len(data), 5), seed=seed, soft=np.asarray(answers), penalty=drawn)

    def _whitened(self, real: Floats) -> tuple[Floats, Floats]:
        """Mean (k,) and whitened principal components (k, c) of real samples (n, k)."""
        centre = real.mean(axis=0)
        _, spread, vectors = np.linalg.svd(real - centre, full_matrices=False)
        kept = min(self.components, int((spread > 1e-6 * max(spread[0], 1e-12)).sum()))
        if not kept:
            raise DataError(
                "adaptive-moments: all samples of the data are the same, so they have no moments to draw to; bring "
                "more data"
            )
        return centre, vectors[:kept].T * np.sqrt(len(real)) / spread[:kept]
