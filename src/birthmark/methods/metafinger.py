"""MetaFinger: queries on which derived models answer like the source and independent ones do not.

Source: Yang, Wang & Wang, "MetaFinger: fingerprinting the deep neural networks with meta-training", IJCAI 2022. The
rule is that of the released code as public descriptions give it; the paper's text was not read, so no equation is
cited.

    minimise over x:  mean over drawn derived models KL(f(T(x)) || M(T(x))) - alpha mean over drawn independent models
    KL(f(T(x)) || M(T(x)))

from training images; T is a random transform. The score is the matching rate with the source's label.

Departures: pixels are sigmoids; the second divergence is bounded, since it grows without limit where an independent
model is surely wrong; points are ranked by the share of derived models on the label times that of independent ones off
it, in place of asking all of them, which leaves nothing on a wide cohort.

Cost: the cohort, then a minute of crafting. Use it beside NaturalFinger; it is weaker on students, and like every
crafted method it needs a cohort as wide as its innocents.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError
from birthmark.method import Method
from birthmark.scoring.matching import matches
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Cohort, Owner


@dataclass(frozen=True)
class MetaFinger(Method):
    """Matching rate on points of unlike divergence.

    Attributes:
        queries: of each owner.
        placebos: twins that the same is done for, cohort and all; 0 for the paper's form: a raw score, inconclusive as
            a verdict.
        references: independent models of the null, unseen in crafting.
        cohort: recipe of derived and independent models to craft with.
        candidates: candidates for each query that is kept, 1 and up.
        alpha: weight of the second divergence. cap: its bound, in nats.
        steps, rate: of Adam, on the sigmoids' arguments. members: models of each side drawn at a step.
        confer: least quality of the best candidate, 0 to 1.
        compress: JPEG quality the queries must survive, 0 for none.
    """

    name: ClassVar[str] = "metafinger"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Yang, Wang & Wang, IJCAI 2022"
    crafted_against: ClassVar[bool] = True

    queries: int = 100
    placebos: int = 0
    references: int = 19
    cohort: str = "wide"
    candidates: float = 1.5
    alpha: float = 1.0
    cap: float = 5.0
    steps: int = 150
    rate: float = 0.05
    members: int = 3
    confer: float = 0.1
    compress: int = 0

    def __post_init__(self) -> None:
        if self.queries < 1 or self.placebos < 0 or self.steps < 0 or self.members < 1 or self.candidates < 1:
            raise SettingError(
                f"expected queries, members, candidates >= 1, placebos and steps >= 0, got {self.queries}, "
                f"{self.members}, {self.candidates}, {self.placebos}, {self.steps}"
            )

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting.queries import enrolled

        return enrolled(
            self, owner, self._craft, cohort=self.cohort, placebos=self.placebos, references=self.references, seed=seed
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return matches(claim, answers)

    def _craft(self, owner: Owner, cohort: Cohort, seed: int) -> dict[str, NDArray[Any]]:
        import torch

        from birthmark.crafting.queries import (
            best,
            conferrability,
            drawn,
            finished,
            prepared,
            starts,
            unbounded,
            varied,
        )
        from birthmark.workshop.training import outputs, seeded

        source, *derived = prepared(cohort.derived)
        independent = prepared(cohort.independent)
        u = unbounded(
            starts(owner, cohort.derived[0], int(self.queries * self.candidates), seed=seed).inputs
        ).requires_grad_()
        with seeded(seed):
            adam = torch.optim.Adam([u], self.rate)
            for _ in range(self.steps):
                view = varied(torch.sigmoid(u), self.compress)
                mine = source(view).log_softmax(1)
                near, far = (
                    torch.stack([divergence(mine, member(view).log_softmax(1)) for member in drawn(side, self.members)])
                    for side in (derived, independent)
                )
                cost = near.mean(0) - self.alpha * far.clamp_max(self.cap).mean(0)
                adam.zero_grad()
                cost.sum().backward()
                adam.step()
        queries = finished(torch.sigmoid(u))
        labels = outputs(cohort.derived[0], queries).argmax(1).astype(np.int64)
        quality = conferrability(cohort, queries, labels, compress=self.compress)
        return best(
            {"queries": queries, "labels": labels},
            quality,
            self.queries,
            self.confer,
            "raise steps, rate or candidates, or lower confer",
        )


def divergence(p: Any, q: Any) -> Any:
    """KL(p || q) of each row (n,), from log-probabilities (n, k)."""
    return (p.exp() * (p - q)).sum(1)
