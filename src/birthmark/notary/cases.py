"""Sealed evidence as a judge reads it: what the accuser states, and the same numbers reached again."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from birthmark.claim import Claim
from birthmark.errors import ArtifactError, BirthmarkError
from birthmark.evidence import FORMAT, Evidence
from birthmark.notary import signing, stamps
from birthmark.notary.checks import Known
from birthmark.notary.commitments import Commitment, Drawn
from birthmark.notary.folders import COMMITMENT, DRAW, ENVELOPE, EVIDENCE, OF_COMMITMENT, STAMP, Sealed
from birthmark.notary.strict import parse_canonical, past
from birthmark.transcript import Replay
from birthmark.types import Plain
from birthmark.verify import Terms, verify

STRANGE = (
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
)  # of what a signer made up


@dataclass(frozen=True)
class Case:
    """Sealed evidence, read.

    Attributes:
        stated: the evidence as the accuser states it. claim: the accuser's.
        commitment, drawn: if there are any. dated: when a trusted authority stamped the commitment.
        listed: as `Known` says.
    """

    sealed: Sealed
    stated: Plain
    claim: Claim
    replayed: Evidence = field(repr=False)
    commitment: Commitment | None = None
    drawn: Drawn | None = None
    dated: datetime | None = None
    listed: int = 0

    @property
    def alpha(self) -> float:
        """The error rate to judge at: the committed one, divided among all that the owner committed to before."""
        alpha = float(self.commitment.fixed["alpha"] if self.commitment else self.stated["alpha"])
        earlier = len(self.commitment.earlier) if self.commitment else 0
        return alpha / (1 + max(earlier, self.listed))


def read_case(sealed: Sealed, known: Known = Known()) -> Case:
    """Read sealed evidence, and reach its verdict again from claim and transcript.

    Raises:
        ArtifactError: a part of it is not what it says, or says a time in the future.
    """
    stated = parse_canonical(sealed.files[EVIDENCE], EVIDENCE)
    if not isinstance(stated, dict) or stated.get("format") != FORMAT:
        raise ArtifactError(f"{EVIDENCE}: expected {FORMAT}; use the birthmark that wrote it")
    try:
        with sealed.laid_out() as folder:
            claim, digest = Claim.load(folder / "claim")
            replayed = _replayed(claim, digest, stated, folder / "transcript.jsonl")
    except ArtifactError:
        raise
    except BirthmarkError as error:
        raise ArtifactError(f"claim and transcript give no verdict: {error}") from None
    except STRANGE as error:
        raise ArtifactError(f"claim and transcript give no verdict: {type(error).__name__}: {error}") from None
    commitment, dated = _commitment(sealed, known)
    drawn = Drawn.read(sealed.files[DRAW], DRAW) if DRAW in sealed.files else None
    return Case(sealed, stated, claim, replayed, commitment, drawn, dated, known.listed)


def _replayed(claim: Claim, digest: str, stated: Plain, transcript: Path) -> Evidence:
    replay = Replay(transcript)
    for line in transcript.read_bytes().splitlines()[1:]:
        past(float(json.loads(line).get("time", 0)), "transcript.jsonl")
    terms = Terms(repeats=0, digest=digest, authorisation=str(stated["authorisation"]))
    alpha, null, budget = float(stated["alpha"]), str(stated["null"]), int(stated["queries"])
    return verify(claim, replay, alpha=alpha, null=null, budget=budget, terms=terms)


def _commitment(sealed: Sealed, known: Known) -> tuple[Commitment | None, datetime | None]:
    if COMMITMENT not in sealed.files:
        return None, None
    blob = sealed.files[COMMITMENT]
    found = Commitment.read(blob, COMMITMENT)
    if ENVELOPE not in sealed.files:
        return found, None
    key = signing.public_key(sealed.files["key.pem"], "key.pem")
    payload = signing.opened(sealed.files[ENVELOPE], key, ENVELOPE)
    if payload != signing.statement({COMMITMENT: sha256(blob).hexdigest()}, OF_COMMITMENT, {}):
        raise ArtifactError(f"{ENVELOPE}: signs another commitment than {COMMITMENT}")
    if STAMP not in sealed.files or not known.roots:
        return found, None
    return found, stamps.stamped(sealed.files[STAMP], sealed.files[ENVELOPE], known.roots, STAMP)
