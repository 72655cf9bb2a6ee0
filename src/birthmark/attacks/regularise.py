"""Strong regularisation, then recovery: weights are pulled to zero, and true labels bring back what the task needs.

Shafieinejad et al. 2021; settings as in the Watermark-Robustness-Toolbox (Lukas et al. 2022).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import copied, fits
from birthmark.types import Access, Samples
from birthmark.workshop.training import Training, fit

PRESETS = {"wrt": {"decay": 0.1, "epochs": 5, "recovery": 50, "least_steps": 0}}


@dataclass(frozen=True)
class Regularise(Attack):
    """Fine-tune with an L2 penalty on all weights, then fine-tune without.

    Attributes:
        decay: weight of the sum of squares in the loss, 0 and up.
        epochs, recovery: of the two phases.
        rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done, in each phase.
    """

    name: ClassVar[str] = "regularise"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Shafieinejad et al. 2021"

    decay: float = 0.1
    epochs: int = 3
    recovery: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def __post_init__(self) -> None:
        if self.decay < 0:
            raise SettingError(f"expected a penalty of 0 or more, got {self.decay}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        fits(copy, data)

        def squares(model: nn.Module, _: Tensor, __: Tensor) -> Tensor:
            return self.decay * torch.stack([p.square().sum() for p in model.parameters() if p.ndim > 1]).sum()

        shrink = Training(epochs=self.epochs, batch=self.batch, rate=self.rate, cycle=False)
        recover = Training(epochs=self.recovery, batch=self.batch, rate=self.rate)
        fit(copy, data, at_least(shrink, len(data), self.least_steps), seed=seed, penalty=squares)
        return fit(copy, data, at_least(recover, len(data), self.least_steps), seed=seed + 1)
