"""CEM: adversarial examples that transfer to models derived from the source, and to no others.

Source: Lukas, Zhang & Kerschbaum, "Deep neural network fingerprinting by conferrable adversarial examples", ICLR 2021,
arXiv:1912.00888. There is no official code, and the paper's text was not read: definitions and constants are those of
two public re-implementations and a report about one, so no equation is cited.

    Confer(S, R, x; t) = Transfer(S, x; t) (1 - Transfer(R, x; t)),   Transfer = share of models that answer t
    L(x') = - alpha log max_{t != y} (Surr(x') (1 - Ref(x')))_t - beta min(H(f(x), f(x')), cap) + gamma H(f(x'),
    Surr(x'))

Surr and Ref are mean probabilities of the derived and the independent models; each is dropped with probability
`dropout` at each step. |x' - x| <= epsilon, pixels in [0, 1], Adam. Kept are the x' of highest Confer on which the
source leaves the true label y. The score is CAEAcc: the share of queries on which the suspect answers as the source.

Departures: the published composite takes a softmax of the product Surr (1 - Ref). That product lies in [0, 1], so its
gradient almost vanishes (with 10 classes the softmax never exceeds .23). Here the logarithm of the product itself is
used, and the adversarial term is bounded. Its label t is the best class other than the true one, chosen anew at every
step; a query's label is what the source answers in the end. Step size (.01) and steps (150) of Adam are ours. `members`
models of each side are drawn a step after drop-out, 0 for all. The filter ranks, because few points pass a fixed
threshold on a wide cohort.

Cost: the cohort, then seconds to minutes of crafting. Use it for copies of the weights. It is weak on adversarially
trained models and on extraction.
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

    from birthmark.crafting.queries import Member


@dataclass(frozen=True)
class CEM(CraftedAgainst):
    """CAEAcc on conferrable adversarial examples.

    Attributes:
        epsilon: L-inf radius, in pixels of [0, 1].
        alpha, beta, gamma: weights of the three terms. cap: bound of the adversarial term, in nats.
        dropout: share of models dropped at each step, 0 to 1. members: most models of a side used at a step, 0 for all.
        confer: least Confer of the best candidate, 0 to 1.
    """

    name: ClassVar[str] = "cem"
    source_paper: ClassVar[str] = "Lukas, Zhang & Kerschbaum, ICLR 2021, arXiv:1912.00888"
    allowed: ClassVar[Allowed] = {"steps": "[1, inf)", "epsilon": "(0, 1]", "dropout": "[0, 1)"}

    rate: float = 0.01
    candidates: float = 2.0
    members: int = 6
    epsilon: float = 0.15
    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 1.0
    cap: float = 5.0
    dropout: float = 0.3
    confer: float = 0.1

    def craft(self, owner: Owner, cohort: Cohort, seed: int) -> Tensors:
        import torch

        from birthmark.crafting.queries import best, conferrability, finished, prepared, starts, varied
        from birthmark.workshop.training import outputs, seeded

        derived, independent = prepared(cohort.derived), prepared(cohort.independent)
        chosen = starts(owner, cohort.derived[0], int(self.queries * self.candidates), seed=seed)
        x, truth = torch.from_numpy(chosen.inputs), torch.from_numpy(chosen.targets.astype(np.int64))
        with seeded(seed):
            clean = derived[0](x).detach().softmax(1)
            moved = x.clone().requires_grad_()
            adam = torch.optim.Adam([moved], self.rate)
            for _ in range(self.steps):
                view = varied(moved, self.compress) if self.compress else moved
                logits = derived[0](view)
                surr, ref = (mean_probabilities(self._kept(side), view) for side in (derived[1:], independent))
                cost = objective(logits, clean, surr, ref, truth, self)
                adam.zero_grad()
                cost.sum().backward()
                adam.step()
                with torch.no_grad():
                    moved.copy_((x + (moved - x).clamp(-self.epsilon, self.epsilon)).clamp(0, 1))
        queries = finished(moved)
        labels = outputs(cohort.derived[0], queries).argmax(1).astype(np.int64)
        quality = conferrability(cohort, queries, labels, compress=self.compress) * (labels != chosen.targets)
        crafted = {"queries": queries, "labels": labels}
        return best(crafted, quality, self.queries, self.confer, "raise epsilon, steps or rate, or lower confer")

    def _kept(self, members: "list[Member]") -> "list[Member]":
        """Members that survive drop-out at this step; one at least."""
        import torch

        from birthmark.crafting.queries import drawn

        rolls = torch.rand(len(members)).tolist()
        alive = [member for member, roll in zip(members, rolls, strict=True) if roll >= self.dropout]
        return drawn(alive or members[:1], self.members or len(members))


def mean_probabilities(members: "list[Member]", x: "Tensor") -> "Tensor":
    """Mean over members of their probabilities, tensor (n, k)."""
    total: Tensor = sum(member(x).softmax(1) for member in members)  # type: ignore[assignment]
    return total / len(members)


def objective(logits: "Tensor", clean: "Tensor", surr: "Tensor", ref: "Tensor", truth: "Tensor", how: CEM) -> "Tensor":
    """L of each candidate, tensor (n,).

    Args:
        logits: the source's at x'. clean: its probabilities at x. surr, ref: mean probabilities at x'. truth: labels y.
    """
    product = (surr * (1 - ref)).scatter(1, truth[:, None], 0.0)
    confer = -product.amax(1).clamp_min(1e-6).log()
    away = -(clean * logits.log_softmax(1)).sum(1)
    agree = -(logits.softmax(1) * surr.clamp_min(1e-6).log()).sum(1)
    return how.alpha * confer - how.beta * away.clamp_max(how.cap) + how.gamma * agree
