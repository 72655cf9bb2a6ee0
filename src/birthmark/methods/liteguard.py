"""LiteGuard: one small verifier for each query, trained with it, none knowing of the others.

Source: LiteGuard, ICLR 2026, the successor of MetaV. Rule and constants are those of public notes on the paper, whose
text was not read and whose code is not public, so no equation is cited.

    v_i(y) = sigmoid(<w_i, y> + b_i)
    minimise over x_i, w_i, b_i:  .5 BCE(v_i(f(x_i)), 1) + 1 BCE(v_i(a derived model), 1) + 1.5 BCE(v_i(an independent
    one), 0)

with models drawn at each step. The score is the mean of the verifiers' outputs.

Departures: treated copies and students stand in place of the source's training checkpoints; pixels are sigmoids;
`members` models a side are drawn a step; of more candidates than queries those are kept that separate the cohort best.

Cost: the cohort, then a minute of crafting. Use it for suspects that answer probabilities; labels are scored as one-hot
rows, weaker. It needs a cohort as wide as its innocents, like every crafted method.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError, ShapeError
from birthmark.method import Method
from birthmark.scoring.matching import by_owner
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Cohort, Owner


@dataclass(frozen=True)
class LiteGuard(Method):
    """Mean of local verifiers.

    Attributes:
        queries: of each owner.
        placebos: twins that the same is done for, cohort and all; 0 for the paper's form: a raw score, inconclusive as
            a verdict.
        references: independent models of the null, unseen in crafting.
        cohort: recipe of derived and independent models to craft with.
        start: "random" training images, or "mined" where the two sides differ most.
        pool: images that starts are mined from.
        candidates: candidates for each query that is kept, 1 and up.
        steps: of Adam. rate: of the verifiers. pixel_rate: of the sigmoids' arguments.
        members: models of each side drawn at a step.
        own, derived, independent: weights of the three terms.
        compress: JPEG quality the queries must survive, 0 for none.
    """

    name: ClassVar[str] = "liteguard"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "LiteGuard, ICLR 2026"
    crafted_against: ClassVar[bool] = True

    queries: int = 100
    placebos: int = 0
    references: int = 19
    cohort: str = "wide"
    start: str = "random"
    pool: int = 4000
    candidates: float = 1.5
    steps: int = 500
    rate: float = 0.01
    pixel_rate: float = 0.05
    members: int = 1
    own: float = 0.5
    derived: float = 1.0
    independent: float = 1.5
    compress: int = 0

    def __post_init__(self) -> None:
        if self.start not in ("random", "mined"):
            raise SettingError(f"expected start 'random' or 'mined', got {self.start!r}")
        if self.queries < 1 or self.placebos < 0 or self.steps < 1 or self.members < 1 or self.candidates < 1:
            raise SettingError(
                f"expected queries, steps, members, candidates >= 1 and placebos >= 0, got {self.queries}, "
                f"{self.steps}, {self.members}, {self.candidates}, {self.placebos}"
            )

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting.queries import enrolled

        return enrolled(
            self, owner, self._craft, cohort=self.cohort, placebos=self.placebos, references=self.references, seed=seed
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        if answers.ndim != 2 or answers.shape[1] != claim.task.outputs:
            raise ShapeError(f"liteguard: expected answers of shape (q, {claim.task.outputs}), got {answers.shape}")
        q = len(answers)
        w, b = claim.tensors["weights"][:q], claim.tensors["bias"][:q]
        return by_owner(claim, verified(answers, w, b), [verified(rows[:q], w, b) for rows in claim.references])

    def _craft(self, owner: Owner, cohort: Cohort, seed: int) -> dict[str, NDArray[Any]]:
        import torch
        from torch.nn.functional import softplus

        from birthmark.crafting.queries import best, drawn, finished, mined, prepared, starts, unbounded, varied
        from birthmark.workshop.training import probabilities, seeded

        n, k = int(self.queries * self.candidates), owner.task.outputs
        if self.start == "mined":
            order = np.random.default_rng(seed).permutation(len(owner.train))[: max(self.pool, n)]
            images = mined(cohort, owner.train.inputs[order], n).inputs
        else:
            images = starts(owner, cohort.derived[0], n, seed=seed).inputs
        source, *derived = prepared(cohort.derived)
        independent = prepared(cohort.independent)
        u = unbounded(images).requires_grad_()
        with seeded(seed):
            w, b = (0.1 * torch.randn(len(images), k)).requires_grad_(), torch.zeros(len(images), requires_grad=True)
            adam = torch.optim.Adam([{"params": [u], "lr": self.pixel_rate}, {"params": [w, b], "lr": self.rate}])
            for _ in range(self.steps):
                x = torch.sigmoid(u)
                view = varied(x, self.compress) if self.compress else x
                cost = self.own * softplus(-((source(view).softmax(1) * w).sum(1) + b))
                for side, sign, weight in ((derived, -1, self.derived), (independent, 1, self.independent)):
                    for member in drawn(side, self.members):
                        cost = cost + weight / self.members * softplus(
                            sign * ((member(view).softmax(1) * w).sum(1) + b)
                        )
                adam.zero_grad()
                cost.sum().backward()
                adam.step()
        queries = finished(torch.sigmoid(u))
        weights, bias = w.detach().double().numpy(), b.detach().double().numpy()
        ours, theirs = (
            np.mean([verified(probabilities(model, queries), weights, bias) for model in side], axis=0)
            for side in (cohort.derived, cohort.independent)
        )
        return best(
            {"queries": queries, "weights": weights, "bias": bias},
            ours - theirs,
            self.queries,
            0.0,
            "raise steps or rate",
        )


def verified(answers: Floats, weights: Floats, bias: Floats) -> Floats:
    """sigmoid(<w_i, y_i> + b_i) of each query (q,), from answers (q, k), weights (q, k) and bias (q,)."""
    return np.asarray(1 / (1 + np.exp(-((answers * weights).sum(axis=1) + bias))))
