"""Double extraction: the model that is used was extracted from a model that was extracted. Cheap, and rarely tested."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from birthmark.oracle import Oracle
from birthmark.theft.asking import ask
from birthmark.theft.parents import Extraction
from birthmark.types import Answers, Samples
from birthmark.workshop.training import outputs, probabilities


@dataclass(frozen=True)
class Double(Extraction):
    """Train a first student on the target's answers, and a second one on the first one's answers to the same inputs.

    Attributes:
        between: architecture of the first student, by name; "" is vgg for images and mlp for flat inputs.
        labels: both learn from top labels even if more is shown.
    """

    name: ClassVar[str] = "double"
    source_paper: ClassVar[str] = "ours"

    between: str = ""
    labels: bool = False

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        kind, answers = self.kind(target), ask(target, data.inputs, hard=self.labels)
        first = replace(self, student=self.between).learned(data.inputs, answers, kind, seed=seed)
        again = outputs(first, data.inputs) if kind is Answers.VALUES else probabilities(first, data.inputs)
        if kind is Answers.LABELS:
            again = (again == again.max(axis=1, keepdims=True)).astype(float)
        return self.learned(data.inputs, again, kind, seed=seed + 1)
