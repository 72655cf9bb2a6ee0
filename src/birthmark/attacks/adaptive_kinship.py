"""Against kinship, knowing all but the twins: drown the source's own deviations in somebody else's.

Three dishonest ways, each at a price: fine-tuning on true labels (it needs them, and then hardly needs the theft),
answering together with an independent model, and training towards an ensemble of independent models.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.answers import one_hot
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.parents import Adaptive
from birthmark.theft.weights import fits, named
from birthmark.types import Samples
from birthmark.workshop.architectures import Average
from birthmark.workshop.training import fit, probabilities

WAYS = ("labels", "mixing", "ensemble")
PRESETS = {way: {"way": way} for way in WAYS}


@dataclass(frozen=True)
class AdaptiveKinship(Adaptive):
    """Take a copy (with the weights) or a student (without), then hide whose it is.

    Attributes:
        way: "labels" fine-tunes on true labels, "mixing" averages answers with an independent model, "ensemble"
            fine-tunes towards the mean of independent models; for a fifth of the least steps.
        strength: weight of what is foreign, 0 to 1: the share of the independent model, or of the ensemble beside true
            labels.
        own: number of independent models ("ensemble").
    """

    name: ClassVar[str] = "adaptive-kinship"
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("kinship", "random-queries")
    classifier: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {"way": WAYS, "strength": "[0, 1]", "own": "[1, inf)"}

    way: str = "mixing"
    strength: float = 0.5
    own: int = 2

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        stolen, answers = self.taken(target, data, seed)
        tuning = self.tuning(len(fits(stolen, data)), 5)
        if self.way == "labels":
            return fit(stolen, data, tuning, seed=seed)
        own = self.independents(self.own if self.way == "ensemble" else 1, stolen, data, answers.shape[1], seed)
        if self.way == "mixing":
            return named(Average([stolen, own[0]], 1 - self.strength), stolen, members=2).eval()
        foreign = np.mean([probabilities(model, data.inputs) for model in own], axis=0)
        truth = one_hot(data.targets.astype(np.int64), answers.shape[1])
        soft = np.asarray(self.strength * foreign + (1 - self.strength) * truth)
        return fit(stolen, data, tuning, seed=seed, soft=soft)
