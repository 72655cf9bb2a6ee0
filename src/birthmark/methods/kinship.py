"""Kinship: is the suspect's deviation from the family the source's own?

Ours. Owners are the source and its twins: reruns of one recipe on one data set, which differ by their seed alone. All
answer one shared set of queries, the held-out inputs on which their answers differ most (a rule symmetric in the
owners, so that the source's score and its placebos' stay exchangeable). What is left of an owner's answers after the
family's mean is its birthmark. One ridge regression explains the suspect's residual by all owners' at once
(`birthmark.scoring.mixture`); an owner's weight in it is its score. The owner's references, and copies and students
made of them, are regressors beside the owners. What a suspect has in common with any independent model, or with any
pruned, tuned or extracted one, is then no owner's.

    probabilities   T(p) = log(p + eps), less its class mean, for owners and suspect
    labels          the suspect's one-hot rows against the owners' probabilities
    values          the answers themselves, each divided by its root mean square over owners

Of labels, where that gained nothing, a share `centring` of the mean score that references get on an owner is subtracted
instead: a source that lies close to everybody must not accuse everybody.

Cost: the twins, and as much again as half of them for the treated references. Use it first, for every kind of theft;
extraction needs 500 queries with probabilities, 2000 with labels; copies of the weights need 50. It fails on students
of the source's own training data, where the source answers the ground truth, and on thieves with a thousand pairs or
fewer.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import numpy as np

from birthmark.claim import Candidate, Claim, Scores
from birthmark.errors import ShapeError
from birthmark.method import Method, Retired
from birthmark.parties import Parties
from birthmark.scoring.likeness import CENTRING, How, centred_closeness, disagreement
from birthmark.scoring.matching import of_owners
from birthmark.settings import Allowed
from birthmark.types import Access, Floats, Tensors

CENTRING_FROM = 200  # answered labels, from which on the references' mean is subtracted


@dataclass(frozen=True)
class Kinship(Method):
    """Kinship with twins as placebos.

    Attributes:
        queries: size of the shared query set; capped at `share` of the pool.
        placebos: number of twins; the smallest p is 1 / (placebos + 1).
        references: independent models that are regressed out (of labels: centre the scores) and guard the verdict.
        treated: copies and students made of each reference, regressed out as well where answers hold ten numbers a
            regressor.
        share: largest share of the pool that may be asked, 0 to 1: inputs on which owners agree only dilute.
        eps: floor of probabilities in the logarithm; raised to the rounding step of the answers.
        ridge: of the regression, in units of the mean eigenvalue of the owners' Gram matrix.
    """

    name: ClassVar[str] = "kinship"
    needs: ClassVar[Access] = Access.LABELS
    made_from: ClassVar[Access] = Access.LABELS
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "values"})
    any_inputs: ClassVar[bool] = True
    source_paper: ClassVar[str] = "ours"
    allowed: ClassVar[Allowed] = {
        "queries": "[1, inf)",
        "placebos": "[2, inf)",
        "references": "[0, inf)",
        "treated": "[0, inf)",
        "share": "(0, 1]",
        "eps": "(0, 1)",
        "ridge": "[0, inf)",
    }
    reruns: ClassVar[bool] = True
    retired: ClassVar[Retired] = {"regress": True, "affine": True, "centring": CENTRING, "centring_from": CENTRING_FROM}

    queries: int = 500
    placebos: int = 19
    references: int = 8
    treated: int = 2
    share: float = 0.4
    eps: float = 0.01
    ridge: float = 0.1

    @property
    def how(self) -> How:
        """How likeness is measured; benchmarks that switch parts of it off change it in a class of their own."""
        return How(self.eps, self.ridge)

    def fit(self, parties: Parties, *, seed: int) -> Claim:
        pool = parties.pool.inputs
        owners = parties.owners_say(pool, self.placebos)
        q = min(self.queries, max(1, int(self.share * len(pool))))
        chosen = np.argsort(-disagreement(owners), kind="stable")[:q]
        tensors: Tensors = {"queries": pool[chosen], "owners": owners[:, chosen]}
        tensors |= parties.independents(pool[chosen], self.references, self.treated)
        return Claim(self.name, asdict(self), parties.task, seed, tensors)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return self.scores(claim, [Candidate(answers)])[0]

    def scores(self, claim: Claim, candidates: Sequence[Candidate]) -> list[Scores]:
        q, width = len(candidates[0].answers), claim.tensors["owners"].shape[1:]
        expected = (min(max(q, 1), width[0]), width[1])
        if odd := [c.answers.shape for c in candidates if c.answers.shape != expected]:
            raise ShapeError(f"kinship: expected answers of shape {expected}, got {odd[0]}")
        how = self.how if q >= CENTRING_FROM else replace(self.how, centring=0.0)
        found = centred_closeness(claim, candidates, np.arange(q), how)
        return [of_owners(scores, plain[0]) for scores, plain in found]
