"""Against SAC: match another model's correlations between answers, on the same kind of samples that SAC asks.

The thief cuts and pastes samples as SAC does (CutMix of the thief's own data), and pulls the correlation matrix of the
stolen model's answers towards that of a small independent model.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.attack import Attack
from birthmark.crafting.images import cutmix
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import fits, obtained, own_models
from birthmark.types import Access, Answers, Samples
from birthmark.workshop.training import Training, device, fit


@dataclass(frozen=True)
class AdaptiveSAC(Attack):
    """Take a copy or a student, and fine-tune it on true labels with  weight * mean |C_stolen - C_own|  on mixed
    samples.

    Attributes:
        weight: of the correlation term, 0 and up.
        student: architecture, when there are no weights to copy; "" is vgg for images and mlp for flat inputs.
        epochs, rate, batch: of students and of the independent model.
        tune, tune_rate: epochs and rate of the fine-tuning.
        least_steps: small data are gone through until so many optimiser steps are done; a third of it when fine-tuning.
    """

    name: ClassVar[str] = "adaptive-sac"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("sac-normal", "sac-m", "sac-jc", "sac-source", "sac-w")

    weight: float = 10.0
    student: str = ""
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    tune: int = 5
    tune_rate: float = 2e-3
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise SettingError(f"expected a weight of 0 or more, got {self.weight}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if target.answers is Answers.VALUES:
            raise SettingError("adaptive-sac: expected a classifier, got an oracle of real values; use ftal or mixed")
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        stolen, answers = obtained(target, data.inputs, self.student, how, seed=seed, least_steps=self.least_steps)
        own = own_models(1, stolen, fits(stolen, data), answers.shape[1], how, seed=seed, least_steps=self.least_steps)[
            0
        ]
        mixed = cutmix(data.inputs, "standard", seed=seed) if data.inputs.ndim == 4 else data.inputs
        pool = torch.from_numpy(mixed)

        def correlations(model: nn.Module, _: Tensor, __: Tensor) -> Tensor:
            x = pool[torch.randint(len(pool), (self.batch,))].to(device())
            with torch.no_grad():
                wanted = correlation(own(x).float())
            return self.weight * (correlation(model(x).float()) - wanted).abs().mean()

        tuning = at_least(
            Training(epochs=self.tune, rate=self.tune_rate, batch=self.batch), len(data), self.least_steps // 3
        )
        return fit(stolen, data, tuning, seed=seed, penalty=correlations)


def correlation(logits: Tensor) -> Tensor:
    """(1 - cos) / 2 between every two rows of log-probabilities less their mean, (n, n)."""
    rows = functional.log_softmax(logits, 1)
    unit = functional.normalize(rows - rows.mean(1, keepdim=True), dim=1)
    return (1 - unit @ unit.T) / 2
