"""The two ways of a thief, as parents of attacks: training a copy further, and training a student on answers."""

from abc import abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.oracle import Oracle, WhiteBox
from birthmark.settings import Allowed
from birthmark.theft.asking import affordable, ask, at_least, labelled, new_student, queries_left
from birthmark.theft.weights import copied, fits, fresh_like
from birthmark.types import Access, Answers, Array, Floats, Samples
from birthmark.workshop.training import Training, fit


@dataclass(frozen=True)
class FineTuning(Attack):
    """A copy of the weights, trained further.

    Attributes:
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    needs: ClassVar[Access] = Access.WEIGHTS

    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        """As `Attack.steal`."""
        self.check(target, data)
        copy = copied(target)
        return self.tune(copy, fits(copy, data), seed)

    @abstractmethod
    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        """Train a copy of the target's network further on data that fit it."""

    def how(self, n: int) -> Training:
        """The training on n samples."""
        return at_least(Training(epochs=self.epochs, batch=self.batch, rate=self.rate), n, self.least_steps)


@dataclass(frozen=True)
class Extraction(Attack):
    """A student, trained from scratch on what the target answers.

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
    """

    needs: ClassVar[Access] = Access.LABELS

    student: str = ""
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 300

    @property
    def hard(self) -> bool:
        """Whether top labels are learned from even if the target shows more."""
        return bool(getattr(self, "labels", False))

    def kind(self, target: Oracle) -> Answers:
        """What is learned from."""
        return Answers.LABELS if self.hard else target.answers

    def how(self) -> Training:
        """The student's training, on as many samples as there are."""
        return Training(epochs=self.epochs, rate=self.rate, batch=self.batch)

    def fresh(self, shape: tuple[int, ...], outputs: int, *, seed: int) -> nn.Module:
        """An untrained student."""
        return new_student(self.student, shape, outputs, seed=seed)

    def trained(self, model: nn.Module, data: Samples, *, seed: int) -> nn.Module:
        """A network of the thief's own, trained on true labels like a student."""
        return fit(model, fits(model, data), at_least(self.how(), len(data), self.least_steps), seed=seed)

    def learned(
        self, inputs: Array, answers: Floats, kind: Answers, *, seed: int, how: Training | None = None, steps: int = -1
    ) -> nn.Module:
        """A student of answers (m, k) to the first m inputs; `how` and `steps` default to the settings."""
        samples, soft = labelled(inputs[: len(answers)], answers, kind)
        how = at_least(how or self.how(), len(samples), self.least_steps if steps < 0 else steps)
        return fit(self.fresh(samples.shape, answers.shape[1], seed=seed), samples, how, seed=seed, soft=soft)


@dataclass(frozen=True)
class Asked:
    """What a thief knows between two rounds: inputs (m, *d), answers (m, k) of a kind, and how to train a student."""

    inputs: Array
    answers: Floats
    kind: Answers
    student: Callable[[], nn.Module]


@dataclass(frozen=True)
class Rounds(Extraction):
    """Rounds of queries that a student trained on the answers so far chooses.

    Attributes:
        student, epochs, rate, batch: as in `Extraction`; students between the rounds train for `round_steps` steps at
            least.
        least_steps: of the last student.
        labels: learn from the top labels even if the target shows more.
        queries: most inputs to ask; 0 for the attack's own choice.
    """

    allowed: ClassVar[Allowed] = {"queries": "[0, inf)"}

    queries: int = 0
    labels: bool = False
    round_steps: int = 60

    @abstractmethod
    def rounds_of(self, data: Samples, left: int, seed: int) -> Generator[Array, Asked, None]:
        """Yield the inputs of each round and get what is known after it; `left` queries are allowed."""

    def between(self) -> Training:
        """The training of students between rounds."""
        return replace(self.how(), epochs=2)

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        """As `Attack.steal`."""
        self.check(target, data)
        kind, left = self.kind(target), queries_left(target) or 2 * len(data)
        plan = self.rounds_of(data, left, seed)
        inputs = next(plan)
        answers = ask(target, inputs, hard=self.hard)
        inputs, turn = inputs[: len(answers)], 0

        def student() -> nn.Module:
            return self.learned(inputs, answers, kind, seed=seed + turn, how=self.between(), steps=self.round_steps)

        while True:
            more = next_of(plan, Asked(inputs, answers, kind, student))
            if more is None or not len(more) or not affordable(target, more):
                return self.learned(inputs, answers, kind, seed=seed)
            rows = ask(target, more, hard=self.hard)
            inputs, answers = np.concatenate([inputs, more[: len(rows)]]), np.concatenate([answers, rows])
            turn += 1


def next_of(plan: Generator[Array, Asked, None], known: Asked) -> Array | None:
    """The next round's inputs, or None when there are no more rounds."""
    try:
        return plan.send(known)
    except StopIteration:
        return None


@dataclass(frozen=True)
class Adaptive(Extraction):
    """A thief who knows the method: takes a copy (with the weights) or a student (without), then trains it further.

    Attributes:
        student: architecture, when there are no weights to copy; "" is vgg for images and mlp for flat inputs.
        epochs, rate, batch: of students and of the thief's own models.
        least_steps: as in `Extraction`; a share of it when tuning.
        tune, tune_rate: epochs and rate of the fine-tuning.
    """

    tune: int = 10
    tune_rate: float = 1e-3

    def taken(self, target: Oracle, data: Samples, seed: int) -> tuple[nn.Module, Floats]:
        """The copy or student, and the target's answers."""
        answers = ask(target, data.inputs)
        if isinstance(target, WhiteBox):
            return copied(target), answers
        return self.learned(data.inputs, answers, target.answers, seed=seed), answers

    def independents(self, n: int, like: nn.Module, data: Samples, outputs: int, seed: int) -> list[nn.Module]:
        """n models of the thief's own, trained on true labels."""
        return [
            self.trained(fresh_like(like, data.shape, outputs, seed=seed + i), data, seed=seed + i)
            for i in range(1, n + 1)
        ]

    def tuning(self, n: int, share: int) -> Training:
        """The fine-tuning on n samples, for a `share`-th of the least steps."""
        return at_least(Training(epochs=self.tune, rate=self.tune_rate, batch=self.batch), n, self.least_steps // share)
