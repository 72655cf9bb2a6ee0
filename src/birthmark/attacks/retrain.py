"""Retraining: a fresh student learns the target's top labels, the least that any service shows (Tramèr et al. 2016)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from birthmark.attack import Attack
from birthmark.oracle import Oracle
from birthmark.theft.asking import ask, train_student
from birthmark.types import Access, Answers, Samples
from birthmark.workshop.training import Training

PRESETS = {"sac": {"epochs": 200}, "wrt": {"epochs": 60, "batch": 64}}


@dataclass(frozen=True)
class Retrain(Attack):
    """Train a student from scratch on the target's labels of the data's inputs; true labels are not used.

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
        shift: random shifts in training, pixels; labels are those of the unshifted input.
        flip: random left-right flips in training, likewise.
    """

    name: ClassVar[str] = "retrain"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Tramèr et al. 2016"

    student: str = ""
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 300
    shift: int = 0
    flip: bool = False

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        answers = ask(target, data.inputs, hard=True)
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch, shift=self.shift, flip=self.flip)
        inputs = data.inputs[: len(answers)]
        return train_student(
            self.student, inputs, answers, Answers.LABELS, how, seed=seed, least_steps=self.least_steps
        )
