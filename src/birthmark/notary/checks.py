"""What a judge knows without the accuser, and one check of what the accuser says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from birthmark.notary.signing import Public


class Outcome(StrEnum):
    """How a check ended."""

    HELD = "held"
    FAILED = "failed"
    UNCLEAR = "unclear"
    NOT_DONE = "not done"


@dataclass(frozen=True)
class Check:
    """One check: what it is about, how it ended, and that in words."""

    name: str
    outcome: Outcome
    words: str


@dataclass(frozen=True)
class Known:
    """What the judge knows without the accuser.

    Attributes:
        signer: the accuser's public key. roots: certificates of time-stamp authorities that the judge trusts.
        value: the public random value of the committed round, looked up by the judge, in hex.
        published: when that value was published; a commitment younger than it could be chosen to fit.
        since: when the suspect is first known to have existed.
        listed: commitments by this owner before this one, by a list that somebody else keeps.
    """

    signer: "Public | None" = None
    roots: "Sequence[Certificate]" = ()
    value: str = ""
    published: datetime | None = None
    since: datetime | None = None
    listed: int = 0
