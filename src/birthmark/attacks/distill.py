"""Distillation: a fresh student learns the target's probabilities (Hinton et al. 2015); for regressors, its values."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import ask
from birthmark.theft.parents import Extraction
from birthmark.types import Access, Samples
from birthmark.workshop.training import Training

PRESETS = {
    "sac": {"temperature": 20.0, "hard_share": 0.1, "epochs": 200},
    "wrt": {"temperature": 3.0, "epochs": 60, "batch": 64},
    "di": {"temperature": 1.0, "epochs": 200},
}


@dataclass(frozen=True)
class Distill(Extraction):
    """Train a student from scratch on the target's answers to the data's inputs; true labels are not used.

    Attributes:
        temperature: both sides' probabilities are raised to 1 / temperature in the loss; 1 and up.
        hard_share: weight of the target's top class beside its probabilities, 0 to 1.
        shift: random shifts in training, pixels; answers are those to the unshifted input.
        flip: random left-right flips in training, likewise.
    """

    name: ClassVar[str] = "distill"
    needs: ClassVar[Access] = Access.PROBS
    source_paper: ClassVar[str] = "Hinton et al. 2015"
    allowed: ClassVar[Allowed] = {"temperature": "(0, inf)", "hard_share": "[0, 1]", "shift": "[0, inf)"}

    temperature: float = 1.0
    hard_share: float = 0.0
    shift: int = 0
    flip: bool = False

    def how(self) -> Training:
        return replace(
            super().how(), temperature=self.temperature, hard_share=self.hard_share, shift=self.shift, flip=self.flip
        )

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        return self.learned(data.inputs, ask(target, data.inputs), target.answers, seed=seed)
