"""Fine-tuning and re-training of a copy: last layer or all layers, as it is or with a fresh head.

The four classical modifications (Uchida et al. 2017; Adi et al. 2018): the thief has the weights and true labels. The
re-initialised head of `rtal` is trained alone first, and all layers then at a gentle rate: a thief wants a model that
works, and a steep fresh head would tear the features it came for.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from birthmark.settings import Allowed
from birthmark.theft.asking import at_least
from birthmark.theft.parents import FineTuning
from birthmark.theft.weights import last_layer
from birthmark.types import Samples
from birthmark.workshop.training import fit, seeded

PAPER = "Uchida et al. 2017; Adi et al. 2018"

PRESETS = {
    "sac": {"epochs": 30, "rate": 5e-4, "least_steps": 0},
    "wrt": {"epochs": 5, "rate": 1e-3, "batch": 64, "least_steps": 0},
    "wrt-rtll": {"epochs": 10, "rate": 1e-3, "batch": 64, "least_steps": 0},
    "deepjudge": {"epochs": 10, "rate": 1e-3, "least_steps": 0},
}


@dataclass(frozen=True)
class FTLL(FineTuning):
    """Fine-tune the last layer on true labels; everything before it, batch-norm statistics included, stays."""

    name: ClassVar[str] = "ftll"
    source_paper: ClassVar[str] = PAPER

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        return fit(copy, data, self.how(len(data)), seed=seed, only=last_layer(copy, data.inputs).parameters())


@dataclass(frozen=True)
class FTAL(FineTuning):
    """Fine-tune all layers on true labels."""

    name: ClassVar[str] = "ftal"
    source_paper: ClassVar[str] = PAPER

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        return fit(copy, data, self.how(len(data)), seed=seed)


@dataclass(frozen=True)
class RTLL(FineTuning):
    """Re-initialise the last layer, then train it alone."""

    name: ClassVar[str] = "rtll"
    source_paper: ClassVar[str] = PAPER

    rate: float = 1e-2
    least_steps: int = 120

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        return fit(copy, data, self.how(len(data)), seed=seed, only=_fresh_head(copy, data, seed).parameters())


@dataclass(frozen=True)
class RTAL(FineTuning):
    """Re-initialise the last layer, train it alone for `warm` epochs, then all layers.

    Attributes:
        warm: epochs (or `least_steps`, if that is more) of the fresh head alone, at ten times the rate; 0 for none.
    """

    name: ClassVar[str] = "rtal"
    source_paper: ClassVar[str] = PAPER
    allowed: ClassVar[Allowed] = {"warm": "[0, inf)"}

    warm: int = 2

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        head = _fresh_head(copy, data, seed)
        if self.warm:
            warming = replace(self.how(0), epochs=self.warm, rate=10 * self.rate)
            fit(copy, data, at_least(warming, len(data), self.least_steps), seed=seed, only=head.parameters())
        return fit(copy, data, self.how(len(data)), seed=seed)


def _fresh_head(module: nn.Module, data: Samples, seed: int) -> nn.Module:
    head = last_layer(module, data.inputs)
    with seeded(seed):
        head.reset_parameters()
    return head
