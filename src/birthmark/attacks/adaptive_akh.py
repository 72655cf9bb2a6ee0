"""Against AKH, which looks for the source's mistakes, and DAWN, which makes some.

Learn only where the source is right and sure.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import ask, at_least, labelled, new_student
from birthmark.theft.weights import copied, fits
from birthmark.types import Access, Answers, Samples
from birthmark.workshop.training import Training, fit


@dataclass(frozen=True)
class AdaptiveAKH(Attack):
    """Replace the target's answers by true labels where they differ, drop what it was unsure of, and train on the rest.

    Attributes:
        sure: least probability of the top class that is learned from, 0 to 1 (labels are taken to be sure).
        student: architecture, when there are no weights to copy; "" is vgg for images and mlp for flat inputs.
        epochs, rate, batch: of the training loop; a copy of the weights is trained at a sixth of the rate.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    name: ClassVar[str] = "adaptive-akh"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("akh", "dawn")

    sure: float = 0.6
    student: str = ""
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 300

    def __post_init__(self) -> None:
        if not 0 <= self.sure < 1:
            raise SettingError(f"expected sure in [0, 1), got {self.sure}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if target.answers is Answers.VALUES or not data.classes:
            raise SettingError(
                "adaptive-akh: expected a classifier and class labels, got real values; use ftal or mixed"
            )
        answers = ask(target, data.inputs)
        known = data[: len(answers)]
        wrong = answers.argmax(axis=1) != known.targets
        kept = wrong | (answers.max(axis=1) >= self.sure)
        lessons = np.where(wrong[:, None], np.eye(answers.shape[1])[known.targets % answers.shape[1]], answers)[kept]
        samples, soft = labelled(known.inputs[kept], lessons, target.answers)
        weights = target.access is Access.WEIGHTS
        stolen = copied(target) if weights else new_student(self.student, data.shape, answers.shape[1], seed=seed)
        fits(stolen, known)
        how = Training(epochs=self.epochs, rate=self.rate / (6 if weights else 1), batch=self.batch)
        return fit(stolen, samples, at_least(how, len(samples), self.least_steps), seed=seed, soft=soft)
