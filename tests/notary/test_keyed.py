"""Keys that were searched are no evidence; keys that were drawn after a commitment are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from torch import nn

from birthmark.claim import Claim
from birthmark.data import Data
from birthmark.evidence import Evidence
from birthmark.marks.field import aligned
from birthmark.marks.keyring import ClientKey, Keyring
from birthmark.marks.keys import Secret
from birthmark.notary.cases import Case
from birthmark.notary.checks import Check, Known, Outcome
from birthmark.notary.commitments import BEFORE_DISPUTE, Commitment, Drawn, commit, draw
from birthmark.notary.folders import Sealed
from birthmark.notary.judging import Finding, direction, judge
from birthmark.notary.keyed import asked_with_key, key_check, master_of
from birthmark.notary.workbench import judges
from birthmark.oracle import Function, Oracle
from birthmark.types import Answers
from birthmark.verify import verify
from birthmark.watermark import Watermark
from birthmark.watermarks.dynamarks import DynaMarks
from birthmark.watermarks.imprint import Imprint
from birthmark.workshop.card import Card
from birthmark.workshop.marking import make_keyring
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import outputs, probabilities
from birthmark.zoo.make import make
from notary.cases import ROUND, SECRET, VALUE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN = Known(value=VALUE, published=NOW + timedelta(days=1))
FIXED = {
    **dict.fromkeys(("source", "recipe", "environment", "data", "pool"), ""),
    **{"method": "dynamarks", "settings": {}, "budget": None, "answers": "probabilities", "alpha": 0.05},
    "null": "placebos",
}


@pytest.fixture(scope="module")
def owner(digits: Data) -> Owner:
    card = Card("trained", digits.about(), "owner", "mlp", start=0, course=1, training={"epochs": 5, "batch": 32})

    @cache
    def one(key: str) -> nn.Module:
        return make(known[key], {}, digits)

    known = dict[str, Card]()

    def made(cards: list[Card]) -> list[nn.Module]:
        known.update({one.key: one for one in cards})
        return [one(each.key) for each in cards]

    source = made([card])[0]
    return Owner(source, card, digits["owner"], digits["reserve"], digits["queries"], made)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ring(owner: Owner) -> Keyring:
    return make_keyring(owner, references=6, seed=0, placebos=199)


def committed(client: str = "acme") -> tuple[Commitment, Drawn]:
    made = commit(BEFORE_DISPUTE, "A", {**FIXED, **({"client": client} if client else {})}, SECRET, round=ROUND)
    made = replace(made, time="2025-12-31T00:00:00Z")  # the key follows from it: another moment, another key
    return made, draw(made, VALUE, SECRET)


def claim_with(key: ClientKey) -> Claim:
    return DynaMarks("heavy", placebos=199, key=key).claim()


def case_of(claim: Claim, who: Oracle, made: Commitment | None, drawn: Drawn | None) -> Case:
    evidence: Evidence = verify(claim, who)
    return Case(Sealed({"transcript.jsonl": b""}, "k", "now"), evidence.as_dict(), claim, evidence, made, drawn, NOW)


def marked(owner: Owner, mark: Watermark) -> Oracle:
    """A suspect that learnt the marked answers perfectly."""
    return Function(lambda rows: mark.mark(rows, probabilities(owner.source, rows)), Answers.PROBABILITIES, "suspect")


@pytest.mark.parametrize("mark", [DynaMarks("heavy", placebos=199), Imprint(eps=0.2, placebos=199)])
def test_a_drawn_key_is_upheld_without_any_twin(
    mark: DynaMarks | Imprint, owner: Owner, ring: Keyring, digits: Data
) -> None:
    made, drawn = committed()
    signed = replace(mark, key=ring.client(master_of(drawn), "acme"))
    suspect = marked(owner, signed)
    case = case_of(signed.claim(), suspect, made, drawn)
    own = judges(owner, digits, digits["test"], 2**100 + 1)
    asked = asked_with_key(case, own, suspect, chosen=True)
    assert asked.outcome is Outcome.HELD, asked.words
    assert key_check(case, KNOWN).outcome is Outcome.HELD
    assert direction(case, KNOWN).outcome is Outcome.HELD
    done = [key_check(case, KNOWN), asked, Check("source", Outcome.HELD, "")]
    case = replace(case, stated={**case.stated, "transcript": EMPTY})
    case = replace(
        case, commitment=replace(made, fixed={**made.fixed, "method": mark.name, "settings": dict(case.claim.settings)})
    )
    found = judge(replace(case, drawn=draw(case.commitment, VALUE, SECRET)), KNOWN, done)  # type: ignore[arg-type]
    assert found.finding is Finding.UPHELD, found.reason


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_key_that_was_searched_is_not(owner: Owner, ring: Keyring, digits: Data) -> None:
    innocent = make(replace(owner.card, split="innocent", start=9, course=9), {}, digits)
    suspect = Function(lambda rows: outputs(innocent, rows), Answers.LOGITS, "innocent")
    keys = [Secret(bytes([i, j]) + bytes(30)) for i in range(8) for j in range(250)]
    rows = probabilities(innocent, ring.queries)
    ground = ring.ground(ring.queries, ring.source, ring.references)
    fits = np.concatenate(
        [
            aligned(ground, ground.residual(rows)[None], ring.expand(keys[i : i + 250]), ring.omega)[0]
            for i in range(0, 2000, 250)
        ]
    )
    claim = claim_with(ClientKey("acme", keys[int(fits.argmax())], ring))
    made, drawn = committed()
    assert verify(claim, suspect).verdict.value == "supported"
    own = judges(owner, digits, digits["test"], 2**100 + 1)
    assert asked_with_key(case_of(claim, suspect, made, drawn), own, suspect, chosen=True).outcome is Outcome.FAILED
    for lone in (case_of(claim, suspect, None, None), case_of(claim, suspect, *committed(client=""))):
        assert key_check(lone, KNOWN).outcome is Outcome.NOT_DONE
        assert "could be searched" in key_check(lone, KNOWN).words
        assert judge(lone, KNOWN).finding is not Finding.UPHELD
        assert asked_with_key(lone, own, suspect, chosen=True).outcome is Outcome.NOT_DONE


def test_a_value_that_nobody_looked_up_leaves_it_open(owner: Owner, ring: Keyring) -> None:
    made, drawn = committed()
    key = ring.client(master_of(drawn), "acme")
    case = case_of(claim_with(key), marked(owner, DynaMarks("heavy", placebos=199, key=key)), made, drawn)
    assert key_check(case, Known()).outcome is Outcome.NOT_DONE
    assert key_check(case, Known(value="cd" * 32)).outcome is Outcome.FAILED
    assert key_check(case, replace(KNOWN, published=NOW)).outcome is Outcome.FAILED
