"""MetaFinger: queries on which derived models answer like the source and independent ones do not.

Source: Yang, Wang & Wang, "MetaFinger: fingerprinting the deep neural networks with meta-training", IJCAI 2022. The
rule is that of the released code as public descriptions give it; the paper's text was not read, so no equation is
cited.

    minimise over x:  mean over drawn derived models KL(f(T(x)) || M(T(x))) - alpha mean over drawn independent models
    KL(f(T(x)) || M(T(x)))

from training images; T is a random transform. The score is the matching rate with the source's label.

Departures: pixels are sigmoids; the second divergence is bounded, since it grows without limit where an independent
model is surely wrong. Points are ranked by the share of derived models on the label times that of independent ones off
it. Asking all of them in its place leaves nothing on a wide cohort.

Cost: the cohort, then a minute of crafting. Use it beside NaturalFinger; it is weaker on students, and like every
crafted method it needs a cohort as wide as its innocents.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from birthmark.crafting.parents import CraftedAgainst
from birthmark.settings import Allowed
from birthmark.types import Tensors
from birthmark.workshop.owner import Cohort, Owner

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MetaFinger(CraftedAgainst):
    """Matching rate on points of unlike divergence.

    Attributes:
        alpha: weight of the second divergence. cap: its bound, in nats.
        steps, rate: of Adam, on the sigmoids' arguments.
        confer: least quality of the best candidate, 0 to 1.
    """

    name: ClassVar[str] = "metafinger"
    source_paper: ClassVar[str] = "Yang, Wang & Wang, IJCAI 2022"
    allowed: ClassVar[Allowed] = {"members": "[1, inf)"}

    alpha: float = 1.0
    cap: float = 5.0
    confer: float = 0.1

    def craft(self, owner: Owner, cohort: Cohort, seed: int) -> Tensors:
        import torch

        from birthmark.crafting import queries as crafting
        from birthmark.workshop.training import outputs, seeded

        source, *derived = crafting.prepared(cohort.derived)
        independent = crafting.prepared(cohort.independent)
        n = int(self.queries * self.candidates)
        u = crafting.unbounded(crafting.starts(owner, cohort.derived[0], n, seed=seed).inputs).requires_grad_()
        with seeded(seed):
            adam = torch.optim.Adam([u], self.rate)
            for _ in range(self.steps):
                view = crafting.varied(torch.sigmoid(u), self.compress)
                mine = source(view).log_softmax(1)
                near, far = (
                    torch.stack([divergence(mine, m(view).log_softmax(1)) for m in crafting.drawn(side, self.members)])
                    for side in (derived, independent)
                )
                cost = near.mean(0) - self.alpha * far.clamp_max(self.cap).mean(0)
                adam.zero_grad()
                cost.sum().backward()
                adam.step()
        queries = crafting.finished(torch.sigmoid(u))
        labels = outputs(cohort.derived[0], queries).argmax(1).astype(np.int64)
        quality = crafting.conferrability(cohort, queries, labels, compress=self.compress)
        crafted, advice = {"queries": queries, "labels": labels}, "raise steps, rate or candidates, or lower confer"
        return crafting.best(crafted, quality, self.queries, self.confer, advice)


def divergence(p: "Tensor", q: "Tensor") -> "Tensor":
    """KL(p || q) of each row (n,), from log-probabilities (n, k)."""
    return (p.exp() * (p - q)).sum(1)
