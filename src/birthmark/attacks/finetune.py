"""Fine-tuning and re-training of a copy: last layer or all layers, as it is or with a fresh head.

The four classical modifications (Uchida et al. 2017; Adi et al. 2018): the thief has the weights and true labels. The
re-initialised head of `rtal` is trained alone first, and all layers then at a gentle rate: a thief wants a model that
works, and a steep fresh head would tear the features it came for.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from birthmark.attack import Attack
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import copied, fits, last_layer
from birthmark.types import Access, Samples
from birthmark.workshop.training import Training, fit, seeded

PAPER = "Uchida et al. 2017; Adi et al. 2018"

PRESETS = {
    "sac": {"epochs": 30, "rate": 5e-4, "least_steps": 0},
    "wrt": {"epochs": 5, "rate": 1e-3, "batch": 64, "least_steps": 0},
    "wrt-rtll": {"epochs": 10, "rate": 1e-3, "batch": 64, "least_steps": 0},
    "deepjudge": {"epochs": 10, "rate": 1e-3, "least_steps": 0},
}


@dataclass(frozen=True)
class FTLL(Attack):
    """Fine-tune the last layer on true labels; everything before it, batch-norm statistics included, stays.

    Attributes:
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    name: ClassVar[str] = "ftll"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = PAPER

    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        head = last_layer(copy, fits(copy, data).inputs)
        return fit(copy, data, _how(self, len(data)), seed=seed, only=head.parameters())


@dataclass(frozen=True)
class FTAL(Attack):
    """Fine-tune all layers on true labels.

    Attributes:
        epochs, rate, batch, least_steps: as in `FTLL`.
    """

    name: ClassVar[str] = "ftal"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = PAPER

    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        return fit(copy, fits(copy, data), _how(self, len(data)), seed=seed)


@dataclass(frozen=True)
class RTLL(Attack):
    """Re-initialise the last layer, then train it alone.

    Attributes:
        epochs, rate, batch, least_steps: as in `FTLL`.
    """

    name: ClassVar[str] = "rtll"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = PAPER

    epochs: int = 5
    rate: float = 1e-2
    batch: int = 64
    least_steps: int = 120

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        head = _fresh_head(copy, fits(copy, data), seed)
        return fit(copy, data, _how(self, len(data)), seed=seed, only=head.parameters())


@dataclass(frozen=True)
class RTAL(Attack):
    """Re-initialise the last layer, train it alone for `warm` epochs, then all layers.

    Attributes:
        epochs, rate, batch, least_steps: as in `FTLL`.
        warm: epochs (or `least_steps`, if that is more) of the fresh head alone, at ten times the rate; 0 for none.
    """

    name: ClassVar[str] = "rtal"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = PAPER

    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60
    warm: int = 2

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        head = _fresh_head(copy, fits(copy, data), seed)
        if self.warm:
            warming = at_least(
                Training(epochs=self.warm, batch=self.batch, rate=10 * self.rate), len(data), self.least_steps
            )
            fit(copy, data, warming, seed=seed, only=head.parameters())
        return fit(copy, data, _how(self, len(data)), seed=seed)


def _how(attack: FTLL | FTAL | RTLL | RTAL, n: int) -> Training:
    return at_least(Training(epochs=attack.epochs, batch=attack.batch, rate=attack.rate), n, attack.least_steps)


def _fresh_head(module: nn.Module, data: Samples, seed: int) -> nn.Module:
    head = last_layer(module, data.inputs)
    with seeded(seed):
        head.reset_parameters()
    return head
