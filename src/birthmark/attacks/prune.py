"""Magnitude pruning: the smallest weights of a copy are zeroed, and stay zero through fine-tuning (Han et al. 2015)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.utils import prune as masks

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import copied, fits, restored
from birthmark.types import Access, Samples
from birthmark.workshop.training import Training, fit

PRESETS = {"wrt": {"amount": 0.5}, "deepjudge": {"amount": 0.2, "epochs": 10}, "fingerbench-9": {"amount": 0.9}}


@dataclass(frozen=True)
class Prune(Attack):
    """Zero the smallest weights of every linear and convolutional layer, then optionally fine-tune what is left.

    Attributes:
        amount: share of each layer's weights that is zeroed, 0 to 1.
        epochs: of fine-tuning afterwards; 0 for none, and then no data are needed.
        rate, batch: of the fine-tuning.
        least_steps: small data are gone through until so many optimiser steps are done (if epochs > 0).
    """

    name: ClassVar[str] = "prune"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Han et al. 2015"

    amount: float = 0.3
    epochs: int = 0
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def __post_init__(self) -> None:
        if not 0 <= self.amount < 1:
            raise SettingError(f"expected a pruned share in [0, 1), got {self.amount}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        layers = [m for m in copy.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
        for layer in layers:
            size = layer.weight.detach().abs().flatten()
            zeroed = torch.zeros_like(size, dtype=torch.bool)
            zeroed[size.argsort(stable=True)[: round(self.amount * size.numel())]] = True
            masks.custom_from_mask(layer, "weight", ~zeroed.view_as(layer.weight))
        if self.epochs:
            how = at_least(Training(epochs=self.epochs, batch=self.batch, rate=self.rate), len(data), self.least_steps)
            fit(copy, fits(copy, data), how, seed=seed)
        for layer in layers:
            masks.remove(layer, "weight")
        return restored(target, copy)
