"""What a judge checks with models: source rebuilt, claim made again, own twins and references, the suspect asked.

Needs torch, the source's weights and its data. Everything that could be chosen is the judge's: seeds, pool, references.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from birthmark import data as datasets
from birthmark import registry, stats
from birthmark.data import Data
from birthmark.errors import BirthmarkError
from birthmark.evidence import Verdict
from birthmark.method import Method
from birthmark.notary.checks import Check, Known, Outcome
from birthmark.notary.comparing import REFERENCES, alike, from_pool, innocents
from birthmark.notary.judging import keyed
from birthmark.notary.keyed import asked_with_key, key_check
from birthmark.notary.provenance import SAME, answered, fixed, rebuilt, regenerated
from birthmark.oracle import Oracle
from birthmark.types import Samples
from birthmark.verify import verify
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import origin
from birthmark.workshop.owner import Owner
from birthmark.zoo.build import workshop
from birthmark.zoo.executors import Executor
from birthmark.zoo.make import make
from birthmark.zoo.store import Store

if TYPE_CHECKING:
    from torch import nn

    from birthmark.notary.cases import Case

OWN_CODE = "its recipe is the owner's own code, which runs only in a sandbox, by the judge's word (--sandbox)"
UNTOLD = "its file does not say how it was made"
TUNED = "it was made from another model"


@dataclass(frozen=True)
class Bench:
    """A judge's workbench.

    Attributes:
        owner: opened from the accuser's source file and the declared data.
        own: the same source in the judge's workshop: seeds of twins, references and pool are the judge's.
        digest: of the source's file.
        chosen: whether the pool is one that the owner did not choose.
        train: trains a card's network anew each time; None where that cannot be, for the reason `why`.
    """

    owner: Owner
    own: Owner
    digest: str
    chosen: bool = False
    train: "Callable[[Card], nn.Module] | None" = None
    why: str = ""

    @classmethod
    def set_up(
        cls, owner: Owner, digest: str, parts: Data, theirs: Data | None, store: Store, engine: Executor
    ) -> "Bench":
        """The bench for a source of built-in recipe.

        Args:
            parts: the declared data. theirs: of the judge; references learn and queries are chosen there.
        """
        given = replace(owner.card, kind="given", settings={"sha256": digest})
        owner = replace(owner, make=workshop(owner.source, given, store, parts, engine))
        mixed = mixture(parts, theirs)
        card = replace(given, data=mixed.about(given.split))
        build = workshop(owner.source, card, store, mixed, engine)
        own = judges(replace(owner, make=build, reserve=mixed["reserve"]), mixed, theirs["test"] if theirs else None)
        why = reason(owner.card)
        return cls(owner, own, digest, theirs is not None, None if why else partial(trained, parts), why)


def mixture(parts: Data, theirs: Data | None) -> Data:
    """The declared data, with the judge's own, if there are any, in place of what was held back."""
    if theirs is None:
        return parts
    datasets.require(theirs, parts.shape, parts["owner"].outputs)
    return replace(parts, parts={**parts.parts, "reserve": theirs["owner"]})


def judges(owner: Owner, parts: Data, pool: Samples | None, seed: int = 0) -> Owner:
    """The source in the judge's workshop.

    Args:
        parts: what the judge's models are trained on.
        seed: of the judge's twins and references; 0 draws one.
    """
    secret = seed or secrets.randbits(128)
    card = replace(owner.card, course=secret, data=parts.about(owner.card.split))
    return replace(owner, card=card, secret=secret, guard=secret, pool=pool or owner.pool, notes=())


def reason(card: Card) -> str:
    """Why a source's recipe is not run; empty if it is."""
    reasons = {OWN_CODE: card.own_code, TUNED: bool(card.parents), UNTOLD: card.kind != "trained"}
    return next((why for why, holds in reasons.items() if holds), "")


def trained(parts: Data, card: Card) -> "nn.Module":
    """The network of a built-in recipe, trained anew."""
    return make(origin(card), {}, parts)


def model_checks(case: "Case", bench: Bench, suspect: Oracle | None, known: Known = Known()) -> list[Check]:
    """Every check that takes models.

    Args:
        suspect: the suspect itself, asked by the judge; None if it cannot be.
    """
    owner, own, secret = bench.owner, bench.own, keyed(case)
    found = [fixed(case, owner, bench.digest), answered(case.claim, owner)]
    if not secret or bench.train:
        found.append(rebuilt(owner, own, bench.train, bench.why))
    if any(check.outcome is Outcome.FAILED for check in found):
        return found  # nothing to learn from twins of a recipe that is not the source's
    if secret:
        return [*found, key_check(case, known), asked_with_key(case, own, suspect, bench.chosen)]
    same = found[-1].words.startswith(SAME)
    found += [regenerated(case, owner, same), alike(case, owner, own), innocents(case, own), from_pool(case, owner)]
    return [*found, asked(case, own, suspect, bench.chosen)]


def asked(case: "Case", own: Owner, suspect: Oracle | None, chosen: bool) -> Check:
    """The same test by the judge: own pool, own twins and references, and the suspect itself.

    Args:
        chosen: whether the pool is the judge's.
    """
    if suspect is None:
        return Check("asked", Outcome.NOT_DONE, "nobody but the accuser has asked the suspect")
    try:
        method = judges_method(case)
        claim = method.fit(own, seed=own.guard % 2**32)
        found = verify(claim, suspect, alpha=case.alpha, null=str(case.stated["null"]))
    except BirthmarkError as error:
        return Check("asked", Outcome.UNCLEAR, str(error))
    words = f"asked by the judge, with twins and references of the judge's own: {found.reason}"
    if found.verdict is Verdict.SUPPORTED and not chosen:
        return Check("asked", Outcome.UNCLEAR, f"{words}; but on the owner's pool, which may have been trimmed")
    outcomes = {Verdict.SUPPORTED: Outcome.HELD, Verdict.NOT_SUPPORTED: Outcome.FAILED}
    return Check("asked", outcomes.get(found.verdict, Outcome.UNCLEAR), words)


def judges_method(case: "Case") -> Method:
    """The committed method, with as many placebos and references as the judge needs."""
    least = {"placebos": stats.needed(case.alpha), "references": REFERENCES}
    if case.stated["null"] == "references":
        least["references"] = max(REFERENCES, stats.needed(case.alpha))
    settings = case.claim.settings
    more = {name: max(n, settings[name]) for name, n in least.items() if name in settings}
    return registry.make("methods", case.claim.method, {**settings, **more})
