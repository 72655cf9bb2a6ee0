"""Against AKH, which looks for the source's mistakes, and DAWN, which makes some.

Learn only where the source is right and sure.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.oracle import Oracle, WhiteBox
from birthmark.settings import Allowed
from birthmark.theft.asking import ask, at_least, labelled
from birthmark.theft.parents import Extraction
from birthmark.theft.weights import copied, fits
from birthmark.types import Samples
from birthmark.workshop.training import fit


@dataclass(frozen=True)
class AdaptiveAKH(Extraction):
    """Replace the target's answers by true labels where they differ, drop what it was unsure of, and train on the rest.

    A student is trained where there are no weights to copy; a copy is trained at a sixth of the rate.

    Attributes:
        sure: least probability of the top class that is learned from, 0 to 1 (labels are taken to be sure).
    """

    name: ClassVar[str] = "adaptive-akh"
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("akh", "dawn")
    classifier: ClassVar[bool] = True
    truth: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {"sure": "[0, 1)"}

    sure: float = 0.6

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target, data)
        answers = ask(target, data.inputs)
        known, k = data[: len(answers)], answers.shape[1]
        wrong = answers.argmax(axis=1) != known.targets
        kept = wrong | (answers.max(axis=1) >= self.sure)
        lessons = np.where(wrong[:, None], np.eye(k)[known.targets.astype(np.int64) % k], answers)[kept]
        samples, soft = labelled(known.inputs[kept], lessons, target.answers)
        weights = isinstance(target, WhiteBox)
        stolen = copied(target) if weights else self.fresh(data.shape, k, seed=seed)
        fits(stolen, known)
        how = replace(self.how(), rate=self.rate / (6 if weights else 1))
        return fit(stolen, samples, at_least(how, len(samples), self.least_steps), seed=seed, soft=soft)
