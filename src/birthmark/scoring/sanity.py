"""Does the suspect seem to be asked and read rightly? A check before anyone is told "not supported".

A suspect whose inputs are scaled wrongly, or whose classes come in another order, looks innocent. The owner's
independent references tell: models of one task agree on most inputs. The check uses the suspect's and the references'
answers only, never the source's or a twin's, so it treats true claim and placebos alike; and it can only turn another
verdict into "inconclusive": "not supported" always, "supported" where the classes clearly come in another order, since
what such a suspect was ranked by is not what it said.
"""

from typing import NamedTuple

import numpy as np

from birthmark.claim import Claim
from birthmark.types import Floats

LEAST_QUERIES, LEAST_REFERENCES = 20, 3
FAR, ALIKE = 1000.0, 1e-9  # times the range of the references' answers


class Doubt(NamedTuple):
    """Why a suspect may have been misread, and whether its classes clearly come in another order than declared."""

    why: str = ""
    shuffled: bool = False


def absurd(claim: Claim, answers: Floats) -> str:
    """Why answers (q', k) say nothing; empty if they do.

    They are not finite, or so far out that one of them decides every sum, or the same for 20 queries and more.

    Values may lie up to FAR times the range of the references' answers from its middle, probabilities as far from
    [0, 1]. Like `doubt` it looks at neither source nor twins, so true claim and placebos are treated alike.
    """
    if not np.isfinite(answers).all():
        return f"{_rows(~np.isfinite(answers))} of {len(answers)} answers hold NaN or infinity"
    known = claim.references if claim.task.values else np.array([0.0, 1.0])
    if not known.size:
        return ""
    low, high = float(known.min()), float(known.max())
    with np.errstate(over="ignore"):
        far = np.abs(answers - (low + high) / 2) > FAR * (high - low)
        alike = len(answers) >= LEAST_QUERIES and (np.ptp(answers, axis=0) <= ALIKE * (high - low)).all()
    if far.any() and low < high:
        return (
            f"{_rows(far)} of {len(answers)} answers lie more than {FAR:g} times the range of the owner's independent "
            f"models ({low:.3g} to {high:.3g}) away, up to {np.abs(answers).max():.3g}"
        )
    return f"all {len(answers)} queries are answered alike" if alike else ""


def _rows(which: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    return int(which.any(axis=1).sum())


def doubt(claim: Claim, answers: Floats) -> Doubt:
    """Why the declared order of classes or the inputs' layout, range or normalisation may be wrong; an empty one if
    nothing hints at it.

    Args:
        answers: the suspect's rows (q', k) to the claim's first q' queries.
    """
    q, k = answers.shape
    references = claim.references[:, :q]
    if claim.task.values or k != claim.task.outputs or k < 2 or q < LEAST_QUERIES or len(references) < LEAST_REFERENCES:
        return Doubt()
    votes = np.eye(k)[references.argmax(axis=2)]  # (r, q, k)
    typical = float(
        np.mean([agreement(votes[i].argmax(axis=1), votes.sum(axis=0) - votes[i]) for i in range(len(votes))])
    )
    if typical < max(0.3, 3 / k):  # such queries tell nothing: the references themselves disagree
        return Doubt()
    mine = answers.argmax(axis=1)
    found = agreement(mine, votes.sum(axis=0))
    if found >= 0.5 * typical:
        return Doubt()
    facts = (
        f"the suspect's top class is that of the owner's independent models on {found:.0%} of queries, where those "
        f"agree on {typical:.0%}"
    )
    order = matched_order(mine, votes.sum(axis=0).argmax(axis=1), k)
    if float((np.argsort(order)[mine] == votes.sum(axis=0).argmax(axis=1)).mean()) >= max(0.75 * typical, 2 * found):
        said = (
            f"with its classes in about the order {list(map(int, order))} it would agree as they do: its classes seem "
            "shuffled, declare order or labels"
        )
        return Doubt(f"{facts}; {said}", shuffled=True)
    return Doubt(
        f"{facts}: its input layout, value range, normalisation or order of classes is probably not as declared, or "
        "it answers another task"
    )


def agreement(labels: np.ndarray[tuple[int], np.dtype[np.int64]], votes: Floats) -> float:
    """Share of queries on which labels (q,) are those with most votes (q, k)."""
    return float((labels == votes.argmax(axis=1)).mean())


def matched_order(
    mine: np.ndarray[tuple[int], np.dtype[np.int64]], theirs: np.ndarray[tuple[int], np.dtype[np.int64]], k: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For each class of theirs (k,) the class of mine that stands for it: the assignment with most matches."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((k, k))
    np.add.at(counts, (theirs, mine), 1)
    return np.asarray(linear_sum_assignment(-counts)[1])
