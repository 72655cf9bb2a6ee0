"""k-bit weights: a copy's weights are rounded to a symmetric grid, one scale an output channel, as kernels do."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from birthmark.attack import Attack
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.weights import copied
from birthmark.types import Access, Samples

PRESETS = {"wrt": {"bits": 5}, "modelreuse": {"bits": 8}}


@dataclass(frozen=True)
class Quantise(Attack):
    """Fake quantisation: every weight matrix and kernel is rounded to 2^bits - 1 levels; biases and norms stay.

    Attributes:
        bits: of each weight, 2 to 16.
    """

    name: ClassVar[str] = "quantise"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Jacob et al. 2018"
    allowed: ClassVar[Allowed] = {"bits": "[2, 16]"}

    bits: int = 8

    @torch.no_grad()
    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        top = 2 ** (self.bits - 1) - 1
        for weight in copy.parameters():
            if weight.ndim > 1:
                largest = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
                scale = torch.where(largest > 0, largest / top, 1.0)
                weight.copy_((weight / scale).round().clamp(-top, top) * scale)
        return copy.eval()
