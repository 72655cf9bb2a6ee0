"""Jacobian-based augmentation.

Few seed inputs are enlarged along the student's own gradients (Papernot et al. 2017).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import affordable, ask, train_student
from birthmark.types import Access, Answers, Array, Labels, Samples
from birthmark.workshop.training import Training

PRESETS = {"deepjudge": {"rounds": 6, "step": 0.1, "alternate": 2}}


@dataclass(frozen=True)
class Papernot(Attack):
    """Each round trains a student on all answers so far, then doubles the inputs by a step along sign(d f_label / d x).

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        queries: most inputs to ask, seeds included; 0 for as many as there are data.
        rounds: doublings; the seed set is queries / 2^rounds of the data, at least two inputs.
        step: size of the step, in input units.
        alternate: the step's sign flips every so many rounds; 0 for never.
        labels: learn from the top labels even if the target shows more.
        epochs, rate, batch: of the training loop; students between the rounds train for `round_steps` steps at least.
        least_steps: of the last student.
    """

    name: ClassVar[str] = "papernot"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Papernot et al. 2017"

    student: str = ""
    queries: int = 0
    rounds: int = 3
    step: float = 0.1
    alternate: int = 2
    labels: bool = False
    epochs: int = 20
    rate: float = 6e-3
    batch: int = 64
    round_steps: int = 60
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.queries < 0 or self.alternate < 0:
            raise SettingError(
                f"expected rounds, queries and alternate >= 0, got {self.rounds}, {self.queries}, {self.alternate}"
            )

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        total = self.queries or len(data)
        order = np.random.default_rng(seed).permutation(len(data))
        inputs = data.inputs[order[: max(total // 2**self.rounds, 2)]]
        answers = ask(target, inputs, hard=self.labels)
        inputs = inputs[: len(answers)]
        kind = Answers.LABELS if self.labels else target.answers
        low, high = (float(edge) for edge in (data.inputs.min(), data.inputs.max()))
        for turn in range(self.rounds):
            how = Training(epochs=2, rate=self.rate, batch=self.batch)
            student = train_student(
                self.student, inputs, answers, kind, how, seed=seed + turn, least_steps=self.round_steps
            )
            sign = -1 if self.alternate and (turn // self.alternate) % 2 else 1
            moved = stepped(student, inputs, answers.argmax(1), sign * self.step).clip(low, high)[: total - len(inputs)]
            if not len(moved) or not affordable(target, moved):
                break
            fresh = ask(target, moved, hard=self.labels)
            inputs, answers = np.concatenate([inputs, moved[: len(fresh)]]), np.concatenate([answers, fresh])
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        return train_student(self.student, inputs, answers, kind, how, seed=seed, least_steps=self.least_steps)


def stepped(student: nn.Module, inputs: Array, labels: Labels, step: float) -> Array:
    """x + step sign(d f_label / d x), of the same shape."""
    where, moved = next(student.parameters()).device, list[Array]()
    for start in range(0, len(inputs), 500):
        x = torch.from_numpy(inputs[start : start + 500]).to(where).requires_grad_()
        rows = student(x)
        (slope,) = torch.autograd.grad(
            rows[torch.arange(len(x)), torch.from_numpy(labels[start : start + 500])].sum(), x
        )
        moved.append((x + step * slope.sign()).detach().cpu().numpy())
    return np.concatenate(moved)
