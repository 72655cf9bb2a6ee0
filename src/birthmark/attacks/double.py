"""Double extraction: the model that is used was extracted from a model that was extracted. Cheap, and rarely tested."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from birthmark.attack import Attack
from birthmark.oracle import Oracle
from birthmark.theft.asking import ask, train_student
from birthmark.types import Access, Answers, Samples
from birthmark.workshop.training import Training, outputs, probabilities


@dataclass(frozen=True)
class Double(Attack):
    """Train a first student on the target's answers, and a second one on the first one's answers to the same inputs.

    Attributes:
        between, student: architectures of the first and the second student; "" is vgg for images and mlp for flat
            inputs.
        labels: both learn from top labels even if more is shown.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done, by each student.
    """

    name: ClassVar[str] = "double"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"

    between: str = ""
    student: str = ""
    labels: bool = False
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 300

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        answers = ask(target, data.inputs, hard=self.labels)
        inputs = data.inputs[: len(answers)]
        kind = Answers.LABELS if self.labels else target.answers
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        first = train_student(self.between, inputs, answers, kind, how, seed=seed, least_steps=self.least_steps)
        again = outputs(first, data.inputs) if kind is Answers.VALUES else probabilities(first, data.inputs)
        if kind is Answers.LABELS:
            again = (again == again.max(axis=1, keepdims=True)).astype(float)
        return train_student(self.student, data.inputs, again, kind, how, seed=seed + 1, least_steps=self.least_steps)
