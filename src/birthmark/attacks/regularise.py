"""Strong regularisation, then recovery: weights are pulled to zero, and true labels bring back what the task needs.

Shafieinejad et al. 2021; settings as in the Watermark-Robustness-Toolbox (Lukas et al. 2022).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from birthmark.settings import Allowed
from birthmark.theft.asking import at_least
from birthmark.theft.parents import FineTuning
from birthmark.types import Samples
from birthmark.workshop.training import fit

PRESETS = {"wrt": {"decay": 0.1, "epochs": 5, "recovery": 50, "least_steps": 0}}


@dataclass(frozen=True)
class Regularise(FineTuning):
    """Fine-tune with an L2 penalty on all weights, then fine-tune without; each phase takes `least_steps`.

    Attributes:
        decay: weight of the sum of squares in the loss, 0 and up.
        epochs, recovery: of the two phases.
    """

    name: ClassVar[str] = "regularise"
    source_paper: ClassVar[str] = "Shafieinejad et al. 2021"
    allowed: ClassVar[Allowed] = {"decay": "[0, inf)", "recovery": "[0, inf)"}

    epochs: int = 3
    decay: float = 0.1
    recovery: int = 5

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        def squares(model: nn.Module, _: Tensor, __: Tensor) -> Tensor:
            return self.decay * torch.stack([p.square().sum() for p in model.parameters() if p.ndim > 1]).sum()

        recover = at_least(replace(self.how(0), epochs=self.recovery), len(data), self.least_steps)
        fit(copy, data, replace(self.how(len(data)), cycle=False), seed=seed, penalty=squares)
        return fit(copy, data, recover, seed=seed + 1)
