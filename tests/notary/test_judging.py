"""What a judge says of papers alone: numbers, commitment, draw and direction."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from birthmark.claim import Claim
from birthmark.errors import ArtifactError
from birthmark.notary import stamps
from birthmark.notary.cases import read_case
from birthmark.notary.checks import Check, Known, Outcome
from birthmark.notary.commitments import Commitment, Drawn, draw
from birthmark.notary.folders import load
from birthmark.notary.judging import Finding, Judgement, judge
from birthmark.notary.signing import new_key
from notary.cases import SECRET, VALUE, Accuser, committed_claim, table_claim
from notary.conftest import Authority

HELD = [Check(name, Outcome.HELD, "") for name in ("source", "rebuilt", "asked")]
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def accuser(tmp_path: Path) -> Accuser:
    return Accuser(tmp_path, new_key(tmp_path / "key.pem"))


def judged(accuser: Accuser, committed: Path | None = None, known: Known = Known(), more: Any = ()) -> Judgement:
    place = accuser.folder / f"sealed-{len(list(accuser.folder.iterdir()))}"
    return judge(read_case(load(accuser.save(place, committed)), known), known, more)


def outcome(found: Judgement, name: str) -> str:
    return next(check.outcome.value for check in found.checks if check.name == name)


def test_papers_alone_never_uphold(accuser: Accuser) -> None:
    found = judged(accuser)
    assert (found.finding, found.exit_code) == (Finding.INCONCLUSIVE, 3)
    assert "which came first is not shown" in found.reason
    assert "nobody but the accuser has asked the suspect" in found.reason
    assert outcome(found, "numbers") == "held"
    assert outcome(found, "signature") == outcome(found, "pool") == "not done"
    assert "stolen" not in str(found.as_dict())


def test_an_older_commitment_and_a_judge_who_asked_uphold(accuser: Accuser, authority: Authority) -> None:
    place = accuser.commit(*committed_claim(accuser.claim), authority.stamp)
    known = Known(accuser.key.public_key(), stamps.roots(authority.roots), since=LATER)
    found = judged(accuser, place, known, HELD)
    assert (found.finding, found.exit_code) == (Finding.UPHELD, 10)
    assert {outcome(found, name) for name in ("signature", "numbers", "commitment", "claim", "direction")} == {"held"}
    for missing in HELD:
        assert judged(accuser, place, known, [c for c in HELD if c is not missing]).finding is Finding.INCONCLUSIVE
    assert judged(accuser, place, replace(known, since=None), HELD).finding is Finding.INCONCLUSIVE
    assert judged(accuser, place, replace(known, roots=()), HELD).finding is Finding.INCONCLUSIVE


def test_a_commitment_younger_than_the_suspect_is_rejected(accuser: Accuser, authority: Authority) -> None:
    place = accuser.commit(*committed_claim(accuser.claim), authority.stamp)
    known = Known(None, stamps.roots(authority.roots), since=datetime(2020, 1, 1, tzinfo=UTC))
    found = judged(accuser, place, known, HELD)
    assert (found.finding, found.exit_code) == (Finding.REJECTED, 11)
    assert "could be fitted to it" in found.reason


@pytest.mark.parametrize(
    "edit", [{"p_value": 0.01}, {"z": 99.0}, {"verdict": "not supported"}, {"placebos": []}, {"transcript": "0" * 64}]
)
def test_edited_facts_are_rejected(edit: dict[str, Any], accuser: Accuser) -> None:
    accuser.state(accuser.evidence, **edit)
    found = judged(accuser, more=HELD)
    assert found.finding is Finding.REJECTED
    assert next(iter(edit)) in found.reason


def test_an_innocent_is_rejected(tmp_path: Path) -> None:
    found = judged(Accuser(tmp_path, new_key(tmp_path / "key.pem"), kinship=0.0), more=HELD)
    assert found.finding is Finding.REJECTED
    assert "does not support it" in found.reason


def test_another_key_signed(accuser: Accuser, tmp_path: Path) -> None:
    found = judged(accuser, known=Known(new_key(tmp_path / "other").public_key()), more=HELD)
    assert found.finding is Finding.REJECTED
    assert "not the accuser's" in found.reason


@pytest.mark.parametrize(
    "other",
    [{"method": "lineage"}, {"settings": {"queries": 500}}, {"budget": 20}, {"null": "references"}, {"alpha": 0.01}],
)
def test_tested_otherwise_than_committed(other: dict[str, Any], accuser: Accuser) -> None:
    found = judged(accuser, accuser.commit(*committed_claim(accuser.claim, **other)))
    assert found.finding is Finding.REJECTED
    assert next(iter(other)) in found.reason


def test_another_claim_than_committed(accuser: Accuser) -> None:
    found = judged(accuser, accuser.commit(*committed_claim(table_claim(seed=5))))
    assert found.finding is Finding.REJECTED
    assert "not the one" in found.reason


def drawn_claim(facts: dict[str, str] | None = None) -> tuple[Claim, Commitment, Drawn]:
    """A claim, a commitment older than it, and what was drawn for it."""
    plain = table_claim()
    commitment = replace(committed_claim(plain)[0], root="", leaves=0)
    drawn = draw(commitment, VALUE, SECRET)
    return replace(plain, facts=facts or {"drawn": sha256(drawn.blob).hexdigest()}), commitment, drawn


def test_a_claim_made_with_the_draw(tmp_path: Path, authority: Authority) -> None:
    claim, commitment, drawn = drawn_claim()
    accuser = Accuser(tmp_path, new_key(tmp_path / "key.pem"), claim)
    assert outcome(judged(accuser, accuser.commit(commitment)), "draw") == "not done"
    place = accuser.commit(commitment, drawn, authority.stamp)
    known = Known(roots=stamps.roots(authority.roots), value=VALUE, published=LATER)
    for less in (Known(), replace(known, value=""), replace(known, published=None), replace(known, roots=())):
        assert outcome(judged(accuser, place, less), "draw") == "not done"
    found = judged(accuser, place, known)
    assert (outcome(found, "draw"), outcome(found, "claim")) == ("held", "not done")
    assert "does not follow" in judged(accuser, place, replace(known, value="cd" * 32)).reason
    early = replace(known, published=datetime(2020, 1, 1, tzinfo=UTC))
    assert "chosen to draw what fits" in judged(accuser, place, early).reason
    other = accuser.commit(commitment, replace(drawn, commitment="0" * 64))
    assert "does not follow" in judged(accuser, other).reason


def test_a_claim_made_with_another_draw(tmp_path: Path) -> None:
    claim, commitment, drawn = drawn_claim({"drawn": "0" * 64})
    accuser = Accuser(tmp_path, new_key(tmp_path / "key.pem"), claim)
    assert "was not made with what was drawn" in judged(accuser, accuser.commit(commitment, drawn)).reason


def test_a_claim_that_was_there_before_was_chosen(accuser: Accuser) -> None:
    found = judged(accuser, accuser.commit(*committed_claim(accuser.claim)))
    assert (outcome(found, "claim"), outcome(found, "draw")) == ("held", "not done")


def test_earlier_commitments_share_the_error_rate(accuser: Accuser) -> None:
    commitment, drawn = committed_claim(accuser.claim)
    commitment = replace(commitment, earlier=("0" * 64, "1" * 64))
    drawn = Drawn(commitment.digest, drawn.value, drawn.secret)
    found = judged(accuser, accuser.commit(commitment, drawn))
    assert found.alpha == pytest.approx(0.05 / 3)
    assert "2 commitments before" in next(c.words for c in found.checks if c.name == "commitment")


def test_a_replayed_stamp_is_refused(accuser: Accuser, authority: Authority) -> None:
    place = accuser.commit(*committed_claim(accuser.claim), lambda _: authority.stamp(b"an older commitment"))
    with pytest.raises(ArtifactError, match="not one on this file"):
        judged(accuser, place, Known(roots=stamps.roots(authority.roots)))


def test_an_edited_transcript_is_refused(accuser: Accuser) -> None:
    path = accuser.folder / "tested" / "transcript.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"answer": [0.', b'"answer": [1.', 1))
    with pytest.raises(ArtifactError, match="line 2"):
        judged(accuser)
