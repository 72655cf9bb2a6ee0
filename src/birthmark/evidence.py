"""Evidence and verdicts: plain numbers, no torch, no plots."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from birthmark.secrets import printable

FORMAT = "birthmark/evidence/1"


class Verdict(StrEnum):
    """What the evidence says of "this suspect was derived from the source"; never "stolen"."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    INCONCLUSIVE = "inconclusive"


EXIT = {Verdict.NOT_SUPPORTED: 0, Verdict.SUPPORTED: 10, Verdict.INCONCLUSIVE: 3}


@dataclass(frozen=True, repr=False)
class Evidence:
    """One suspect tested with one claim.

    Attributes:
        verdict, reason: and what would settle it, if it is inconclusive.
        score: the claim's score; higher is closer to the source. `raw` is the method's own, uncalibrated.
        p_value: the rank p under `null`: "placebos" (exact over the source's seed or the key) or "references".
        p_parametric: Student-t predictive p among the same null; assumes it is normal. NaN is written as null.
        p_references: rank p of the suspect among the owner's independent references, beside the placebos' p.
        p_reruns: rank p among the twins, each judged by the claim without it: how often an innocent rerun comes as
            close to this very source.
        placebos: their scores. z: the score standardised by them. references_z, treated_z, reruns_z: the same z of each
            reference, of each copy and student of one, and of each left-out twin, where the claim holds them.
        twins: where the claim's twins start, as `Claim.twins` says; empty for claims without twins.
        queries: distinct queries sent for the whole test; repeats: queries asked again to see whether answers hold
            still.
        sent: all queries that left for the suspect, those sent again after failures included.
        notes: what a reader must know: randomised answers, rounding noticed, self-check warnings.
        grade: on whose word this rests, and whether the source was trained from a card or given.
    """

    verdict: Verdict
    reason: str
    method: str
    settings: Mapping[str, Any]
    claim: str
    suspect: str
    answers: str
    score: float
    raw: float
    z: float
    p_value: float | None
    null: str
    n_placebos: int
    p_parametric: float | None
    p_references: float | None
    alpha: float
    placebos: tuple[float, ...]
    references_z: tuple[float, ...]
    queries: int
    p_reruns: float | None = None
    treated_z: tuple[float, ...] = ()
    reruns_z: tuple[float, ...] = ()
    twins: str = ""
    repeats: int = 0
    sent: int = 0
    transcript: str = ""
    notes: tuple[str, ...] = ()
    authorisation: str = ""
    grade: str = ""
    made: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Evidence({self.verdict.value}: {self.suspect!r}, {self.method}, {self.reason})"

    @property
    def exit_code(self) -> int:
        return EXIT[self.verdict]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data; numbers that are not finite become null, text is without secrets and control characters."""
        return {"format": FORMAT, **plain_data(asdict(self))}


def plain_data(value: Any) -> Any:
    """Plain JSON data of what holds numbers, text, lists and mappings, as `Evidence.as_dict` says."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, (list, tuple)):
        return [plain_data(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain_data(item) for key, item in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    return printable(value) if isinstance(value, str) else value
