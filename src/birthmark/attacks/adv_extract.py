"""Adversarial extraction: a student learns the target's answers to clean inputs and to its own adversarial examples.

SAC's Extract-Adv (Guan, Liang & He 2022): half of the queries lie where crafted fingerprints do, near the boundary.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import affordable, ask, queries_left, train_student
from birthmark.types import Access, Answers, Array, Labels, Samples
from birthmark.workshop.training import Training, device, pgd, seeded

PRESETS = {"sac": {"epsilon": 4 / 256, "steps": 30, "epochs": 60}, "wrt": {"epsilon": 0.25, "steps": 40, "epochs": 60}}


@dataclass(frozen=True)
class AdvExtract(Attack):
    """Train a student on the target's answers, attack it with PGD, ask the target about the results, train afresh on
    both.

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        queries: most inputs to ask, adversarial ones included; 0 for twice the data.
        labels: learn from the top labels even if the target shows more.
        epsilon, steps: L-inf radius in input units, and number of steps of PGD.
        epochs, rate, batch: of the training loop; the first student trains for `round_steps` steps at least.
        least_steps: of the last student.
    """

    name: ClassVar[str] = "adv-extract"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Guan et al. 2022 (SAC)"

    student: str = ""
    queries: int = 0
    labels: bool = True
    epsilon: float = 0.05
    steps: int = 10
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    round_steps: int = 150
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.queries < 0 or self.epsilon <= 0 or self.steps < 1:
            raise SettingError(
                f"expected queries >= 0, epsilon > 0 and steps >= 1, got {self.queries}, {self.epsilon}, {self.steps}"
            )

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if target.answers is Answers.VALUES:
            raise SettingError("adv-extract: expected a classifier, got an oracle of real values; use distill")
        kind = Answers.LABELS if self.labels else target.answers
        total = min(self.queries or 2 * len(data), queries_left(target) or 2 * len(data))
        inputs = data.inputs[np.random.default_rng(seed).permutation(len(data))[: -(-total // 2)]]
        answers = ask(target, inputs, hard=self.labels)
        inputs = inputs[: len(answers)]
        how = Training(epochs=max(self.epochs // 2, 1), rate=self.rate, batch=self.batch)
        student = train_student(self.student, inputs, answers, kind, how, seed=seed, least_steps=self.round_steps)
        worse = attacked(student, inputs, answers.argmax(1), self.epsilon, self.steps, seed)[
            : max(total - len(inputs), 0)
        ]
        if len(worse) and affordable(target, worse):
            fresh = ask(target, worse, hard=self.labels)
            inputs, answers = np.concatenate([inputs, worse[: len(fresh)]]), np.concatenate([answers, fresh])
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        return train_student(self.student, inputs, answers, kind, how, seed=seed, least_steps=self.least_steps)


def attacked(student: nn.Module, inputs: Array, labels: Labels, epsilon: float, steps: int, seed: int) -> Array:
    """PGD examples of a student, of the same shape as the inputs."""
    made = list[Array]()
    with seeded(seed):
        for start in range(0, len(inputs), 500):
            x = torch.from_numpy(inputs[start : start + 500]).to(device())
            y = torch.from_numpy(labels[start : start + 500]).to(device())
            made.append(pgd(student, x, y, epsilon=epsilon, steps=steps).cpu().numpy())
    return np.concatenate(made)
