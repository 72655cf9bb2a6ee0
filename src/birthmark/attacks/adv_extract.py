"""Adversarial extraction: a student learns the target's answers to clean inputs and to its own adversarial examples.

SAC's Extract-Adv (Guan, Liang & He 2022): half of the queries lie where crafted fingerprints do, near the boundary.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from birthmark.settings import Allowed
from birthmark.theft.parents import Asked, Rounds
from birthmark.theft.weights import attacked
from birthmark.types import Array, Samples
from birthmark.workshop.training import Training

PRESETS = {"sac": {"epsilon": 4 / 256, "steps": 30, "epochs": 60}, "wrt": {"epsilon": 0.25, "steps": 40, "epochs": 60}}


@dataclass(frozen=True)
class AdvExtract(Rounds):
    """Train a student on the target's answers, attack it with PGD, ask the target about the results, train afresh on
    both.

    Attributes:
        queries: most inputs to ask, adversarial ones included; 0 for twice the data.
        epsilon, steps: L-inf radius in input units, and number of steps of PGD.
    """

    name: ClassVar[str] = "adv-extract"
    source_paper: ClassVar[str] = "Guan et al. 2022 (SAC)"
    classifier: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {"epsilon": "(0, inf)", "steps": "[1, inf)"}

    labels: bool = True
    round_steps: int = 150
    epsilon: float = 0.05
    steps: int = 10

    def between(self) -> Training:
        return replace(self.how(), epochs=max(self.epochs // 2, 1))

    def rounds_of(self, data: Samples, left: int, seed: int) -> Generator[Array, Asked, None]:
        total = min(self.queries or 2 * len(data), left)
        known = yield data.inputs[np.random.default_rng(seed).permutation(len(data))[: -(-total // 2)]]
        worse = attacked(known.student(), known.inputs, known.answers.argmax(1), self.epsilon, self.steps, seed)
        yield worse[: max(total - len(known.inputs), 0)]
