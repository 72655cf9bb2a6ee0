"""Fine-tuning on smoothed labels.

The copy's confidence, and what was hidden in it, is flattened (WRT; Lukas et al. 2022).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import copied, fits
from birthmark.types import Access, Samples
from birthmark.workshop.training import Training, fit

PRESETS = {"wrt": {"smoothing": 0.3, "epochs": 5, "least_steps": 0}}


@dataclass(frozen=True)
class LabelSmoothing(Attack):
    """Fine-tune all layers on true labels, of which a share is spread over all classes.

    Attributes:
        smoothing: that share, 0 to 1.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    name: ClassVar[str] = "label-smoothing"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Lukas et al. 2022"

    smoothing: float = 0.3
    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise SettingError(f"expected smoothing in [0, 1), got {self.smoothing}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        how = Training(epochs=self.epochs, batch=self.batch, rate=self.rate, smoothing=self.smoothing)
        return fit(copy, fits(copy, data), at_least(how, len(data), self.least_steps), seed=seed)
