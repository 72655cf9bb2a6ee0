"""High-fidelity extraction: full probabilities, and a pool without answers learned from semi-supervised.

Jagielski et al., "High Accuracy and High Fidelity Extraction of Neural Networks", USENIX Security 2020, combine few
queries with MixMatch-like training on unlabelled inputs; the consistency term here is that idea in its simplest form.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import ask, at_least, labelled
from birthmark.theft.parents import Extraction
from birthmark.types import Answers, Array, Samples
from birthmark.workshop.devices import device
from birthmark.workshop.training import Training, augment, fit

PRESETS = {"supervised": {"unlabelled": 0.0}}


@dataclass(frozen=True)
class Jagielski(Extraction):
    """Train a student on the answers to some of the inputs and on its own steadiness on the others.

    Attributes:
        queries: most inputs to ask; 0 for half of the data.
        unlabelled: weight of the consistency on inputs that were not asked, 0 and up.
        sharpen: temperature that the student's own guesses are sharpened with, (0, 1].
        shift: random shifts in training, pixels (images only; flat inputs get noise of a hundredth of their spread).
    """

    name: ClassVar[str] = "jagielski"
    source_paper: ClassVar[str] = "Jagielski et al. 2020"
    allowed: ClassVar[Allowed] = {
        "queries": "[0, inf)",
        "unlabelled": "[0, inf)",
        "sharpen": "(0, 1]",
        "shift": "[0, inf)",
    }

    queries: int = 0
    unlabelled: float = 1.0
    sharpen: float = 0.5
    shift: int = 1

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        order = np.random.default_rng(seed).permutation(len(data))
        answers = ask(target, data.inputs[order[: self.queries or -(-len(data) // 2)]])
        asked, rest = data.inputs[order[: len(answers)]], data.inputs[order[len(answers) :]]
        samples, soft = labelled(asked, answers, target.answers)
        student = self.fresh(samples.shape, answers.shape[1], seed=seed)
        how = at_least(replace(self.how(), shift=self.shift), len(asked), self.least_steps)
        steady = len(rest) > 1 and self.unlabelled and target.answers is not Answers.VALUES
        return fit(student, samples, how, seed=seed, soft=soft, penalty=self._steady(rest) if steady else None)

    def _steady(self, rest: Array) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
        pool, views = torch.from_numpy(rest), Training(shift=self.shift)
        noise = 0.0 if pool.ndim == 4 else 0.01 * float(pool.std())

        def penalty(model: nn.Module, x: Tensor, _: Tensor) -> Tensor:
            drawn = pool[torch.randint(len(pool), (len(x),))].to(device())
            one, other = (augment(drawn, views) + noise * torch.randn_like(drawn) for _ in range(2))
            with torch.no_grad():
                guess = functional.softmax(model(one).float() / self.sharpen, 1)
            return self.unlabelled * (functional.softmax(model(other).float(), 1) - guess).square().sum(1).mean()

        return penalty
