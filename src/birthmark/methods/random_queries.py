"""Random queries: how often does the suspect say what the source says, on inputs drawn at random?

The baseline that has no idea at all: good models agree wherever they are right, so nearly all of its queries are
spent on inputs that tell nothing. Twins answer the same queries as placebos. No paper; ours, and meant to be beaten.

Cost: the twins. Use it to see what a method's choice of queries is worth.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from birthmark.answers import as_labels
from birthmark.claim import Claim
from birthmark.crafting.parents import Centred
from birthmark.parties import Parties
from birthmark.scoring.matching import fitting
from birthmark.types import Access, Floats


@dataclass(frozen=True)
class RandomQueries(Centred):
    """Agreement of top classes on random inputs of the pool.

    Attributes:
        queries: inputs drawn, at most the whole pool.
    """

    name: ClassVar[str] = "random-queries"
    any_inputs: ClassVar[bool] = True
    made_from: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "ours"

    def fit(self, parties: Parties, *, seed: int) -> Claim:
        queries = parties.pool.inputs[np.random.default_rng(seed).permutation(len(parties.pool))[: self.queries]]
        said = parties.owners_say(queries, self.placebos).argmax(axis=2)
        known = as_labels(parties.references_say(queries, self.references))
        return self.claimed(parties, seed, {"queries": queries, "labels": said}, known)

    def weights(self, claim: Claim, answers: Floats) -> Floats:
        """Share of queries (m,) on which the answers are each owner's, 0 to 1."""
        labels = claim.tensors["labels"][:, : len(fitting(claim, answers))]
        return np.asarray((labels == answers.argmax(axis=1)).mean(axis=1), dtype=np.float64)
