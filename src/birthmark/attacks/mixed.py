"""Mixed-teacher distillation.

The student's teacher is the average of the target and an independent model of the thief's.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import ask
from birthmark.theft.parents import Extraction
from birthmark.types import Answers, Samples
from birthmark.workshop.training import outputs, probabilities


@dataclass(frozen=True)
class Mixed(Extraction):
    """Train a model of one's own on true labels, then a student on  share * target + (1 - share) * own.

    Attributes:
        own: architecture of the independent model, by name; "" is vgg for images and mlp for flat inputs.
        share: of the target in the teacher, 0 to 1.
    """

    name: ClassVar[str] = "mixed"
    source_paper: ClassVar[str] = "ours"
    allowed: ClassVar[Allowed] = {"share": "[0, 1]"}

    own: str = ""
    share: float = 0.5

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        answers = ask(target, data.inputs)
        inputs = data.inputs[: len(answers)]
        own = replace(self, student=self.own).fresh(data.shape, answers.shape[1], seed=seed + 1)
        self.trained(own, data, seed=seed + 1)
        values = target.answers is Answers.VALUES
        mine = outputs(own, inputs) if values else probabilities(own, inputs)
        teacher = np.asarray(self.share * answers + (1 - self.share) * mine)
        return self.learned(inputs, teacher, Answers.VALUES if values else Answers.PROBABILITIES, seed=seed)
