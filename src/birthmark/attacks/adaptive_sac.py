"""Against SAC: match another model's correlations between answers, on the same kind of samples that SAC asks.

The thief cuts and pastes samples as SAC does (CutMix of the thief's own data), and pulls the correlation matrix of the
stolen model's answers towards that of a small independent model.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.crafting.images import cutmix
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.parents import Adaptive
from birthmark.theft.weights import fits
from birthmark.types import Samples
from birthmark.workshop.devices import device
from birthmark.workshop.training import fit


@dataclass(frozen=True)
class AdaptiveSAC(Adaptive):
    """Take a copy or a student, and fine-tune it on true labels with  weight * mean |C_stolen - C_own|  on mixed
    samples, for a third of the least steps.

    Attributes:
        weight: of the correlation term, 0 and up.
    """

    name: ClassVar[str] = "adaptive-sac"
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("sac-normal", "sac-m", "sac-jc", "sac-source", "sac-w")
    classifier: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {"weight": "[0, inf)"}

    tune: int = 5
    tune_rate: float = 2e-3
    weight: float = 10.0

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        stolen, answers = self.taken(target, data, seed)
        (own,) = self.independents(1, stolen, fits(stolen, data), answers.shape[1], seed)
        mixed = cutmix(data.inputs, "standard", seed=seed) if data.inputs.ndim == 4 else data.inputs
        pool = torch.from_numpy(mixed)

        def correlations(model: nn.Module, _: Tensor, __: Tensor) -> Tensor:
            x = pool[torch.randint(len(pool), (self.batch,))].to(device())
            with torch.no_grad():
                wanted = correlation(own(x).float())
            return self.weight * (correlation(model(x).float()) - wanted).abs().mean()

        return fit(stolen, data, self.tuning(len(data), 3), seed=seed, penalty=correlations)


def correlation(logits: Tensor) -> Tensor:
    """(1 - cos) / 2 between every two rows of log-probabilities less their mean, (n, n)."""
    rows = functional.log_softmax(logits, 1)
    unit = functional.normalize(rows - rows.mean(1, keepdim=True), dim=1)
    return (1 - unit @ unit.T) / 2
