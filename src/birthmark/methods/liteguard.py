"""LiteGuard: one small verifier for each query, trained with it, none knowing of the others.

Source: LiteGuard, ICLR 2026, the successor of MetaV. Rule and constants are those of public notes on the paper, whose
text was not read and whose code is not public, so no equation is cited.

    v_i(y) = sigmoid(<w_i, y> + b_i)
    minimise over x_i, w_i, b_i:  .5 BCE(v_i(f(x_i)), 1) + 1 BCE(v_i(a derived model), 1) + 1.5 BCE(v_i(an independent
    one), 0)

with models drawn at each step. The score is the mean of the verifiers' outputs.

Departures: treated copies and students stand in place of the source's training checkpoints. Pixels are sigmoids;
`members` models a side are drawn a step. Of more candidates than queries those are kept that separate the cohort best.

Cost: the cohort, then a minute of crafting. Use it for suspects that answer probabilities; labels are scored as one-hot
rows, weaker. It needs a cohort as wide as its innocents, like every crafted method.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from birthmark.claim import Claim, Scores
from birthmark.crafting.parents import CraftedAgainst
from birthmark.scoring.matching import by_owner, fitting
from birthmark.settings import Allowed
from birthmark.types import Array, Floats, Tensors
from birthmark.workshop.owner import Cohort, Owner

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LiteGuard(CraftedAgainst):
    """Mean of local verifiers.

    Attributes:
        start: "random" training images, or "mined" where the two sides differ most.
        pool: images that starts are mined from.
        steps: of Adam. rate: of the verifiers. pixel_rate: of the sigmoids' arguments.
        own, derived, independent: weights of the three terms.
    """

    name: ClassVar[str] = "liteguard"
    source_paper: ClassVar[str] = "LiteGuard, ICLR 2026"
    allowed: ClassVar[Allowed] = {"start": ("random", "mined"), "steps": "[1, inf)", "members": "[1, inf)"}

    steps: int = 500
    rate: float = 0.01
    members: int = 1
    start: str = "random"
    pool: int = 4000
    pixel_rate: float = 0.05
    own: float = 0.5
    derived: float = 1.0
    independent: float = 1.5

    def score(self, claim: Claim, answers: Floats) -> Scores:
        q = len(fitting(claim, answers))
        w, b = claim.tensors["weights"][:q], claim.tensors["bias"][:q]
        return by_owner(claim, verified(answers, w, b), [verified(rows[:q], w, b) for rows in claim.references])

    def craft(self, owner: Owner, cohort: Cohort, seed: int) -> Tensors:
        import torch
        from torch.nn.functional import softplus

        from birthmark.crafting.queries import best, drawn, finished, prepared, unbounded, varied
        from birthmark.workshop.training import seeded

        images, k = self._starts(owner, cohort, seed), owner.task.outputs
        (source, *derived), independent = prepared(cohort.derived), prepared(cohort.independent)
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
                        said = (member(view).softmax(1) * w).sum(1) + b
                        cost = cost + weight / self.members * softplus(sign * said)
                adam.zero_grad()
                cost.sum().backward()
                adam.step()
        crafted: Tensors = {"queries": finished(torch.sigmoid(u)), "weights": _doubles(w), "bias": _doubles(b)}
        gap = _gap(cohort, crafted["queries"], crafted["weights"], crafted["bias"])
        return best(crafted, gap, self.queries, 0.0, "raise steps or rate")

    def _starts(self, owner: Owner, cohort: Cohort, seed: int) -> Array:
        from birthmark.crafting.queries import mined, starts

        n = int(self.queries * self.candidates)
        if self.start == "random":
            return starts(owner, cohort.derived[0], n, seed=seed).inputs
        order = np.random.default_rng(seed).permutation(len(owner.train))[: max(self.pool, n)]
        return mined(cohort, owner.train.inputs[order], n).inputs


def _doubles(tensor: "Tensor") -> Floats:
    return np.asarray(tensor.detach().double().numpy())


def _gap(cohort: Cohort, queries: Array, weights: Floats, bias: Floats) -> Floats:
    """How much higher each query's verifier holds derived models than independent ones (q,)."""
    from birthmark.workshop.training import probabilities

    ours, theirs = (
        np.mean([verified(probabilities(model, queries), weights, bias) for model in side], axis=0)
        for side in (cohort.derived, cohort.independent)
    )
    return np.asarray(ours - theirs)


def verified(answers: Floats, weights: Floats, bias: Floats) -> Floats:
    """sigmoid(<w_i, y_i> + b_i) of each query (q,), from answers (q, k), weights (q, k) and bias (q,)."""
    return np.asarray(1 / (1 + np.exp(-((answers * weights).sum(axis=1) + bias))))
