"""Random queries: how often does the suspect say what the source says, on inputs drawn at random?

The baseline that has no idea at all: good models agree wherever they are right, so nearly all of its queries are
spent on inputs that tell nothing. Twins answer the same queries as placebos. No paper; ours, and meant to be beaten.

Cost: the twins. Use it to see what a method's choice of queries is worth.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError, ShapeError
from birthmark.method import Method
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Owner


@dataclass(frozen=True)
class RandomQueries(Method):
    """Agreement of top classes on random inputs of the pool.

    Attributes:
        queries: inputs drawn, at most the whole pool.
        placebos: number of twins; the smallest p is 1 / (placebos + 1).
        references: independent models that centre the scores and guard the verdict.
        centring: share of the references' mean score that is subtracted, 0 to 1.
    """

    name: ClassVar[str] = "random-queries"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"

    queries: int = 500
    placebos: int = 19
    references: int = 8
    centring: float = 0.5

    def __post_init__(self) -> None:
        if self.placebos < 0 or self.queries < 1:
            raise SettingError(f"expected placebos >= 0 and queries >= 1, got {self.placebos} and {self.queries}")

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.workshop.training import outputs

        chosen = np.random.default_rng(seed).permutation(len(owner.pool))[: self.queries]
        queries = owner.pool.inputs[chosen]
        said = np.stack([outputs(model, queries).argmax(1) for model in [owner.source, *owner.twins(self.placebos)]])
        tensors = {"queries": queries, "labels": said}
        if self.references:
            tensors["references"] = np.eye(owner.task.outputs)[
                np.stack([outputs(m, queries).argmax(1) for m in owner.references(self.references)])
            ]
        return Claim(self.name, asdict(self), owner.task, seed, tensors)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        if answers.ndim != 2 or answers.shape[1] != claim.task.outputs:
            raise ShapeError(
                f"random-queries: expected answers of shape (q, {claim.task.outputs}), got {answers.shape}"
            )
        shares = self._shares(claim, answers)
        common = [self._shares(claim, rows[: len(answers)]) for rows in claim.references]
        centred = shares - self.centring * np.mean(common, axis=0) if common else shares
        return Scores(float(centred[0]), tuple(float(s) for s in centred[1:]), float(shares[0]))

    def _shares(self, claim: Claim, answers: Floats) -> Floats:
        return np.asarray(
            (claim.tensors["labels"][:, : len(answers)] == answers.argmax(axis=1)).mean(axis=1), dtype=np.float64
        )
