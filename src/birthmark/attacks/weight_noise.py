"""Gaussian noise on a copy's weights, as FingerBench (NaturalFinger) grades it in nine levels."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from birthmark.attack import Attack
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.weights import copied
from birthmark.types import Access, Samples
from birthmark.workshop.training import seeded


@dataclass(frozen=True)
class WeightNoise(Attack):
    """Add noise of `level` times each parameter tensor's own standard deviation.

    Attributes:
        level: of the noise, 0 and up; .1 is hardly felt, .3 costs accuracy, 1 ruins most networks.
    """

    name: ClassVar[str] = "weight-noise"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Yang & Lai 2023 (NaturalFinger)"
    allowed: ClassVar[Allowed] = {"level": "[0, inf)"}

    level: float = 0.1

    @torch.no_grad()
    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        with seeded(seed):
            for weight in copy.parameters():
                if weight.numel() > 1:
                    weight.add_(self.level * weight.std() * torch.randn(weight.shape).to(weight.device))
        return copy.eval()
