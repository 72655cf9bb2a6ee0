"""An ensemble of thieves: students on disjoint shares of the queries answer together (Lukas et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.errors import DataError
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import ask
from birthmark.theft.parents import Extraction
from birthmark.theft.weights import named
from birthmark.types import Samples
from birthmark.workshop.architectures import Average

PRESETS = {"wrt": {"parts": 3, "epochs": 60}}


@dataclass(frozen=True)
class Ensemble(Extraction):
    """Train one student on each share of the target's answers; the stolen model averages their probabilities.

    Attributes:
        parts: number of students.
        labels: learn from the top labels even if the target shows more.
    """

    name: ClassVar[str] = "ensemble"
    source_paper: ClassVar[str] = "Lukas et al. 2022"
    classifier: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {"parts": "[2, inf)"}

    least_steps: int = 200
    parts: int = 3
    labels: bool = False

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        inputs = data.inputs[np.random.default_rng(seed).permutation(len(data))]
        answers = ask(target, inputs, hard=self.labels)
        if len(answers) < 2 * self.parts:
            raise DataError(
                f"ensemble: expected at least {2 * self.parts} answers for {self.parts} students, got {len(answers)}; "
                "bring more data or budget"
            )
        shares = np.array_split(np.arange(len(answers)), self.parts)
        students = [
            self.learned(inputs[share], answers[share], self.kind(target), seed=seed + i)
            for i, share in enumerate(shares)
        ]
        return named(Average(students), students[0], members=self.parts).eval()
