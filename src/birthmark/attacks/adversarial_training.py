"""Robust fine-tuning of a copy: crafted queries near the boundary stop working on a model that was hardened against
them.

`adv-train` puts PGD examples into the batches (Madry et al. 2018), `trades` adds the divergence between the answers to
clean inputs and to the worst inputs nearby (Zhang et al. 2019).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import copied, fits
from birthmark.types import Access, Samples
from birthmark.workshop.training import Training, fit, pgd

PRESETS = {
    "wrt-01": {"epsilon": 0.01, "steps": 40, "epochs": 5},
    "wrt-10": {"epsilon": 0.1, "steps": 40, "epochs": 5},
    "wrt-25": {"epsilon": 0.25, "steps": 40, "epochs": 5},
}


@dataclass(frozen=True)
class AdvTrain(Attack):
    """Fine-tune all layers on true labels, with PGD examples of the copy in every batch.

    Attributes:
        share: of each batch that is replaced by adversarial examples, 0 to 1.
        epsilon, steps: L-inf radius in input units, and number of steps of PGD.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    name: ClassVar[str] = "adv-train"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Madry et al. 2018"

    share: float = 0.5
    epsilon: float = 0.05
    steps: int = 5
    epochs: int = 4
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.epsilon <= 0 or self.steps < 1:
            raise SettingError(
                f"expected share in (0, 1], epsilon > 0 and steps >= 1, got {self.share}, {self.epsilon}, {self.steps}"
            )

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        how = Training(
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            adversarial=self.share,
            epsilon=self.epsilon,
            steps=self.steps,
        )
        return fit(copy, fits(copy, data), at_least(how, len(data), self.least_steps), seed=seed)


@dataclass(frozen=True)
class Trades(Attack):
    """Fine-tune all layers with cross-entropy plus beta KL(p(x) || p(x')), x' the PGD example that makes it largest.

    Attributes:
        beta: weight of the divergence, 0 and up; the paper's own is 6.
        epsilon, steps, epochs, rate, batch, least_steps: as in `AdvTrain`.
    """

    name: ClassVar[str] = "trades"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Zhang et al. 2019"

    beta: float = 3.0
    epsilon: float = 0.05
    steps: int = 5
    epochs: int = 4
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def __post_init__(self) -> None:
        if self.beta < 0 or self.epsilon <= 0 or self.steps < 1:
            raise SettingError(
                f"expected beta >= 0, epsilon > 0 and steps >= 1, got {self.beta}, {self.epsilon}, {self.steps}"
            )

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)

        def divergence(model: nn.Module, x: Tensor, outputs: Tensor) -> Tensor:
            clean = functional.softmax(outputs, 1)
            worse = pgd(model, x, clean.detach(), epsilon=self.epsilon, steps=self.steps)
            return self.beta * functional.kl_div(
                functional.log_softmax(model(worse).float(), 1), clean, reduction="batchmean"
            )

        how = Training(epochs=self.epochs, batch=self.batch, rate=self.rate)
        return fit(copy, fits(copy, data), at_least(how, len(data), self.least_steps), seed=seed, penalty=divergence)
