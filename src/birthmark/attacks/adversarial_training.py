"""Robust fine-tuning of a copy: crafted queries near the boundary stop working on a model that was hardened against
them.

`adv-train` puts PGD examples into the batches (Madry et al. 2018), `trades` adds the divergence between the answers to
clean inputs and to the worst inputs nearby (Zhang et al. 2019).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from birthmark.settings import Allowed
from birthmark.theft.parents import FineTuning
from birthmark.types import Samples
from birthmark.workshop.training import fit, pgd

PRESETS = {
    "wrt-01": {"epsilon": 0.01, "steps": 40, "epochs": 5},
    "wrt-10": {"epsilon": 0.1, "steps": 40, "epochs": 5},
    "wrt-25": {"epsilon": 0.25, "steps": 40, "epochs": 5},
}
BALL: Allowed = {"epsilon": "(0, inf)", "steps": "[1, inf)"}


@dataclass(frozen=True)
class AdvTrain(FineTuning):
    """Fine-tune all layers on true labels, with PGD examples of the copy in every batch.

    Attributes:
        share: of each batch that is replaced by adversarial examples, 0 to 1.
        epsilon, steps: L-inf radius in input units, and number of steps of PGD.
    """

    name: ClassVar[str] = "adv-train"
    source_paper: ClassVar[str] = "Madry et al. 2018"
    allowed: ClassVar[Allowed] = {**BALL, "share": "(0, 1]"}

    epochs: int = 4
    share: float = 0.5
    epsilon: float = 0.05
    steps: int = 5

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        how = replace(self.how(len(data)), adversarial=self.share, epsilon=self.epsilon, steps=self.steps)
        return fit(copy, data, how, seed=seed)


@dataclass(frozen=True)
class Trades(FineTuning):
    """Fine-tune all layers with cross-entropy plus beta KL(p(x) || p(x')), x' the PGD example that makes it largest.

    Attributes:
        beta: weight of the divergence, 0 and up; the paper's own is 6.
        epsilon, steps: L-inf radius in input units, and number of steps of PGD.
    """

    name: ClassVar[str] = "trades"
    source_paper: ClassVar[str] = "Zhang et al. 2019"
    allowed: ClassVar[Allowed] = {**BALL, "beta": "[0, inf)"}

    epochs: int = 4
    beta: float = 3.0
    epsilon: float = 0.05
    steps: int = 5

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        def divergence(model: nn.Module, x: Tensor, outputs: Tensor) -> Tensor:
            clean = functional.softmax(outputs, 1)
            worse = pgd(model, x, clean.detach(), epsilon=self.epsilon, steps=self.steps)
            return self.beta * functional.kl_div(
                functional.log_softmax(model(worse).float(), 1), clean, reduction="batchmean"
            )

        return fit(copy, data, self.how(len(data)), seed=seed, penalty=divergence)
