"""Magnitude pruning: the smallest weights of a copy are zeroed, and stay zero through fine-tuning (Han et al. 2015)."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.utils import prune as masks

from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.parents import FineTuning
from birthmark.theft.weights import copied, fits, restored
from birthmark.types import Samples
from birthmark.workshop.training import fit

PRESETS = {"wrt": {"amount": 0.5}, "deepjudge": {"amount": 0.2, "epochs": 10}, "fingerbench-9": {"amount": 0.9}}


@dataclass(frozen=True)
class Prune(FineTuning):
    """Zero the smallest weights of every linear and convolutional layer, then optionally fine-tune what is left.

    Attributes:
        amount: share of each layer's weights that is zeroed, 0 to 1.
        epochs: of fine-tuning afterwards; 0 for none, and then no data are needed.
    """

    name: ClassVar[str] = "prune"
    source_paper: ClassVar[str] = "Han et al. 2015"
    allowed: ClassVar[Allowed] = {"amount": "[0, 1)"}

    epochs: int = 0
    amount: float = 0.3

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        return self.tune(copy, fits(copy, data) if self.epochs else data, seed)

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        whole = deepcopy(copy)
        layers = [m for m in copy.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
        for layer in layers:
            size = layer.weight.detach().abs().flatten()
            zeroed = torch.zeros_like(size, dtype=torch.bool)
            zeroed[size.argsort(stable=True)[: round(self.amount * size.numel())]] = True
            masks.custom_from_mask(layer, "weight", ~zeroed.view_as(layer.weight))
        if self.epochs:
            fit(copy, data, self.how(len(data)), seed=seed)
        for layer in layers:
            masks.remove(layer, "weight")
        return restored(whole, copy)
