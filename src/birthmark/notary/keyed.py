"""Claims of keys: whether a key could be searched until it fits, and the judge's own test with it.

A key that its owner chose is worth nothing: among 10,000, some fit any innocent. So a judge derives the key again, from
a master that was drawn after the commitment and a name that the commitment fixes, and makes the claim anew: on a pool
of the judge's, with placebo keys of the judge's, and with source and references asked again.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from birthmark import registry
from birthmark.claim import Claim
from birthmark.errors import BirthmarkError, SettingError
from birthmark.evidence import Verdict
from birthmark.marks.keyring import ClientKey, Keyring
from birthmark.marks.keys import Secret
from birthmark.notary.checks import Check, Known, Outcome
from birthmark.notary.commitments import Drawn
from birthmark.notary.judging import by_its_round
from birthmark.oracle import Oracle
from birthmark.verdict import Conclusion, conclude
from birthmark.verify import ask, fitting
from birthmark.watermark import Watermark
from birthmark.workshop.marking import QUERIES
from birthmark.workshop.owner import Owner

if TYPE_CHECKING:
    from birthmark.notary.cases import Case

NUMBERS = 5  # keys that one name can have, for screening leaves some out (a third of them)
FIELDS = ((8, 2.0), (16, 1.5))  # waves and frequencies that keyrings are made with: no other could be searched
PLACEBOS, LEAST = 999, 7  # keys; models of the judge's


def key_check(case: "Case", known: Known) -> Check:
    """Whether the claim's key was drawn after the commitment, for a name that it fixes."""
    made, client = case.commitment, _client(case)
    if made is None or not client:
        words = (
            "no commitment fixes for whom the key is and leaves it to be drawn: it could be searched until it fitted "
            "(birthmark commit --client NAME, then birthmark draw, before the key is used)"
        )
        return Check("key", Outcome.NOT_DONE, words)
    found = by_its_round(case, made, known)
    if found.outcome is not Outcome.HELD:
        return Check("key", found.outcome, found.words)
    words = f"the key of {client!r} follows from the commitment and a value that came after it"
    return Check("key", Outcome.HELD, words)


def _client(case: "Case") -> str:
    """For whom a committed key is drawn; empty where none is."""
    made = case.commitment
    return "" if made is None or made.root or case.drawn is None else str(made.fixed.get("client", ""))


def master_of(drawn: Drawn) -> Secret:
    """The master key that a draw gives: nobody knew it before the round came."""
    return Secret(drawn.key("master"))


def asked_with_key(case: "Case", own: Owner, suspect: Oracle | None, chosen: bool) -> Check:
    """The test by the judge: the suspect itself, with every key that the committed name can have.

    Args:
        chosen: whether the pool is the judge's.
    """
    mark, client = registry.scorer(case.claim), _client(case)
    assert isinstance(mark, Watermark)
    if suspect is None or case.drawn is None or not client:
        return Check("asked", Outcome.NOT_DONE, "nobody but the accuser has asked the suspect with a drawn key")
    if mark.logged:
        words = f"{case.claim.method} asks inputs of the owner's own log, which could be chosen to fit the key"
        return Check("asked", Outcome.NOT_DONE, words)
    try:
        found = _tested(case, own, suspect, mark, client, master_of(case.drawn))
    except BirthmarkError as error:
        return Check("asked", Outcome.UNCLEAR, str(error))
    supported = next((one.reason for one in found if one.verdict is Verdict.SUPPORTED), "")
    if not supported:
        return Check("asked", Outcome.FAILED, f"asked by the judge, with the drawn key: {found[0].reason}")
    words = f"asked by the judge, with the drawn key and placebo keys of the judge's own: {supported}"
    if not chosen:
        return Check("asked", Outcome.UNCLEAR, f"{words}; but on the owner's pool, which may have been chosen")
    return Check("asked", Outcome.HELD, words)


def _tested(
    case: "Case", own: Owner, suspect: Oracle, mark: Watermark, client: str, master: Secret
) -> list[Conclusion]:
    """What is concluded of the suspect under each key that the name can have, each at a share of alpha."""
    ring = ring_of(case.claim, own, mark)
    claims = [claim_of(case.claim, ring, master, client, number) for number in range(NUMBERS)]
    rows = ask(claims[0], fitting(claims[0], suspect, mark.needs), len(ring.queries))
    alpha = case.alpha / (NUMBERS * len(FIELDS))
    return [conclude(claim, rows, alpha, "placebos") for claim in claims]


def ring_of(claim: Claim, own: Owner, mark: Watermark) -> Keyring:
    """A keyring of the judge's: unmarked models asked, placebo keys of the judge's.

    Raises:
        SettingError: the claim's field is none that birthmark makes.
    """
    field = (claim.tensors["directions"].shape[1], float(claim.tensors["omega"][0]))
    if field not in FIELDS:
        raise SettingError(f"the claim's field has {field[0]} waves of {field[1]}, and could be chosen to fit")
    answer, inputs = own.answers, own.pool.inputs[:QUERIES]
    models = np.stack([answer(model, inputs) for model in own.references(max(LEAST, len(claim.references)))])
    ground = models.mean(axis=0) if mark.in_weights else answer(own.source, inputs)
    ring = Keyring.make(own.train.inputs, inputs, ground, models, seed=own.guard, values=own.values, placebos=0)
    ring = replace(ring, waves=field[0], omega=field[1])
    return replace(ring, placebos=ring.screened(int(claim.settings.get("placebos", PLACEBOS))))


def claim_of(claim: Claim, ring: Keyring, master: Secret, client: str, number: int) -> Claim:
    """The claim like this one of one key on a keyring."""
    key = ClientKey(client, master.derive("client", client, number), ring)
    return registry.make("watermarks", claim.method, {**claim.settings, "key": key}).claim()
