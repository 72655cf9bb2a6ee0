"""The judge: reaches every number of sealed evidence again, and says in words what was checked and what was not.

Nothing of the accuser's is believed. What the folder alone can show is checked here, by the same `verify` that the
accuser ran, with the transcript in the suspect's place; what takes models (rebuilding the source, twins of the judge's
own, asking the suspect) is `birthmark.notary.workbench`. A finding is `upheld` only if no check failed and every one of
`DECISIVE` held (of `OF_KEYS` for a claim of a key).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from math import isclose
from typing import TYPE_CHECKING, Any

from birthmark import registry
from birthmark.evidence import Evidence, Verdict, plain_data
from birthmark.method import Method
from birthmark.notary import signing
from birthmark.notary.checks import Check, Known, Outcome
from birthmark.notary.commitments import BEFORE_TRAINING, Commitment
from birthmark.notary.trees import tree_of

if TYPE_CHECKING:
    from birthmark.notary.cases import Case

ASKED_ANEW = {"repeats", "sent", "transcript", "notes", "authorisation", "made"}  # no numbers of a verdict
LATER = {"grade"}  # what evidence of earlier versions does not state


class Finding(StrEnum):
    """What the judge says of the claim that the suspect was derived from the source."""

    UPHELD = "upheld"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"


EXIT = {Finding.UPHELD: 10, Finding.REJECTED: 11, Finding.INCONCLUSIVE: 3}


@dataclass(frozen=True)
class Judgement:
    """What the judge found.

    Attributes:
        checks: every one, those that were not done included.
        numbers: the evidence as recomputed.
    """

    finding: Finding
    reason: str
    checks: tuple[Check, ...]
    numbers: Mapping[str, Any]
    alpha: float

    @property
    def exit_code(self) -> int:
        return EXIT[self.finding]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {"format": "birthmark/judgement/1", **plain_data(asdict(self)), "exit_code": self.exit_code}


def paper_checks(case: "Case", known: Known) -> list[Check]:
    """Every check that takes no model."""
    return [_signer(case, known), _numbers(case), *_committed(case, known), direction(case, known)]


def _signer(case: "Case", known: Known) -> Check:
    who = f"the key {case.sealed.signer[:16]}"
    if known.signer is None:
        return Check("signature", Outcome.NOT_DONE, f"sealed by {who}; whose key that is, nobody has told the judge")
    if signing.key_id(known.signer) != case.sealed.signer:
        return Check("signature", Outcome.FAILED, f"sealed by {who}, which is not the accuser's")
    return Check("signature", Outcome.HELD, f"sealed by the accuser's key {case.sealed.signer[:16]}")


def _numbers(case: "Case") -> Check:
    """Whether the stated numbers are those that claim and transcript give."""
    again = case.replayed.as_dict()
    known = set(again) - ASKED_ANEW - (LATER - set(case.stated))
    wrong = [name for name in sorted(known) if not _same(case.stated.get(name), again[name])]
    if case.stated.get("transcript") != sha256(case.sealed.files["transcript.jsonl"]).hexdigest():
        wrong.append("transcript")
    if wrong:
        words = f"the evidence states another {', '.join(wrong)} than claim and transcript give"
        return Check("numbers", Outcome.FAILED, words)
    return Check("numbers", Outcome.HELD, "every number follows from the claim and the recorded answers")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if type(one) in (int, float) and type(other) in (int, float):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return type(one) is type(other) and one == other


def _committed(case: "Case", known: Known) -> list[Check]:
    made = case.commitment
    if made is None:
        return [
            Check(
                "commitment", Outcome.NOT_DONE, "there is none: everything could be chosen after the suspect was seen"
            )
        ]
    return [_terms(case, made), _tree(case, made), _draw(case, made, known)]


def _terms(case: "Case", made: Commitment) -> Check:
    """Whether the suspect was tested as committed."""
    found = {
        "budget": case.stated.get("queries"),
        **{key: case.stated.get(key) for key in ("method", "settings", "answers", "null")},
    }
    fixed = {**made.fixed, "budget": made.fixed["budget"] or len(case.claim.queries)}
    other = [name for name, value in found.items() if not _same(plain_data(fixed[name]), value)]
    if not _same(made.fixed["alpha"], case.stated.get("alpha")):
        other.append("alpha")
    if other:
        words = f"the suspect was tested with another {', '.join(other)} than the owner had committed to"
        return Check("commitment", Outcome.FAILED, words)
    looks = f"; the owner had made {len(made.earlier)} commitments before it" if made.earlier else ""
    return Check("commitment", Outcome.HELD, f"the suspect was tested as committed ({made.stage}){looks}")


def _tree(case: "Case", made: Commitment) -> Check:
    if not made.root:
        return Check("claim", Outcome.NOT_DONE, "the claim was made after the commitment, and is not fixed by it")
    if case.drawn is None:
        return Check("claim", Outcome.NOT_DONE, "the secret that opens the committed claim was not given")
    if tree_of(case.claim, bytes.fromhex(case.drawn.secret)).root.hex() != made.root:
        return Check("claim", Outcome.FAILED, "this claim is not the one that the owner had committed to")
    return Check("claim", Outcome.HELD, "queries, expected answers and placebos are the committed ones")


def _draw(case: "Case", made: Commitment, known: Known) -> Check:
    if made.root:
        words = "the claim was there when it was committed to: its twins and queries were the owner's choice"
        return Check("draw", Outcome.NOT_DONE, words)
    if case.drawn is None:
        return Check("draw", Outcome.NOT_DONE, "nothing was drawn: the owner chose twins and queries as they liked")
    found, made_with = by_its_round(case, made, known), case.claim.facts.get("drawn")
    if found.outcome is not Outcome.FAILED and not keyed(case) and made_with != sha256(case.drawn.blob).hexdigest():
        return Check("draw", Outcome.FAILED, "the claim was not made with what was drawn")
    return found


def by_its_round(case: "Case", made: Commitment, known: Known) -> Check:
    """Whether what was drawn follows from the commitment and a value that came after it."""
    drawn = case.drawn
    if drawn is None:
        return Check("draw", Outcome.NOT_DONE, "nothing was drawn")
    right = (made.digest, made.secret) == (drawn.commitment, sha256(bytes.fromhex(drawn.secret)).hexdigest())
    if not right or (known.value and known.value.lower() != drawn.value):
        return Check("draw", Outcome.FAILED, f"the draw does not follow from commitment, secret and {_round(made)}")
    if not known.value or known.published is None or case.dated is None:
        words = f"nobody has looked up what {_round(made)} was, and that it came after a stamp that the judge trusts"
        return Check("draw", Outcome.NOT_DONE, words)
    if case.dated >= known.published:
        words = f"the commitment is younger than {_round(made)}: it could be chosen to draw what fits"
        return Check("draw", Outcome.FAILED, words)
    return Check("draw", Outcome.HELD, f"twins and queries were drawn by {_round(made)}")


def keyed(case: "Case") -> bool:
    """Whether the claim is one of a key, whose placebos are other keys."""
    return not isinstance(registry.scorer(case.claim), Method)


def _round(made: Commitment) -> str:
    return f"round {made.round} of {made.beacon}"


def direction(case: "Case", known: Known) -> Check:
    """Which came first: the source, or the suspect. Scores cannot tell."""
    untold = "related; which came first is not shown"
    if case.commitment is None or case.dated is None:
        return Check("direction", Outcome.UNCLEAR, f"{untold}: no commitment with a time stamp that the judge trusts")
    when = f"{case.dated:%Y-%m-%d %H:%M}"
    if known.since is not None and case.dated >= known.since:
        there = f"{known.since:%Y-%m-%d %H:%M}"
        words = f"the commitment is of {when}, when the suspect had been there since {there}: it could be fitted to it"
        return Check("direction", Outcome.FAILED, words)
    if known.since is not None:
        return Check("direction", Outcome.HELD, f"the commitment is of {when}, before the suspect is first known")
    secret = "key" if keyed(case) else "source's own seed" if case.commitment.stage == BEFORE_TRAINING else ""
    if secret and by_its_round(case, case.commitment, known).outcome is Outcome.HELD:
        words = f"the {secret} was drawn after the commitment, so that it could not be chosen to fit a suspect"
        return Check("direction", Outcome.HELD, words)
    return Check(
        "direction",
        Outcome.UNCLEAR,
        f"{untold}: nobody knows since when the suspect exists, and the source's seed was the owner's choice",
    )


DECISIVE = ("direction", "source", "rebuilt", "asked")
OF_KEYS = ("direction", "source", "key", "asked")
NEVER = {
    "source": "nobody has compared the source with what was committed to",
    "rebuilt": "nobody has trained the source again from its recipe",
    "answers": "nobody has asked the source's weights what the claim says that they answer",
    "regenerated": "nobody has made the claim again from source, data and draw",
    "twins": "nobody has compared the accuser's twins with others of the same recipe",
    "innocents": "nobody has held the claim against independent models of the judge's own",
    "pool": "nobody has looked whether the queries come from the declared data",
    "asked": "nobody but the accuser has asked the suspect, and recorded answers prove nothing",
}
NO_KEY = {"key": "nobody has looked whether the key could be searched until it fitted"}


def judge(case: "Case", known: Known = Known(), more: Sequence[Check] = ()) -> Judgement:
    """The finding on a case.

    Args:
        more: what the judge checked with models (`birthmark.notary.workbench`).
    """
    done = [*paper_checks(case, known), *more]
    named = {check.name for check in done}
    never = {**NEVER, **NO_KEY} if keyed(case) else NEVER
    done += [Check(name, Outcome.NOT_DONE, words) for name, words in never.items() if name not in named]
    found = _finding(done, case.replayed, OF_KEYS if keyed(case) else DECISIVE)
    return Judgement(*found, tuple(done), case.replayed.as_dict(), case.alpha)


def _finding(checks: Sequence[Check], replayed: Evidence, decisive: Sequence[str]) -> tuple[Finding, str]:
    failed = [check.words for check in checks if check.outcome is Outcome.FAILED]
    if replayed.verdict is Verdict.NOT_SUPPORTED:
        failed.append(f"the evidence itself does not support it: {replayed.reason}")
    if failed:
        return Finding.REJECTED, failed[0]
    if replayed.verdict is Verdict.INCONCLUSIVE:
        return Finding.INCONCLUSIVE, replayed.reason
    settling = sorted((check for check in checks if check.name in decisive), key=lambda c: decisive.index(c.name))
    open_ = [check.words for check in settling if check.outcome is not Outcome.HELD]
    if open_:
        return Finding.INCONCLUSIVE, "; ".join(open_)
    return Finding.UPHELD, "; ".join(check.words for check in settling)
