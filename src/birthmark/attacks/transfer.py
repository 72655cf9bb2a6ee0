"""Transfer learning: the copy's features are taken to another task, so that the suspect answers other classes.

The head is replaced by one for the new labels and trained alone first, then all layers are (as in SAC's Fine-tune-A of
another label set; Guan, Liang & He 2022).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from birthmark.errors import DataError, SettingError
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import at_least
from birthmark.theft.parents import FineTuning
from birthmark.theft.weights import copied, last_layer
from birthmark.types import Samples
from birthmark.workshop.training import fit, seeded

PRESETS = {"wrt": {"epochs": 5, "rate": 1e-3, "least_steps": 0}, "other-data": {"classes": 0}}


@dataclass(frozen=True)
class Transfer(FineTuning):
    """Give a copy a fresh head for other classes, and train it for them; each phase takes `least_steps`.

    Attributes:
        classes: the new task on the same data: label y becomes y mod classes; 0 if the thief's data carry new labels
            already.
        warm: epochs of the fresh head alone, at ten times the rate; 0 for none.
    """

    name: ClassVar[str] = "transfer"
    source_paper: ClassVar[str] = "Guan et al. 2022 (SAC)"
    allowed: ClassVar[Allowed] = {"classes": "[0, inf)", "warm": "[0, inf)"}

    classes: int = 5
    warm: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes == 1:
            raise SettingError("transfer: expected at least 2 new classes, or 0 for the data's own, got 1")

    def view(self, samples: Samples) -> Samples:
        if not self.classes:
            return samples
        if not samples.classes:
            raise SettingError(
                "transfer: expected class labels to group into new classes, got real values; give classes=0"
            )
        return Samples(samples.inputs, samples.targets.astype(np.int64) % self.classes, self.classes)

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        new = self.view(data)
        if not len(new) or (new.classes and len(np.unique(new.targets)) < 2):
            raise DataError(f"transfer: expected data of at least two new classes, got {len(new)} samples of fewer")
        return self.tune(copied(target), new, seed)

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        head = last_layer(copy, data.inputs)
        with seeded(seed):
            fresh = _like(head, data.outputs)
        for parent in copy.modules():
            for name, child in parent.named_children():
                if child is head:
                    setattr(parent, name, fresh)
        if self.warm:
            warming = replace(self.how(0), epochs=self.warm, rate=10 * self.rate)
            fit(copy, data, at_least(warming, len(data), self.least_steps), seed=seed, only=fresh.parameters())
        return fit(copy, data, self.how(len(data)), seed=seed)


def _like(head: nn.Linear | nn.modules.conv._ConvNd, outputs: int) -> nn.Module:
    where = head.weight.device
    if isinstance(head, nn.Linear):
        return nn.Linear(head.in_features, outputs, bias=head.bias is not None, device=where)
    kind: type[nn.modules.conv._ConvNd] = type(head)
    size, stride, padding = head.kernel_size, head.stride, head.padding
    return kind(
        head.in_channels, outputs, size, stride, padding, bias=head.bias is not None, device=where, dtype=torch.float32
    )  # type: ignore[call-arg]
