"""Fine-tuning on smoothed labels.

The copy's confidence, and what was hidden in it, is flattened (WRT; Lukas et al. 2022).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from birthmark.settings import Allowed
from birthmark.theft.parents import FineTuning
from birthmark.types import Samples
from birthmark.workshop.training import fit

PRESETS = {"wrt": {"smoothing": 0.3, "epochs": 5, "least_steps": 0}}


@dataclass(frozen=True)
class LabelSmoothing(FineTuning):
    """Fine-tune all layers on true labels, of which a share is spread over all classes.

    Attributes:
        smoothing: that share, 0 to 1.
    """

    name: ClassVar[str] = "label-smoothing"
    source_paper: ClassVar[str] = "Lukas et al. 2022"
    allowed: ClassVar[Allowed] = {"smoothing": "[0, 1)"}

    smoothing: float = 0.3

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        return fit(copy, data, replace(self.how(len(data)), smoothing=self.smoothing), seed=seed)
