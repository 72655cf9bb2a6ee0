"""Distillation: a fresh student learns the target's probabilities (Hinton et al. 2015); for regressors, its values."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from birthmark.attack import Attack
from birthmark.oracle import Oracle
from birthmark.theft.asking import ask, train_student
from birthmark.types import Access, Samples
from birthmark.workshop.training import Training

PRESETS = {
    "sac": {"temperature": 20.0, "hard_share": 0.1, "epochs": 200},
    "wrt": {"temperature": 3.0, "epochs": 60, "batch": 64},
    "di": {"temperature": 1.0, "epochs": 200},
}


@dataclass(frozen=True)
class Distill(Attack):
    """Train a student from scratch on the target's answers to the data's inputs; true labels are not used.

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        temperature: both sides' probabilities are raised to 1 / temperature in the loss; 1 and up.
        hard_share: weight of the target's top class beside its probabilities, 0 to 1.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
        shift: random shifts in training, pixels; answers are those to the unshifted input.
        flip: random left-right flips in training, likewise.
    """

    name: ClassVar[str] = "distill"
    needs: ClassVar[Access] = Access.PROBS
    source_paper: ClassVar[str] = "Hinton et al. 2015"

    student: str = ""
    temperature: float = 1.0
    hard_share: float = 0.0
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 300
    shift: int = 0
    flip: bool = False

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        answers = ask(target, data.inputs)
        how = Training(
            epochs=self.epochs,
            rate=self.rate,
            batch=self.batch,
            temperature=self.temperature,
            hard_share=self.hard_share,
            shift=self.shift,
            flip=self.flip,
        )
        inputs = data.inputs[: len(answers)]
        return train_student(
            self.student, inputs, answers, target.answers, how, seed=seed, least_steps=self.least_steps
        )
