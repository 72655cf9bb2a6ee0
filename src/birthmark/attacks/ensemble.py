"""An ensemble of thieves: students on disjoint shares of the queries answer together (Lukas et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import DataError, SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import ask, train_student
from birthmark.theft.weights import named
from birthmark.types import Access, Answers, Samples
from birthmark.workshop.architectures import Average
from birthmark.workshop.training import Training

PRESETS = {"wrt": {"parts": 3, "epochs": 60}}


@dataclass(frozen=True)
class Ensemble(Attack):
    """Train one student on each share of the target's answers; the stolen model averages their probabilities.

    Attributes:
        student: architecture of each by name; "" is vgg for images and mlp for flat inputs.
        parts: number of students.
        labels: learn from the top labels even if the target shows more.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done, by each student.
    """

    name: ClassVar[str] = "ensemble"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Lukas et al. 2022"

    student: str = ""
    parts: int = 3
    labels: bool = False
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 200

    def __post_init__(self) -> None:
        if self.parts < 2:
            raise SettingError(f"expected at least 2 students, got {self.parts}; use distill or retrain for one")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if target.answers is Answers.VALUES:
            raise SettingError("ensemble: expected a classifier, got an oracle of real values; use distill")
        inputs = data.inputs[np.random.default_rng(seed).permutation(len(data))]
        answers = ask(target, inputs, hard=self.labels)
        if len(answers) < 2 * self.parts:
            raise DataError(
                f"ensemble: expected at least {2 * self.parts} answers for {self.parts} students, got {len(answers)}; "
                "bring more data or budget"
            )
        kind = Answers.LABELS if self.labels else target.answers
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        shares = np.array_split(np.arange(len(answers)), self.parts)
        students = [
            train_student(
                self.student, inputs[share], answers[share], kind, how, seed=seed + i, least_steps=self.least_steps
            )
            for i, share in enumerate(shares)
        ]
        return named(Average(students), students[0], members=self.parts).eval()
