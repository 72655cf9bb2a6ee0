"""MetaV: queries and a verifier of all answers together, trained at once.

Source: Pan, Yan, Zhang & Yang, "MetaV: a meta-verifier approach to task-agnostic model fingerprinting", KDD 2022,
arXiv:2201.07391v3. Objective and constants are as public notes and a third-party implementation give them; the paper's
text was not read, so no equation is cited.

    minimise over X and V:  - log V(f(X)) - E log V(derived(X)) - E log(1 - V(independent(X)))

V maps the answers to all N queries, put side by side, through a linear layer of 128 units and a second one to a share
between 0 and 1. One random transform of the queries a step. The score is V of the suspect's answers.

Departures: pixels are sigmoids; the cohort holds several families of theft, and the queries kept are those of the step
that separates best `held` of the models of each side, which are not trained on. Queries left unasked count as answered
by the cohort's mean.

Cost: the cohort, then a minute of crafting. One verifier of everything overfits a small cohort: prefer LiteGuard. There
are no placebos: the score is ranked among references, and a verdict stays inconclusive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Claim, Scores
from birthmark.errors import ShapeError
from birthmark.method import Method
from birthmark.scoring.matching import fitting, of_owners
from birthmark.settings import Allowed
from birthmark.types import Access, Floats, Tensors
from birthmark.workshop.owner import Cohort, Owner

if TYPE_CHECKING:
    from torch import Tensor, nn

    from birthmark.crafting.queries import Member


@dataclass(frozen=True)
class MetaV(Method):
    """A joint verifier of all answers.

    Attributes:
        queries: size of the query set.
        references: independent models of the null, unseen in crafting.
        cohort: recipe of derived and independent models to craft with.
        held: share of each side that is held out to choose the step, 0 to 0.5.
        hidden: units of the verifier.
        steps: of Adam; the rate falls linearly to 0. rate: of queries and verifier.
        members: models of each side drawn at a step.
        compress: JPEG quality the queries must survive, 0 for none.
    """

    name: ClassVar[str] = "metav"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Pan, Yan, Zhang & Yang, KDD 2022, arXiv:2201.07391v3"
    crafted_against: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {
        "queries": "[1, inf)",
        "held": "[0, 0.5]",
        "hidden": "[1, inf)",
        "steps": "[1, inf)",
        "members": "[1, inf)",
        "compress": "[0, 95]",
    }

    queries: int = 100
    references: int = 19
    cohort: str = "wide"
    held: float = 0.25
    hidden: int = 128
    steps: int = 300
    rate: float = 0.01
    members: int = 3
    compress: int = 0

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting.queries import weak
        from birthmark.workshop.cohort import recipe
        from birthmark.workshop.owner import gather
        from birthmark.workshop.training import probabilities

        cohort = gather(owner, recipe(self.cohort))
        tensors = self._craft(owner, cohort, seed)
        if self.references:
            tensors["references"] = np.stack(
                [probabilities(model, tensors["queries"]) for model in owner.references(self.references)]
            )
        facts = {
            "cohort": {"derived": len(cohort.derived), "independent": len(cohort.independent)},
            "warnings": [*weak(owner), *cohort.warnings],
        }
        return Claim(self.name, asdict(self), owner.task, seed, tensors, facts)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        if not len(fitting(claim, answers)):
            raise ShapeError("metav: expected at least one answer, got none")
        rows = np.concatenate([answers, claim.tensors["mean"][len(answers) :]])
        share = joint(rows[None], claim.tensors)
        return of_owners(share, share[0])

    def _craft(self, owner: Owner, cohort: Cohort, seed: int) -> Tensors:
        import torch
        from torch import nn

        from birthmark.crafting.queries import prepared, starts, unbounded, varied
        from birthmark.workshop.training import probabilities, seeded

        images = starts(owner, cohort.derived[0], self.queries, seed=seed).inputs
        source = prepared(cohort.derived[:1])[0]
        sides, checks = self._held_out(cohort, np.random.default_rng(seed))
        with seeded(seed):
            u = unbounded(images).requires_grad_()
            width = len(images) * owner.task.outputs
            verifier = nn.Sequential(nn.Flatten(), nn.Linear(width, self.hidden), nn.Linear(self.hidden, 2))
            adam = torch.optim.Adam([u, *verifier.parameters()], self.rate)
            falls = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.01, self.steps)
            chosen, reached = _tensors(u, verifier), -np.inf
            for step in range(1, self.steps + 1):
                cost = self._cost(varied(torch.sigmoid(u), self.compress), source, sides, verifier)
                adam.zero_grad()
                cost.backward()
                adam.step()
                falls.step()
                if step % 25 == 0 or step == self.steps:
                    now = _tensors(u, verifier)
                    gap = _gap(now, checks)
                    if gap >= reached:
                        chosen, reached = now, gap
        both = [*cohort.derived, *cohort.independent]
        return {**chosen, "mean": np.mean([probabilities(model, chosen["queries"]) for model in both], axis=0)}

    def _held_out(
        self, cohort: Cohort, random: np.random.Generator
    ) -> "tuple[list[list[Member]], list[list[nn.Module]]]":
        """The models of each side that are trained on, and those that choose the step."""
        from birthmark.crafting.queries import prepared

        sides, checks = [], []
        for models in (cohort.derived[1:], cohort.independent):
            order, out = random.permutation(len(models)), int(self.held * len(models))
            sides.append(prepared([models[i] for i in order[out:]]))
            checks.append([models[i] for i in order[:out]])
        return sides, checks

    def _cost(
        self, view: "Tensor", source: "Member", sides: "Sequence[Sequence[Member]]", verifier: "nn.Module"
    ) -> "Tensor":
        """The verifier's cross-entropy on the source and drawn models, both sides weighed alike."""
        import torch
        from torch.nn.functional import cross_entropy

        from birthmark.crafting.queries import drawn

        derived, independent = (drawn(side, self.members) for side in sides)
        answers = torch.stack([member(view).softmax(1) for member in (source, *derived, *independent)])
        truth = torch.tensor([1] * (1 + len(derived)) + [0] * len(independent))
        weights = torch.where(truth == 1, 1 / truth.sum(), 1 / (1 - truth).sum())
        return (cross_entropy(verifier(answers), truth, reduction="none") * weights).sum()


def _tensors(u: "Tensor", verifier: "nn.Sequential") -> Tensors:
    import torch

    from birthmark.crafting.queries import finished

    state = verifier.state_dict()  # of the flattening, the first layer and the second
    names = {"w1": "1.weight", "b1": "1.bias", "w2": "2.weight", "b2": "2.bias"}
    weights = {key: state[name].double().numpy().copy() for key, name in names.items()}
    return {"queries": finished(torch.sigmoid(u)), **weights}


def joint(rows: Floats, parts: Mapping[str, NDArray[np.float64]]) -> Floats:
    """V of answers (r, q, k), 0 to 1."""
    logits = (rows.reshape(len(rows), -1) @ parts["w1"].T + parts["b1"]) @ parts["w2"].T + parts["b2"]
    return np.asarray(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])))


def _gap(parts: Tensors, checks: "Sequence[Sequence[nn.Module]]") -> float:
    """How far apart the verifier holds the held-out models of both sides, -1 to 1; 0 without any."""
    from birthmark.workshop.training import probabilities

    if not all(checks):
        return 0.0
    ours, theirs = (
        joint(np.stack([probabilities(model, parts["queries"]) for model in side]), parts).mean() for side in checks
    )
    return float(ours - theirs)
