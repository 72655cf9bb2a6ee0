"""AKH: does the suspect repeat the source's own mistakes?

Source: "Queries, Representation & Detection: the next 100 model fingerprinting schemes" (QuRD), AAAI 2025,
arXiv:2412.13021, the baseline AKH: query inputs that the source misclassifies and compare hard labels. The paper's text
was not read; the rule is as public descriptions of it give it, so no equation is cited.

Departures: public descriptions flag a suspect on one repeated mistake; QuRD's code takes the Hamming distance over all
queries. Here the score is the share of repeated mistakes. CutMix and flips of the queries, which that code also has,
are left out. Twins bring their own mistakes as placebos. All owners share one query set: the inputs that at least one
of them gets wrong, ordered by how many other labels the owners give (a rule symmetric in the owners). Each owner counts
on the queries that it itself gets wrong, so a budget is shared among all of them. With `placebos=0` the queries are the
source's mistakes alone, in random order, as in the paper.

Cost: the twins. Use it as the baseline every other method must beat. It needs labelled inputs and a source that errs.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from birthmark.claim import Claim, Scores
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.method import Method
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Owner


@dataclass(frozen=True)
class AKH(Method):
    """Agreement on the source's mistakes.

    Attributes:
        queries: most queries of the whole test; fewer where the owners make fewer mistakes.
        placebos: number of twins; 0 for the paper's own form, ranked among references.
        references: independent models that centre the scores and guard the verdict.
        centring: share of the references' mean score that is subtracted, 0 to 1.
    """

    name: ClassVar[str] = "akh"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "QuRD, AAAI 2025, arXiv:2412.13021"

    queries: int = 500
    placebos: int = 19
    references: int = 8
    centring: float = 0.5

    def __post_init__(self) -> None:
        if self.placebos < 0 or self.queries < 1:
            raise SettingError(f"expected placebos >= 0 and queries >= 1, got {self.placebos} and {self.queries}")

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.workshop.training import outputs

        truth = owner.pool.targets
        said = np.stack(
            [outputs(model, owner.pool.inputs).argmax(1) for model in [owner.source, *owner.twins(self.placebos)]]
        )
        wrong = said != truth
        candidates = np.flatnonzero(wrong.any(axis=0))
        if not len(candidates):
            raise DataError(
                f"akh needs inputs that the source gets wrong, and it gets none of {len(truth)} wrong; give a larger "
                "or harder pool, or use kinship"
            )
        shuffled = np.random.default_rng(seed).permutation(candidates)
        others = np.array([len(np.unique(said[:, i])) for i in shuffled])
        chosen = (
            shuffled[np.argsort(-others, kind="stable")][: self.queries] if self.placebos else shuffled[: self.queries]
        )
        tensors = {"queries": owner.pool.inputs[chosen], "labels": said[:, chosen], "mistaken": wrong[:, chosen]}
        if self.references:
            rows = [outputs(model, owner.pool.inputs[chosen]).argmax(1) for model in owner.references(self.references)]
            tensors["references"] = np.eye(owner.task.outputs)[np.stack(rows)]
        return Claim(self.name, asdict(self), owner.task, seed, tensors)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        if answers.ndim != 2 or answers.shape[1] != claim.task.outputs:
            raise ShapeError(f"akh: expected answers of shape (q, {claim.task.outputs}), got {answers.shape}")
        shares = self._shares(claim, answers)
        common = [self._shares(claim, rows[: len(answers)]) for rows in claim.references]
        centred = shares - self.centring * np.mean(common, axis=0) if common else shares
        return Scores(float(centred[0]), tuple(float(s) for s in centred[1:]), float(shares[0]))

    def _shares(self, claim: Claim, answers: Floats) -> Floats:
        """Share of each owner's own mistakes (m,) that the answers repeat, 0 to 1; 0 for an owner without any."""
        q = len(answers)
        mistaken = claim.tensors["mistaken"][:, :q]
        repeated = mistaken & (claim.tensors["labels"][:, :q] == answers.argmax(axis=1))
        return np.asarray(repeated.sum(axis=1) / np.maximum(mistaken.sum(axis=1), 1), dtype=np.float64)
