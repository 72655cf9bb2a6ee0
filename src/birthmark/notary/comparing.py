"""The accuser's claim held against models and inputs that the accuser never saw: twins, innocents, the pool."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import binom, ks_2samp, mannwhitneyu

from birthmark.claim import Claim
from birthmark.errors import NullError
from birthmark.inputs import query_digest
from birthmark.notary.checks import Check, Outcome
from birthmark.types import Floats
from birthmark.verdict import Nulls, conclude
from birthmark.workshop.owner import Owner

if TYPE_CHECKING:
    from torch import nn

    from birthmark.notary.cases import Case

REFERENCES = 8  # independent models of the judge's, at least
CHANCE = 0.01  # that so many innocents match a sound claim
STRANGE = 0.001  # chance that honest twins, or an honest pool, stand out so far
COMPARED = 1000  # inputs of a pool, and of the training data
Measure = Callable[[Floats], Floats]


def others(case: "Case", own: Owner) -> "tuple[Sequence[nn.Module], Sequence[nn.Module]]":
    """The judge's own twins and independent models, as many as the claim has of them at least."""
    return own.twins(int(case.claim.settings.get("placebos", 0)) or 19), own.references(REFERENCES)


def innocents(case: "Case", own: Owner) -> Check:
    """Whether the accuser's claim leaves the judge's own twins and independent models alone.

    Twins that were trained worse than the recipe says, chosen queries, and crafted ones that transfer to models which
    know neither party: all make the claim match those, too.
    """
    twins, strangers = others(case, own)
    answer = own.answers
    places = [_p(case.claim, answer(model, case.claim.queries)) for model in (*twins, *strangers)]
    hits = sum(p <= case.alpha for p in places)
    chance = float(binom.sf(hits - 1, len(places), case.alpha))
    words = f"the claim matches {hits} of {len(places)} innocent models that the judge made"
    return Check("innocents", Outcome.FAILED if chance < CHANCE else Outcome.HELD, words)


def _p(claim: Claim, rows: Floats) -> float:
    try:
        return conclude(claim, rows, 0.05, nulls=Nulls()).standing.p
    except NullError:
        return 1.0


def alike(case: "Case", owner: Owner, own: Owner) -> Check:
    """Whether the accuser's twins are of the kind that the judge trains by the same recipe.

    Two-sample tests (Mann-Whitney) of numbers of each twin that would be exchangeable between both groups; the level is
    shared among them (Bonferroni).
    """
    held = case.claim.tensors.get("owners")
    if held is None or held.ndim != 3 or held.shape[1] != len(case.claim.queries) or len(held) < 5:
        return Check("twins", Outcome.NOT_DONE, "the claim does not hold answers of twins")
    answer = own.answers
    mine = np.stack([answer(model, case.claim.queries) for model in others(case, own)[0]])
    told = _numbers(held[1:], mine, answer(owner.source, case.claim.queries), _truth(case.claim, owner))
    found = {name: float(mannwhitneyu(one, other).pvalue) for name, (one, other) in told.items()}
    name = min(found, key=lambda key: found[key])
    p = min(1.0, len(found) * found[name])
    words = f"the accuser's {len(held) - 1} twins differ most from the judge's {len(mine)} in {name} (p = {p:.2g})"
    return Check("twins", Outcome.FAILED if p < STRANGE else Outcome.HELD, words)


def _truth(claim: Claim, owner: Owner) -> Floats | None:
    """The targets of the claim's queries, where all of them are inputs of the declared pool."""
    places = {query_digest(row): i for i, row in enumerate(owner.pool.inputs)}
    rows = [places.get(query_digest(row), -1) for row in claim.queries]
    return owner.pool.targets[rows].astype(float) if owner.pool.classes and min(rows) >= 0 else None


def _numbers(theirs: Floats, mine: Floats, source: Floats, truth: Floats | None) -> Mapping[str, tuple[Floats, Floats]]:
    """Numbers by name of both groups' models (m, q, k), each measured on a model as if nobody knew its group."""
    middle = np.concatenate([theirs, mine]).mean(axis=0)

    def both(number: Measure) -> tuple[Floats, Floats]:
        return number(theirs), number(mine)

    found = {
        "distance to the source": both(lambda group: np.abs(group - source).mean(axis=(1, 2))),
        "distance to all twins": both(lambda group: np.abs(group - middle).mean(axis=(1, 2))),
        "margin": both(lambda group: np.diff(np.sort(group, axis=2)[:, :, -2:], axis=2).mean(axis=(1, 2))),
        "spread of answers": both(lambda group: group.std(axis=2).mean(axis=1)),
    }
    if truth is not None:
        found["accuracy"] = both(lambda group: (group.argmax(axis=2) == truth).mean(axis=1))
    return found


def from_pool(case: "Case", owner: Owner) -> Check:
    """Whether the queries are inputs of the declared pool, and the pool lies where the declared data lie.

    Adversarial inputs lie farther from all training data than held-out data do; that they transfer is what `innocents`
    finds. A pool from which inputs were left out shows nothing: the judge's test is on another pool.
    """
    known = {query_digest(row) for row in owner.pool.inputs}
    strange = sum(query_digest(row) not in known for row in case.claim.queries)
    if strange:
        words = f"{strange} of {len(case.claim.queries)} queries are not in the declared data: they were crafted"
        return Check("pool", Outcome.UNCLEAR, words)
    train, pool = (part.inputs[:COMPARED].reshape(min(len(part), COMPARED), -1) for part in (owner.train, owner.pool))
    among = cdist(train, train)
    np.fill_diagonal(among, np.inf)
    far, near = cdist(pool, train).min(axis=1), among.min(axis=1)
    p = float(ks_2samp(far, near, alternative="less", method="asymp").pvalue)
    words = "all queries are inputs of the declared pool"
    if p < STRANGE:
        words += f", whose inputs lie farther from the training data than these from each other (p = {p:.1g}): crafted?"
        return Check("pool", Outcome.UNCLEAR, words)
    return Check("pool", Outcome.HELD, f"{words}, which lies where the training data lie")
