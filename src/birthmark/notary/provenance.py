"""Where the source comes from: what was committed to, what its recipe trains, and whether the claim is about it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from birthmark import registry
from birthmark.artifact import plain
from birthmark.claim import Claim
from birthmark.errors import BirthmarkError
from birthmark.method import Method
from birthmark.notary.checks import Check, Outcome
from birthmark.notary.commitments import BEFORE_TRAINING
from birthmark.notary.planning import drawn_owner
from birthmark.notary.strangers import Answered
from birthmark.types import Floats
from birthmark.workshop.card import Card
from birthmark.workshop.modelfile import tensors_digest
from birthmark.workshop.owner import Owner, enrolling

if TYPE_CHECKING:
    from torch import nn

    from birthmark.notary.cases import Case

FAR = 0.1  # of the way to the nearest twin: what a rebuilt model may be away where bits differ
NEAR = 1e-3  # what answers of the same weights may differ by on two machines
SAME = "the recipe gives the claimed weights, bit for bit"


def fixed(case: "Case", owner: Owner, digest: str) -> Check:
    """Whether these are the weights, data and recipe that were committed to.

    Args:
        digest: of the source's file.
    """
    made = case.commitment
    if made is None:
        return Check("source", Outcome.NOT_DONE, "no commitment names the source's weights, data and recipe")
    if made.root:
        return _committed_whole(case.claim, owner)
    card, recipe = plain(asdict(owner.card)), made.fixed["recipe"]
    names = ("recipe", "split", "training") if made.stage == BEFORE_TRAINING else card
    wrong = [name for name in names if not isinstance(recipe, dict) or card[name] != recipe.get(name)]
    wrong += ["data"] * (made.fixed["data"] != card["data"]) + ["pool"] * (made.fixed["pool"] != owner.pool.digest)
    if made.stage == BEFORE_TRAINING:
        wrong += _other_seeds(case, owner.card)
    elif made.fixed["source"] != digest:
        wrong.append("weights")
    if wrong:
        return Check("source", Outcome.FAILED, f"the source has another {', '.join(wrong)} than was committed to")
    return Check("source", Outcome.HELD, "weights, data and recipe are the committed ones")


def _committed_whole(claim: Claim, owner: Owner) -> Check:
    """A claim that was committed to is about whatever answers as it says."""
    same = _apart_from_claim(claim, owner)
    if same is None:
        return Check("source", Outcome.NOT_DONE, "the committed claim does not say what the source answers")
    words = f"the source's answers are {same:.2g} at most from those of the committed claim"
    return Check("source", Outcome.HELD if same <= NEAR else Outcome.FAILED, words)


def _other_seeds(case: "Case", card: Card) -> list[str]:
    names, drawn = ["start", "course"], case.drawn
    return names if drawn is None else [name for name in names if getattr(card, name) != drawn.seed(name)]


def answered(claim: Claim, owner: Owner) -> Check:
    """Whether the claim's answers of the source are those of the source's weights."""
    apart = _apart_from_claim(claim, owner)
    if apart is None:
        return Check("answers", Outcome.NOT_DONE, "this claim does not hold the source's answers")
    words = f"the claim's answers of the source are {apart:.2g} at most from those of its weights"
    return Check("answers", Outcome.HELD if apart <= NEAR else Outcome.FAILED, words)


def _apart_from_claim(claim: Claim, owner: Owner) -> float | None:
    """Largest distance between the claim's answers of the source and those of the weights at hand."""
    if getattr(registry.scorer(claim), "in_weights", False):
        return None  # its ground are unmarked models
    held = claim.tensors["owners"][0] if "owners" in claim.tensors else claim.tensors.get("source")
    again = owner.answers(owner.source, claim.queries)
    if held is None or held.shape != again.shape:
        return None
    return float(np.abs(held - again).max() / max(1.0, float(np.abs(again).max())))


def rebuilt(owner: Owner, own: Owner, train: "Callable[[Card], nn.Module] | None", why: str = "") -> Check:
    """Whether the source's recipe and seed make the claimed source again.

    Args:
        own: the judge's, for twins to measure distances by.
        train: makes a card's network anew each time; None where nothing can be trained, for the reason `why`.
    """
    if train is None:
        return Check("rebuilt", Outcome.NOT_DONE, f"the source is given, not rebuilt: {why}")
    try:
        first = train(owner.card)
        if _digest(first) == _digest(owner.source):
            return Check("rebuilt", Outcome.HELD, SAME)
        other = train(owner.card)
    except BirthmarkError as error:
        return Check("rebuilt", Outcome.FAILED, f"the source cannot be trained from its recipe: {error}")
    answer, inputs = owner.answers, own.pool.inputs
    claimed, again, anew = (answer(model, inputs) for model in (owner.source, first, other))
    nearest = min(_apart(claimed, answer(twin, inputs)) for twin in own.twins(3))
    return _near_enough(_apart(claimed, again), _apart(again, anew), nearest)


def _digest(model: "nn.Module") -> str:
    """Of its weights; a stranger's network, which only a confined process has seen, says it."""
    return model.digest if isinstance(model, Answered) else tensors_digest(model.state_dict())


def _near_enough(away: float, unsteady: float, nearest: float) -> Check:
    """What distances say: of the claimed source from a rebuilt one, between two rebuilds, and to the nearest twin."""
    words = (
        f"answers of the rebuilt source are {away:.2g} from the claimed source's, those of its nearest twin "
        f"{nearest:.2g}, two rebuilds {unsteady:.2g} from each other"
    )
    if away > FAR * nearest + 2 * unsteady:
        return Check("rebuilt", Outcome.FAILED, words)
    if unsteady > FAR * nearest:
        words += ": the recipe does not settle which model it makes, so that one of many runs could be chosen"
        return Check("rebuilt", Outcome.UNCLEAR, words)
    return Check("rebuilt", Outcome.HELD, words)


def _apart(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).sum(axis=1).mean() / 2)


def regenerated(case: "Case", owner: Owner, same: bool) -> Check:
    """Whether source, data and draw give the accuser's claim again.

    Args:
        same: whether training gives the same bits here, so that a difference means something.
    """
    method = registry.scorer(case.claim)
    if not isinstance(method, Method):
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
