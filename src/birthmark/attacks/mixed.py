"""Mixed-teacher distillation.

The student's teacher is the average of the target and an independent model of the thief's.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import ask, at_least, new_student, train_student
from birthmark.theft.weights import fits
from birthmark.types import Access, Answers, Samples
from birthmark.workshop.training import Training, fit, outputs, probabilities


@dataclass(frozen=True)
class Mixed(Attack):
    """Train a model of one's own on true labels, then a student on  share * target + (1 - share) * own.

    Attributes:
        student, own: architectures of the student and of the independent model; "" is vgg for images and mlp for flat
            inputs.
        share: of the target in the teacher, 0 to 1.
        epochs, rate, batch: of the training loop, for both.
        least_steps: small data are gone through until so many optimiser steps are done, by each.
    """

    name: ClassVar[str] = "mixed"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"

    student: str = ""
    own: str = ""
    share: float = 0.5
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 300

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise SettingError(f"expected a share in [0, 1], got {self.share}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        answers = ask(target, data.inputs)
        inputs = data.inputs[: len(answers)]
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        own = new_student(self.own, data.shape, answers.shape[1], seed=seed + 1)
        fit(own, fits(own, data), at_least(how, len(data), self.least_steps), seed=seed + 1)
        values = target.answers is Answers.VALUES
        mine = outputs(own, inputs) if values else probabilities(own, inputs)
        teacher = np.asarray(self.share * answers + (1 - self.share) * mine)
        kind = Answers.VALUES if values else Answers.PROBABILITIES
        return train_student(self.student, inputs, teacher, kind, how, seed=seed, least_steps=self.least_steps)
