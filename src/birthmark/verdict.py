"""The placebo test: the only place where a verdict is reached. NumPy only.

    p = (1 + #{placebos scoring at least as high}) / (1 + #placebos)

exact over the randomness of the source's seed (or the key) for any method and any innocent suspect. A verdict of
`supported` takes p <= alpha and more, all of which can only withhold an accusation, so that the error rate stays exact:

* a fingerprint's suspect is closer to the source than each of at least four references, and than every copy and student
  that the owner made of them: a source that lies close to everybody accuses many innocents together;
* where the claim holds its twins' answers, its rank among those has p <= alpha too, each twin scored as a suspect by
  the claim without it: they show how close innocents come to this very source;
* a watermark's z reaches the margin of one key: an unlucky one accuses innocents that resemble each other together;
* every number is finite, and the answers are read as they were meant (`birthmark.scoring.sanity`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from birthmark import registry, stats
from birthmark.answers import shown_as
from birthmark.claim import Candidate, Claim, Scores
from birthmark.errors import ArtifactError, NullError
from birthmark.evidence import Verdict
from birthmark.method import Method
from birthmark.scoring.sanity import Doubt, absurd, doubt
from birthmark.types import Floats

if TYPE_CHECKING:
    from birthmark.watermark import Watermark

NULLS = ("placebos", "references")
LEAST_OWNERS = 4  # one of which can be left out
LEAST_REFERENCES = 4  # fewer say nothing about a suspect that lies close to everybody


@dataclass(frozen=True)
class Standing:
    """Where a suspect stands: all that a verdict rests on.

    Attributes:
        p: rank p among `null`; z: the score standardised by its placebos (by the references where there are none).
        placebos, references, treated: how many scores of each the suspect was held against.
        p_references: rank p of z among those of references and treated references; None without any.
        p_reruns: rank p of z among the left-out twins'; None if the claim does not hold their answers.
        margin: the z that one key takes, -inf for keys without luck; None for fingerprints, which references guard.
        crafted_against: whether the queries were crafted against models like the references, which then score lower
            than innocents of another kind do: ranks among them support nothing.
        doubt: whether the answers seem misread.
        unsound: why the numbers mean nothing; empty if they do.
    """

    p: float
    z: float
    null: str = "placebos"
    placebos: int = 0
    references: int = 0
    treated: int = 0
    p_references: float | None = None
    p_reruns: float | None = None
    margin: float | None = None
    crafted_against: bool = False
    doubt: Doubt = field(default_factory=Doubt)
    unsound: str = ""

    @property
    def ranked(self) -> int:
        """How many scores p is a rank among."""
        return self.placebos if self.null == "placebos" else self.references

    @property
    def guarded(self) -> bool:
        """Whether references guard it: not where they are the null, and not by fewer than four."""
        return self.null == "placebos" and self.references >= LEAST_REFERENCES

    @property
    def missing(self) -> tuple[str, ...]:
        """Guards of a fingerprint that the claim could not offer, in words; a key has its margin instead."""
        if self.margin is not None or self.unsound:
            return ()
        if self.null == "references":
            return ("ranked among references, so that neither references nor left-out twins guard the verdict",)
        held = {"copies and students of references": self.treated > 0, "left-out twins": self.p_reruns is not None}
        return tuple(f"no {what} were held against the suspect" for what, there in held.items() if not there)

    @property
    def others(self) -> str:
        """The owner's innocents, references and what was made of them counted apart."""
        made = f" and the {self.treated} copies and students of them" if self.treated else ""
        return f"{self.references} independent models{made}"


@dataclass(frozen=True)
class Nulls:
    """Scores of the owner's innocents, shown as a suspect shows its answers.

    Attributes:
        references, treated: of each reference, scored without itself and what was made of it, and of each copy and
            student of one, scored as that is.
        reruns_z: z of each twin, by the claim without it; empty if the claim does not hold their answers.
    """

    references: tuple[Scores, ...] = ()
    treated: tuple[Scores, ...] = ()
    reruns_z: tuple[float, ...] = ()


@dataclass(frozen=True, repr=False)
class Conclusion:
    """A verdict, its reason, and the numbers behind it.

    Attributes:
        scores: the suspect's, and its placebos'.
        against: the scores that p is a rank among.
        references_z, treated_z, reruns_z: z of each reference, of each copy and student of one, of each left-out twin.
    """

    verdict: Verdict
    reason: str
    standing: Standing
    scores: Scores
    against: tuple[float, ...]
    references_z: tuple[float, ...] = ()
    treated_z: tuple[float, ...] = ()
    reruns_z: tuple[float, ...] = ()

    def __repr__(self) -> str:
        return f"Conclusion({self.verdict.value}: {self.reason})"

    @property
    def score(self) -> float:
        """What p ranks: the calibrated score among placebos, the method's own among references."""
        return self.scores.source if self.standing.null == "placebos" else self.scores.raw


def conclude(
    claim: Claim, answers: Floats, alpha: float, null: str | None = None, *, nulls: Nulls | None = None
) -> Conclusion:
    """The verdict on a suspect by its answers (q', k) to the claim's first q' queries.

    Args:
        alpha: share of innocents that may be accused, 0 to 1.
        null: "placebos" (exact) or "references" (assumes that an innocent could have been one of them); default the
            placebos where the claim makes some.
        nulls: of answers shown alike, if they are known already (`nulls_of`).

    Raises:
        SettingError: alpha out of range.
        NullError: nothing of that kind to rank against.
        ShapeError: too few answers for the method, or of another width.
    """
    stats.needed(alpha)
    if why := absurd(claim, answers):
        return _unscored(why, null)
    scorer = registry.scorer(claim)
    try:
        with _whole(claim), np.errstate(all="ignore"):
            innocents = _innocents(scorer, claim, answers) if nulls is None else []
            scores, *found = scorer.scores(claim, [Candidate(answers), *innocents])
            nulls = nulls or _nulls(claim, innocents, found)
    except np.linalg.LinAlgError as error:
        return _unscored(f"the answers are too large or too alike to be scored ({error})", null)
    null = null or ("placebos" if scores.placebos or not nulls.references else "references")
    against = _against(scores, nulls, null)
    score = scores.source if null == "placebos" else scores.raw
    z = stats.standardised(scores.source if scores.placebos else score, scores.placebos or against)
    references_z, treated_z = _z(nulls.references), _z(nulls.treated)
    others = (*references_z, *treated_z)
    standing = Standing(
        p=stats.rank_p(score, against),
        z=z,
        null=null,
        placebos=len(scores.placebos),
        references=len(nulls.references),
        treated=len(nulls.treated),
        p_references=_p_among(z, others),
        p_reruns=_p_among(z, nulls.reruns_z),
        margin=_margin(scorer, alpha),
        crafted_against=isinstance(scorer, Method) and scorer.crafted_against,
        doubt=doubt(claim, answers),
        unsound=_unsound(score, against, z, (*others, *nulls.reruns_z)),
    )
    return Conclusion(*verdict_of(standing, alpha), standing, scores, against, references_z, treated_z, nulls.reruns_z)


def _against(scores: Scores, nulls: Nulls, null: str) -> tuple[float, ...]:
    against = scores.placebos if null == "placebos" else tuple(s.raw for s in nulls.references)
    if not against:
        have = "references" if nulls.references else "nothing"
        raise NullError(
            f"no {null} to rank against, so no verdict: the claim holds {have}; enrol with twins (--twins) or "
            "references (--references)"
        )
    return against


def _p_among(z: float, others: Sequence[float]) -> float | None:
    return stats.rank_p(z, others) if others else None


def _unscored(why: str, null: str | None) -> Conclusion:
    standing = Standing(1.0, np.nan, null or "placebos", unsound=why)
    return Conclusion(Verdict.INCONCLUSIVE, why, standing, Scores(np.nan, (), np.nan), ())


def _z(some: Sequence[Scores]) -> tuple[float, ...]:
    return tuple(stats.standardised(s.source, s.placebos) for s in some if s.placebos)


def _unsound(score: float, against: Sequence[float], z: float, guards: Sequence[float]) -> str:
    """Which numbers are not finite; empty if all are."""
    if not np.isfinite((score, *against)).all():
        odd = sum(not isfinite(value) for value in against)
        return f"the suspect's score is {score:.3g}, and {odd} of {len(against)} that it is ranked among are not finite"
    if not isfinite(z):
        return "the scores that it is ranked among do not differ, or too much to be squared; ask more queries"
    if odd := sum(not isfinite(value) for value in guards):
        return f"{odd} of {len(guards)} scores of references and left-out twins are not finite; ask more queries"
    return ""


def verdict_of(standing: Standing, alpha: float) -> tuple[Verdict, str]:
    """The verdict and its reason, from the numbers alone."""
    verdict, reason = _by_ranks(standing, alpha)
    misread = standing.doubt
    if misread.shuffled or (misread.why and verdict is not Verdict.SUPPORTED):
        return Verdict.INCONCLUSIVE, f"{reason}; but {misread.why}"
    return verdict, reason


def _by_ranks(s: Standing, alpha: float) -> tuple[Verdict, str]:
    if s.unsound or not isfinite(s.p + s.z):
        return Verdict.INCONCLUSIVE, s.unsound or f"p = {s.p} and z = {s.z}, and numbers must be finite"
    n, best = s.ranked, stats.smallest_p(s.ranked)
    found = f"p = {s.p:.3g} among {n} {s.null}"
    if best > alpha:
        return Verdict.INCONCLUSIVE, (
            f"{n} {s.null} cannot give a p below {best:.3g}, and alpha is {alpha:g}; enrol with at least "
            f"{stats.needed(alpha)} {s.null}, or choose alpha {best:.3g}"
        )
    if s.margin is None and s.references < LEAST_REFERENCES:
        return Verdict.INCONCLUSIVE, (
            f"{found}, but the claim holds {s.references} references: fewer than {LEAST_REFERENCES} cannot show "
            "whether the source lies close to everybody; enrol with more (--references)"
        )
    if s.p > alpha:
        return (
            Verdict.NOT_SUPPORTED,
            f"{found}: such a score is what an innocent model would get in {s.p:.0%} of cases",
        )
    for obstacle in _obstacles(s, alpha):
        return Verdict.INCONCLUSIVE, f"{found}, but {obstacle}"
    return Verdict.SUPPORTED, found + (f", and closer to the source than all {s.others}" if s.guarded else "")


def _obstacles(s: Standing, alpha: float) -> Iterator[str]:
    """Why so small a p supports nothing all the same, and what would settle it."""
    if s.null == "references" and s.crafted_against:
        yield (
            "the claim was crafted against independents much like them, and an innocent model of another kind may "
            "score higher than all; enrol with placebos, or use a method that has them (kinship)"
        )
    if s.guarded and s.p_references is not None and s.p_references > stats.smallest_p(s.references + s.treated):
        yield (
            f"one of the owner's own {s.others} is as close to the source; enrol with more twins and queries, or look "
            "for other evidence"
        )
    if s.null == "placebos" and s.p_reruns is not None and s.p_reruns > alpha:
        yield (
            f"reruns of the source's own recipe come as close to this source in {s.p_reruns:.0%} of cases; it lies "
            "close to innocents: enrol with more queries, or under another seed"
        )
    if s.margin is not None and not s.z >= s.margin:
        yield (
            f"z is {s.margin - s.z:.2f} short of the margin that keeps an unlucky key from accusing all innocents of "
            "one kind; ask more queries"
        )


@contextmanager
def _whole(claim: Claim) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise ArtifactError(f"the claim of {claim.method} lacks {error}; it was not written by birthmark") from None


def nulls_of(claim: Claim, answers: Floats) -> Nulls:
    """Scores of the claim's references, of what was made of them, and of its twins, each shown as `answers` are."""
    scorer = registry.scorer(claim)
    innocents = _innocents(scorer, claim, answers)
    return _nulls(claim, innocents, scorer.scores(claim, innocents))


def _innocents(scorer: "Method | Watermark", claim: Claim, answers: Floats) -> list[Candidate]:
    """The owner's innocents, shown as `answers` are: references, then what was made of each, then twins."""
    q, show = len(answers), shown_as(answers, claim.task.values)
    owners, first = claim.tensors.get("owners", ()), len(claim.tensors.get("owners", ()))
    reruns = isinstance(scorer, Method) and scorer.reruns and first >= LEAST_OWNERS
    twins = min(int(claim.settings.get("placebos", 0)), first - 1) if reruns else 0

    def shown(rows: Floats, row: int, reference: int | None = None, twin: int | None = None) -> Candidate:
        held = rows[:q]
        seen = show(held)
        return Candidate(seen, reference, twin, row if seen is held else None)

    found = [shown(rows, first + i, i) for i, rows in enumerate(claim.references)]
    made = ((i, rows) for i, some in enumerate(claim.treated) for rows in some)
    found += [shown(rows, row, i) for row, (i, rows) in enumerate(made, first + len(found))]
    return found + [shown(owners[j], j, twin=j) for j in range(1, 1 + twins)]


def _nulls(claim: Claim, innocents: Sequence[Candidate], scores: Sequence[Scores]) -> Nulls:
    r, end = len(claim.references), sum(one.twin is None for one in innocents)
    reruns = (stats.standardised(one.source, one.placebos) for one in scores[end:])
    return Nulls(tuple(scores[:r]), tuple(scores[r:end]), tuple(reruns))


def _margin(scorer: "Method | Watermark", alpha: float) -> float | None:
    if isinstance(scorer, Method):
        return None
    return stats.margin(alpha, scorer.key_correlation) if scorer.key_correlation else -np.inf
