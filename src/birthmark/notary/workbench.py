"""What a judge checks with models: source rebuilt, claim made again, own twins and references, the suspect asked.

Needs torch, the source's weights and its data. Everything that could be chosen is the judge's: seeds, pool, references.
"""

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from birthmark import registry, stats
from birthmark.artifact import plain
from birthmark.claim import Claim
from birthmark.data import Data
from birthmark.errors import BirthmarkError, NullError
from birthmark.evidence import Verdict
from birthmark.method import Method
from birthmark.notary.cases import Case
from birthmark.notary.commitments import BEFORE_TRAINING
from birthmark.notary.judging import Check, Outcome
from birthmark.notary.planning import drawn_owner
from birthmark.oracle import Function, Oracle, Probabilities
from birthmark.transcript import query_digest
from birthmark.types import Answers, Array, Floats, Samples
from birthmark.verdict import Nulls, conclude
from birthmark.verify import verify
from birthmark.workshop.cohort import origin
from birthmark.workshop.enroll import enrolling
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import outputs
from birthmark.zoo.build import workshop
from birthmark.zoo.executors import Executor
from birthmark.zoo.make import make
from birthmark.zoo.store import Store, tensors_digest

if TYPE_CHECKING:
    from torch import nn

FAR = 0.1  # of the way to the nearest twin: what a rebuilt model may be away where bits differ
REFERENCES = 8  # independent models of the judge's, at least
CHANCE = 0.01  # that so many innocents match a sound claim


def workplace(owner: Owner, digest: str, store: Store, parts: Data, engine: Executor) -> Owner:
    """The owner in the judge's workshop, where the accuser's weights never pass for what their card makes."""
    given = replace(owner.card, kind="given", settings={"sha256": digest})
    return replace(owner, make=workshop(owner.source, given, store, parts, engine))


def model_checks(
    case: Case, owner: Owner, parts: Data, digest: str, suspect: Oracle | None, pool: Samples | None, seed: int = 0
) -> list[Check]:
    """Every check that takes models.

    Args:
        owner: opened from the accuser's source file and the declared data.
        digest: of the source file.
        suspect: the suspect itself, asked by the judge; None if it cannot be.
        pool: inputs that the owner did not choose; None if the judge has none.
        seed: of the judge's twins; 0 draws one.
    """
    secret = seed or secrets.randbits(128)
    card = replace(owner.card, course=secret)  # twins and references follow from the course: another one, other models
    own = replace(owner, card=card, secret=secret, pool=pool or owner.pool, notes=())
    found = [fixed(case, owner, digest)]
    if found[-1].outcome is not Outcome.FAILED:
        found.append(rebuilt(owner, own, parts))
    if found[-1].outcome is Outcome.FAILED:
        return found  # nothing to learn from twins of a recipe that is not the source's
    same = found[-1].words.startswith(SAME)
    found += [regenerated(case, owner, same), innocents(case, own), from_pool(case, owner)]
    return [*found, asked(case, own, suspect, pool is not None)]


def fixed(case: Case, owner: Owner, digest: str) -> Check:
    """Whether these are the weights, data and recipe that were committed to."""
    made = case.commitment
    if made is None or made.root:
        return Check("source", Outcome.NOT_DONE, "no commitment names the source's weights, data and recipe")
    card, recipe = plain(vars(owner.card)), made.fixed["recipe"]
    names = ("recipe", "split", "training") if made.stage == BEFORE_TRAINING else card
    wrong = [name for name in names if not isinstance(recipe, dict) or card[name] != recipe.get(name)]
    wrong += ["data"] * (made.fixed["data"] != card["data"]) + ["pool"] * (made.fixed["pool"] != owner.pool.digest)
    if made.stage == BEFORE_TRAINING:
        wrong += _other_seeds(case, owner)
    elif made.fixed["source"] != digest:
        wrong.append("weights")
    if wrong:
        return Check("source", Outcome.FAILED, f"the source has another {', '.join(wrong)} than was committed to")
    return Check("source", Outcome.HELD, "weights, data and recipe are the committed ones")


def _other_seeds(case: Case, owner: Owner) -> list[str]:
    names, drawn = ["start", "course"], case.drawn
    return names if drawn is None else [name for name in names if getattr(owner.card, name) != drawn.seed(name)]


SAME = "the recipe gives the claimed weights, bit for bit"


def rebuilt(owner: Owner, own: Owner, parts: Data) -> Check:
    """Whether the source's recipe and seed make the claimed source again."""
    card = owner.card
    if card.kind != "trained" or card.parents or card.own_code:
        code = "a recipe of the owner's own code runs only in a sandbox"
        why = code if card.own_code else "its file does not say how it was made"
        return Check("rebuilt", Outcome.NOT_DONE, f"the source is given, not rebuilt: {why}")
    try:
        first = make(origin(card), {}, parts)
    except BirthmarkError as error:
        return Check("rebuilt", Outcome.FAILED, f"the source cannot be trained from its recipe: {error}")
    if tensors_digest(first.state_dict()) == tensors_digest(owner.source.state_dict()):
        return Check("rebuilt", Outcome.HELD, SAME)
    claimed, again, other = (_shown(m, own.pool.inputs) for m in (owner.source, first, make(origin(card), {}, parts)))
    nearest = min(_apart(claimed, _shown(twin, own.pool.inputs)) for twin in own.twins(3))
    away, unsteady = _apart(claimed, again), _apart(again, other)
    words = (
        f"answers of the rebuilt source are {away:.2g} from the claimed source's, those of its nearest twin "
        f"{nearest:.2g}, two rebuilds {unsteady:.2g} from each other"
    )
    return Check("rebuilt", Outcome.HELD if away <= FAR * nearest + unsteady else Outcome.FAILED, words)


def _shown(model: "nn.Module", inputs: Array) -> Floats:
    rows = outputs(model, inputs)
    return Probabilities(Function(lambda _: rows, Answers.LOGITS))(inputs)


def _apart(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).sum(axis=1).mean() / 2)


def regenerated(case: Case, owner: Owner, same: bool) -> Check:
    """Whether source, data and draw give the accuser's claim again.

    Args:
        same: whether training gives the same bits here, so that a difference means something.
    """
    method = _method(case.claim)
    if method is None:
        return Check("regenerated", Outcome.NOT_DONE, "claims of watermarks are made from keys, not from a source")
    drawn, seed = case.drawn, case.claim.seed
    if drawn and "drawn" in case.claim.facts:
        owner, seed = drawn_owner(owner, drawn), 0  # nobody's to choose any more
    again = method.fit(enrolling(owner, seed), seed=seed)
    other = [name for name, tensor in case.claim.tensors.items() if not _equal(tensor, again.tensors.get(name))]
    if not other:
        return Check("regenerated", Outcome.HELD, "source, data and draw give this very claim")
    words = f"source, data and draw give another {', '.join(other)} than the claim holds"
    return Check("regenerated", Outcome.FAILED if same else Outcome.UNCLEAR, words)


def _equal(one: Floats, other: Floats | None) -> bool:
    return other is not None and one.shape == other.shape and np.allclose(one, other, rtol=0, atol=1e-4)


def _method(claim: Claim) -> Method | None:
    scorer = registry.scorer(claim)
    return scorer if isinstance(scorer, Method) else None


def innocents(case: Case, own: Owner) -> Check:
    """Whether the accuser's claim leaves the judge's own twins and independent models alone.

    Twins that were trained worse than the recipe says, chosen queries and crafted ones all make it match those, too.
    """
    twins, others = own.twins(_twins(case.claim)), own.references(REFERENCES)
    places = [_p(case.claim, _shown(model, case.claim.queries)) for model in (*twins, *others)]
    hits = sum(p <= case.alpha for p in places)
    chance = float(binom.sf(hits - 1, len(places), case.alpha))
    words = f"the claim matches {hits} of {len(places)} innocent models that the judge made"
    return Check("innocents", Outcome.FAILED if chance < CHANCE else Outcome.HELD, words)


def _twins(claim: Claim) -> int:
    return int(claim.settings.get("placebos", 0)) or 19


def _p(claim: Claim, rows: Floats) -> float:
    try:
        return conclude(claim, rows, 0.05, nulls=Nulls()).standing.p
    except NullError:
        return 1.0


def from_pool(case: Case, owner: Owner) -> Check:
    """Whether the queries are inputs of the declared pool."""
    known = {query_digest(row) for row in owner.pool.inputs}
    strange = sum(query_digest(row) not in known for row in case.claim.queries)
    if strange:
        words = f"{strange} of {len(case.claim.queries)} queries are not in the declared data: they were crafted"
        return Check("pool", Outcome.UNCLEAR, words)
    return Check("pool", Outcome.HELD, "all queries are inputs of the declared data")


def asked(case: Case, own: Owner, suspect: Oracle | None, chosen: bool) -> Check:
    """The same test by the judge: own pool, own twins and references, and the suspect itself.

    Args:
        chosen: whether the pool is the judge's.
    """
    if suspect is None or _method(case.claim) is None:
        return Check("asked", Outcome.NOT_DONE, "nobody but the accuser has asked the suspect")
    least = {"placebos": stats.needed(case.alpha), "references": REFERENCES}
    more = {name: max(n, case.claim.settings[name]) for name, n in least.items() if name in case.claim.settings}
    try:
        method = registry.make("methods", case.claim.method, {**case.claim.settings, **more})
        claim = method.fit(own, seed=case.claim.seed)
        found = verify(claim, suspect, alpha=case.alpha, null=str(case.stated["null"]))
    except BirthmarkError as error:
        return Check("asked", Outcome.UNCLEAR, str(error))
    words = f"asked by the judge, with twins and references of the judge's own: {found.reason}"
    if found.verdict is Verdict.SUPPORTED and not chosen:
        return Check("asked", Outcome.UNCLEAR, f"{words}; but on the owner's pool, which may have been trimmed")
    outcomes = {Verdict.SUPPORTED: Outcome.HELD, Verdict.NOT_SUPPORTED: Outcome.FAILED}
    return Check("asked", outcomes.get(found.verdict, Outcome.UNCLEAR), words)
