"""Retraining: a fresh student learns the target's top labels, the least that any service shows (Tramèr et al. 2016)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import ask
from birthmark.theft.parents import Extraction
from birthmark.types import Answers, Samples
from birthmark.workshop.training import Training

PRESETS = {"sac": {"epochs": 200}, "wrt": {"epochs": 60, "batch": 64}}


@dataclass(frozen=True)
class Retrain(Extraction):
    """Train a student from scratch on the target's labels of the data's inputs; true labels are not used.

    Attributes:
        shift: random shifts in training, pixels; labels are those of the unshifted input.
        flip: random left-right flips in training, likewise.
    """

    name: ClassVar[str] = "retrain"
    source_paper: ClassVar[str] = "Tramèr et al. 2016"
    allowed: ClassVar[Allowed] = {"shift": "[0, inf)"}

    shift: int = 0
    flip: bool = False

    def how(self) -> Training:
        return replace(super().how(), shift=self.shift, flip=self.flip)

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        return self.learned(data.inputs, ask(target, data.inputs, hard=True), Answers.LABELS, seed=seed)
