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

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError, ShapeError
from birthmark.method import Method
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Owner


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

    queries: int = 100
    references: int = 19
    cohort: str = "wide"
    held: float = 0.25
    hidden: int = 128
    steps: int = 300
    rate: float = 0.01
    members: int = 3
    compress: int = 0

    def __post_init__(self) -> None:
        if self.queries < 1 or self.steps < 1 or self.members < 1 or not 0 <= self.held <= 0.5:
            raise SettingError(
                f"expected queries, steps, members >= 1 and held in [0, 0.5], got {self.queries}, {self.steps}, "
                f"{self.members}, {self.held}"
            )

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
        if answers.ndim != 2 or answers.shape[1] != claim.task.outputs or not 1 <= len(answers) <= len(claim.queries):
            raise ShapeError(
                f"metav: expected answers of shape (1 to {len(claim.queries)}, {claim.task.outputs}), got "
                f"{answers.shape}"
            )
        rows = np.concatenate([answers, claim.tensors["mean"][len(answers) :]])
        share = float(joint(rows[None], claim.tensors)[0])
        return Scores(share, (), share)

    def _craft(self, owner: Owner, cohort: Any, seed: int) -> dict[str, Any]:
        import torch
        from torch import nn
        from torch.nn.functional import cross_entropy

        from birthmark.crafting.queries import drawn, finished, prepared, starts, unbounded, varied
        from birthmark.workshop.training import probabilities, seeded

        n, k = self.queries, owner.task.outputs
        images = starts(owner, cohort.derived[0], n, seed=seed).inputs
        random = np.random.default_rng(seed)
        source = prepared(cohort.derived[:1])[0]
        sides, checks = [], []
        for models in (cohort.derived[1:], cohort.independent):
            order, out = random.permutation(len(models)), int(self.held * len(models))
            sides.append(prepared([models[i] for i in order[out:]]))
            checks.append([models[i] for i in order[:out]])
        with seeded(seed):
            u = unbounded(images).requires_grad_()
            verifier = nn.Sequential(nn.Flatten(), nn.Linear(len(images) * k, self.hidden), nn.Linear(self.hidden, 2))
            adam = torch.optim.Adam([u, *verifier.parameters()], self.rate)
            falls = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.01, self.steps)
            chosen, reached = self._kept(u, verifier, finished), -np.inf
            for step in range(1, self.steps + 1):
                view = varied(torch.sigmoid(u), self.compress)
                some = [source, *drawn(sides[0], self.members), *drawn(sides[1], self.members)]
                rows = torch.stack([member(view).softmax(1) for member in some])
                truth = torch.tensor(
                    [1] * (1 + min(self.members, len(sides[0]))) + [0] * min(self.members, len(sides[1]))
                )
                weights = torch.where(truth == 1, 1 / truth.sum(), 1 / (1 - truth).sum())
                cost = (cross_entropy(verifier(rows), truth, reduction="none") * weights).sum()
                adam.zero_grad()
                cost.backward()
                adam.step()
                falls.step()
                if step % 25 == 0 or step == self.steps:
                    now = self._kept(u, verifier, finished)
                    gap = _gap(now, checks, probabilities)
                    if gap >= reached:
                        chosen, reached = now, gap
        both = [*cohort.derived, *cohort.independent]
        chosen["mean"] = np.mean([probabilities(model, chosen["queries"]) for model in both], axis=0)
        return chosen

    def _kept(self, u: Any, verifier: Any, finished: Any) -> dict[str, Any]:
        import torch

        _, first, second = verifier
        arrays = {"w1": first.weight, "b1": first.bias, "w2": second.weight, "b2": second.bias}
        return {
            "queries": finished(torch.sigmoid(u)),
            **{key: value.detach().double().numpy().copy() for key, value in arrays.items()},
        }


def joint(rows: Floats, parts: Any) -> Floats:
    """V of answers (r, q, k), 0 to 1."""
    logits = (rows.reshape(len(rows), -1) @ parts["w1"].T + parts["b1"]) @ parts["w2"].T + parts["b2"]
    return np.asarray(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])))


def _gap(parts: dict[str, Any], checks: list[list[Any]], answer: Any) -> float:
    """How far apart the verifier holds the held-out models of both sides, -1 to 1; 0 without any."""
    if not all(checks):
        return 0.0
    ours, theirs = (
        joint(np.stack([answer(model, parts["queries"]) for model in side]), parts).mean() for side in checks
    )
    return float(ours - theirs)
