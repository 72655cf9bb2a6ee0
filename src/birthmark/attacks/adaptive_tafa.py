"""Against TAFA and lineage, which look for the kinks of piecewise linear networks.

Round them off, and shake what is left.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import copied, fits, named
from birthmark.types import Access, Samples
from birthmark.workshop.architectures import smoothed
from birthmark.workshop.training import Training, fit


@dataclass(frozen=True)
class AdaptiveTAFA(Attack):
    """Put GELU for every ReLU module of a copy, and fine-tune it on true labels of noisy inputs.

    Attributes:
        swap: replace the ReLUs.
        noise: standard deviation of the noise, in units of the inputs' own standard deviation.
        copies: noisy versions of the data to train on.
        epochs, rate, batch: of the fine-tuning.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    name: ClassVar[str] = "adaptive-tafa"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("tafa", "lineage")

    swap: bool = True
    noise: float = 0.1
    copies: int = 2
    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 100

    def __post_init__(self) -> None:
        if self.noise < 0 or self.copies < 1:
            raise SettingError(f"expected noise >= 0 and copies >= 1, got {self.noise} and {self.copies}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        fits(copy, data)
        if self.swap:
            copy = named(smoothed(copy), copy, gelu=1)
        spread = self.noise * float(data.inputs.std())
        noise = np.random.default_rng(seed).normal(0, spread, (self.copies, *data.inputs.shape))
        shaken = (data.inputs + noise).reshape(-1, *data.shape).astype(np.float32)
        samples = Samples(shaken, np.concatenate([data.targets] * self.copies), data.classes)
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        return fit(copy, samples, at_least(how, len(samples), self.least_steps), seed=seed)
