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

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from birthmark.answers import as_labels
from birthmark.claim import Claim
from birthmark.crafting.parents import Centred, labelled
from birthmark.errors import DataError
from birthmark.parties import Parties
from birthmark.scoring.matching import fitting
from birthmark.types import Access, Floats, Tensors


@dataclass(frozen=True)
class AKH(Centred):
    """Agreement on the source's mistakes.

    Attributes:
        queries: most queries of the whole test; fewer where the owners make fewer mistakes.
        placebos: number of twins; 0 for the paper's own form, ranked among references.
    """

    name: ClassVar[str] = "akh"
    any_inputs: ClassVar[bool] = True
    made_from: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "QuRD, AAAI 2025, arXiv:2412.13021"

    def fit(self, parties: Parties, *, seed: int) -> Claim:
        """As `Method.fit`.

        Raises:
            DataError: the pool has no labels, or the owners make no mistake.
        """
        labelled(self, parties.pool)
        truth = parties.pool.targets
        said = parties.owners_say(parties.pool.inputs, self.placebos).argmax(axis=2)
        wrong = said != truth
        candidates = np.flatnonzero(wrong.any(axis=0))
        if not len(candidates):
            raise DataError(
                f"akh needs inputs that the source gets wrong, and it gets none of {len(truth)} wrong; give a larger "
                "or harder pool, or use kinship"
            )
        chosen = np.random.default_rng(seed).permutation(candidates)
        if self.placebos:
            others = np.array([len(np.unique(said[:, i])) for i in chosen])
            chosen = chosen[np.argsort(-others, kind="stable")]
        chosen = chosen[: self.queries]
        queries = parties.pool.inputs[chosen]
        tensors: Tensors = {"queries": queries, "labels": said[:, chosen], "mistaken": wrong[:, chosen]}
        return self.claimed(parties, seed, tensors, as_labels(parties.references_say(queries, self.references)))

    def weights(self, claim: Claim, answers: Floats) -> Floats:
        """Share of each owner's own mistakes (m,) that the answers repeat, 0 to 1; 0 for an owner without any."""
        q = len(fitting(claim, answers))
        mistaken = claim.tensors["mistaken"][:, :q]
        repeated = mistaken & (claim.tensors["labels"][:, :q] == answers.argmax(axis=1))
        return np.asarray(repeated.sum(axis=1) / np.maximum(mistaken.sum(axis=1), 1), dtype=np.float64)
