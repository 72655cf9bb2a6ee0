"""Against TAFA and lineage, which look for the kinks of piecewise linear networks.

Round them off, and shake what is left.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.settings import Allowed
from birthmark.theft.parents import FineTuning
from birthmark.theft.weights import named
from birthmark.types import Samples
from birthmark.workshop.architectures import smoothed
from birthmark.workshop.training import fit


@dataclass(frozen=True)
class AdaptiveTAFA(FineTuning):
    """Put GELU for every ReLU module of a copy, and fine-tune it on true labels of noisy inputs.

    Attributes:
        swap: replace the ReLUs.
        noise: standard deviation of the noise, in units of the inputs' own standard deviation.
        copies: noisy versions of the data to train on.
    """

    name: ClassVar[str] = "adaptive-tafa"
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("tafa", "lineage")
    allowed: ClassVar[Allowed] = {"noise": "[0, inf)", "copies": "[1, inf)"}

    least_steps: int = 100
    swap: bool = True
    noise: float = 0.1
    copies: int = 2

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        if self.swap:
            copy = named(smoothed(copy), copy, gelu=1)
        spread = self.noise * float(data.inputs.std())
        noise = np.random.default_rng(seed).normal(0, spread, (self.copies, *data.inputs.shape))
        shaken = (data.inputs + noise).reshape(-1, *data.shape).astype(np.float32)
        samples = Samples(shaken, np.concatenate([data.targets] * self.copies), data.classes)
        return fit(copy, samples, self.how(len(samples)), seed=seed)
