"""Against kinship, knowing all but the twins: drown the source's own deviations in somebody else's.

Three dishonest ways, each at a price: fine-tuning on true labels (it needs them, and then hardly needs the theft),
answering together with an independent model, and training towards an ensemble of independent models.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import fits, named, obtained, own_models
from birthmark.types import Access, Answers, Samples
from birthmark.workshop.architectures import Average
from birthmark.workshop.training import Training, fit, probabilities

WAYS = ("labels", "mixing", "ensemble")
PRESETS = {"labels": {"way": "labels"}, "mixing": {"way": "mixing"}, "ensemble": {"way": "ensemble"}}


@dataclass(frozen=True)
class AdaptiveKinship(Attack):
    """Take a copy (with the weights) or a student (without), then hide whose it is.

    Attributes:
        way: "labels" fine-tunes on true labels, "mixing" averages answers with an independent model, "ensemble"
            fine-tunes towards the mean of independent models.
        strength: weight of what is foreign, 0 to 1: the share of the independent model, or of the ensemble beside true
            labels.
        own: number of independent models ("ensemble").
        student: architecture, when there are no weights to copy; "" is vgg for images and mlp for flat inputs.
        epochs, rate, batch: of students and independent models.
        tune, tune_rate: epochs and rate of the fine-tuning.
        least_steps: small data are gone through until so many optimiser steps are done; a fifth of it when fine-tuning.
    """

    name: ClassVar[str] = "adaptive-kinship"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("kinship", "random-queries")

    way: str = "mixing"
    strength: float = 0.5
    own: int = 2
    student: str = ""
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    tune: int = 10
    tune_rate: float = 1e-3
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.way not in WAYS or not 0 <= self.strength <= 1 or self.own < 1:
            raise SettingError(f"expected a way of {', '.join(WAYS)}, strength in [0, 1] and own >= 1, got {self}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if target.answers is Answers.VALUES:
            raise SettingError(
                "adaptive-kinship: expected a classifier, got an oracle of real values; use ftal or mixed"
            )
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        stolen, answers = obtained(target, data.inputs, self.student, how, seed=seed, least_steps=self.least_steps)
        fits(stolen, data)
        tuning = at_least(
            Training(epochs=self.tune, rate=self.tune_rate, batch=self.batch), len(data), self.least_steps // 5
        )
        if self.way == "labels":
            return fit(stolen, data, tuning, seed=seed)
        n = self.own if self.way == "ensemble" else 1
        own = own_models(n, stolen, data, answers.shape[1], how, seed=seed, least_steps=self.least_steps)
        if self.way == "mixing":
            return named(Average([stolen, own[0]], 1 - self.strength), stolen, members=2).eval()
        foreign = np.mean([probabilities(model, data.inputs) for model in own], axis=0)
        truth = np.eye(answers.shape[1])[data.targets]
        return fit(
            stolen, data, tuning, seed=seed, soft=np.asarray(self.strength * foreign + (1 - self.strength) * truth)
        )
