"""Jacobian-based augmentation.

Few seed inputs are enlarged along the student's own gradients (Papernot et al. 2017).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from birthmark.settings import Allowed
from birthmark.theft.parents import Asked, Rounds
from birthmark.types import Array, Labels, Samples

PRESETS = {"deepjudge": {"rounds": 6, "step": 0.1, "alternate": 2}}


@dataclass(frozen=True)
class Papernot(Rounds):
    """Each round trains a student on all answers so far, then doubles the inputs by a step along sign(d f_label / d x).

    Attributes:
        queries: most inputs to ask, seeds included; 0 for as many as there are data.
        rounds: doublings; the seed set is queries / 2^rounds of the data, at least two inputs.
        step: size of the step, in input units.
        alternate: the step's sign flips every so many rounds; 0 for never.
    """

    name: ClassVar[str] = "papernot"
    source_paper: ClassVar[str] = "Papernot et al. 2017"
    allowed: ClassVar[Allowed] = {"rounds": "[0, inf)", "alternate": "[0, inf)"}

    epochs: int = 20
    rounds: int = 3
    step: float = 0.1
    alternate: int = 2

    def rounds_of(self, data: Samples, left: int, seed: int) -> Generator[Array, Asked, None]:
        total = self.queries or len(data)
        order = np.random.default_rng(seed).permutation(len(data))
        known = yield data.inputs[order[: max(total // 2**self.rounds, 2)]]
        low, high = float(data.inputs.min()), float(data.inputs.max())
        for turn in range(self.rounds):
            sign = -1 if self.alternate and (turn // self.alternate) % 2 else 1
            moved = stepped(known.student(), known.inputs, known.answers.argmax(1), sign * self.step)
            known = yield moved.clip(low, high)[: total - len(known.inputs)]


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
