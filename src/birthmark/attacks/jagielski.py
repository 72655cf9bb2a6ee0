"""High-fidelity extraction: full probabilities, and a pool without answers learned from semi-supervised.

Jagielski et al., "High Accuracy and High Fidelity Extraction of Neural Networks", USENIX Security 2020, combine few
queries with MixMatch-like training on unlabelled inputs; the consistency term here is that idea in its simplest form.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import ask, at_least, labelled, new_student
from birthmark.types import Access, Answers, Array, Samples
from birthmark.workshop.training import Training, augment, device, fit

PRESETS = {"supervised": {"unlabelled": 0.0}}


@dataclass(frozen=True)
class Jagielski(Attack):
    """Train a student on the answers to some of the inputs and on its own steadiness on the others.

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        queries: most inputs to ask; 0 for half of the data.
        unlabelled: weight of the consistency on inputs that were not asked, 0 and up.
        sharpen: temperature that the student's own guesses are sharpened with, (0, 1].
        shift: random shifts in training, pixels (images only; flat inputs get noise of a hundredth of their spread).
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    name: ClassVar[str] = "jagielski"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Jagielski et al. 2020"

    student: str = ""
    queries: int = 0
    unlabelled: float = 1.0
    sharpen: float = 0.5
    shift: int = 1
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.unlabelled < 0 or not 0 < self.sharpen <= 1 or self.queries < 0:
            raise SettingError(f"expected queries and unlabelled >= 0 and sharpen in (0, 1], got {self}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        order = np.random.default_rng(seed).permutation(len(data))
        wanted = self.queries or -(-len(data) // 2)
        answers = ask(target, data.inputs[order[:wanted]])
        asked, rest = data.inputs[order[: len(answers)]], data.inputs[order[len(answers) :]]
        samples, soft = labelled(asked, answers, target.answers)
        student = new_student(self.student, samples.shape, answers.shape[1], seed=seed)
        how = at_least(
            Training(epochs=self.epochs, rate=self.rate, batch=self.batch, shift=self.shift),
            len(asked),
            self.least_steps,
        )
        steady = (
            self._steady(rest) if len(rest) > 1 and self.unlabelled and target.answers is not Answers.VALUES else None
        )
        return fit(student, samples, how, seed=seed, soft=soft, penalty=steady)

    def _steady(self, rest: Array):  # type: ignore[no-untyped-def]
        pool, views = torch.from_numpy(rest), Training(shift=self.shift)
        noise = 0.0 if pool.ndim == 4 else 0.01 * float(pool.std())

        def penalty(model: nn.Module, x: Tensor, _: Tensor) -> Tensor:
            drawn = pool[torch.randint(len(pool), (len(x),))].to(device())
            one, other = (augment(drawn, views) + noise * torch.randn_like(drawn) for _ in range(2))
            with torch.no_grad():
                guess = functional.softmax(model(one).float() / self.sharpen, 1)
            return self.unlabelled * (functional.softmax(model(other).float(), 1) - guess).square().sum(1).mean()

        return penalty
