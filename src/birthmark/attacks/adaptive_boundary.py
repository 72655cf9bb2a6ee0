"""Against crafted queries (CEM, IPGuard, NaturalFinger and their like): move the boundary where such queries must lie.

The thief makes the same kind of points: inputs that flip the stolen model but not independent ones. Teaching it the
independent models' answers there, beside adversarial training, takes away what a claim of that kind can ask about.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.parents import Adaptive
from birthmark.theft.weights import attacked, fits
from birthmark.types import Array, Labels, Samples
from birthmark.workshop.training import fit, outputs


@dataclass(frozen=True)
class AdaptiveBoundary(Adaptive):
    """Take a copy or a student; in rounds, make decoys and fine-tune on data, decoys and PGD examples.

    Attributes:
        own: number of independent models that must agree on a decoy's label.
        rounds: of decoys and fine-tuning, each for a sixth of the least steps.
        epsilon, steps: L-inf radius, in input units, and steps of decoys and of adversarial training.
        share: of each batch that is replaced by adversarial examples, 0 to 1.
    """

    name: ClassVar[str] = "adaptive-boundary"
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("cem", "ipguard", "naturalfinger", "metafinger", "metav", "liteguard")
    classifier: ClassVar[bool] = True
    truth: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {
        "own": "[1, inf)",
        "rounds": "[1, inf)",
        "epsilon": "(0, inf)",
        "steps": "[1, inf)",
        "share": "[0, 1]",
    }

    tune: int = 2
    own: int = 2
    rounds: int = 2
    epsilon: float = 0.1
    steps: int = 5
    share: float = 0.3

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target, data)
        stolen, answers = self.taken(target, data, seed)
        own = self.independents(self.own, stolen, fits(stolen, data), answers.shape[1], seed)
        for turn in range(self.rounds):
            points, labels = self._decoys(stolen, own, data, seed + turn)
            more = Samples(np.concatenate([data.inputs, points]), np.concatenate([data.targets, labels]), data.classes)
            tuning = replace(self.tuning(len(more), 6), adversarial=self.share, epsilon=self.epsilon, steps=self.steps)
            fit(stolen, more, tuning, seed=seed + turn)
        return stolen

    def _decoys(self, stolen: nn.Module, own: list[nn.Module], data: Samples, seed: int) -> tuple[Array, Labels]:
        """Points near the data that flip the stolen model, with the label that all independent models give them."""
        points = attacked(stolen, data.inputs, data.targets.astype(np.int64), self.epsilon, self.steps, seed)
        said = np.stack([outputs(model, points).argmax(1) for model in own])
        useful = (said == said[0]).all(axis=0) & (outputs(stolen, points).argmax(1) != said[0])
        return points[useful], said[0][useful]
