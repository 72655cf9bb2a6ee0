"""Does the suspect seem to be asked and read rightly? A check before anyone is told "not supported".

A suspect whose inputs are scaled wrongly, or whose classes come in another order, looks innocent. The owner's
independent references tell: models of one task agree on most inputs. The check uses the suspect's and the references'
answers only, never the source's or a twin's, so it treats true claim and placebos alike; and it can only turn another
verdict into "inconclusive": "not supported" always, "supported" where the classes clearly come in another order, since
what such a suspect was ranked by is not what it said.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from birthmark.claim import Claim
from birthmark.types import Floats, Labels

LEAST_QUERIES, LEAST_REFERENCES = 20, 3
NAMED = 1000  # classes, at most, whose order a message spells out
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
    tops, votes = references.argmax(axis=2), np.zeros((q, k), dtype=np.int16)
    for top in tops:
        votes[np.arange(q), top] += 1
    typical = float(np.mean([agreement(top, votes, less=top) for top in tops]))
    if typical < max(0.3, 3 / k):  # such queries tell nothing: the references themselves disagree
        return Doubt()
    mine = answers.argmax(axis=1)
    found = agreement(mine, votes)
    if found >= 0.5 * typical:
        return Doubt()
    facts = (
        f"the suspect's top class is that of the owner's independent models on {found:.0%} of queries, where those "
        f"agree on {typical:.0%}"
    )
    order = matched_order(mine, usual := votes.argmax(axis=1), k)
    if float((np.argsort(order)[mine] == usual).mean()) >= max(0.75 * typical, 2 * found):
        said = (
            f"with its classes in about the order {list(map(int, order[:NAMED]))} it would agree as they do: its "
            "classes seem shuffled, declare order or labels"
        )
        return Doubt(f"{facts}; {said}", shuffled=True)
    return Doubt(
        f"{facts}: its input layout, value range, normalisation or order of classes is probably not as declared, or "
        "it answers another task"
    )


def agreement(labels: Labels, votes: NDArray[np.int16], less: Labels | None = None) -> float:
    """Share of queries on which labels (q,) are those with most votes (q, k), one vote for `less` (q,) not counted."""
    if less is not None:
        votes = votes.copy()
        votes[np.arange(len(less)), less] -= 1
    return float((labels == votes.argmax(axis=1)).mean())


def matched_order(mine: Labels, theirs: Labels, k: int) -> Labels:
    """For each class of theirs (k,) the class of mine that stands for it: the assignment with most matches.

    Classes that nobody names stand for each other in order.
    """
    (rows, row), (columns, column) = (np.unique(named, return_inverse=True) for named in (theirs, mine))
    counts = np.zeros((len(rows), len(columns)))
    np.add.at(counts, (row, column), 1)
    chosen = linear_sum_assignment(-counts)
    order = np.full(k, -1)
    order[rows[chosen[0]]] = columns[chosen[1]]
    order[order < 0] = np.setdiff1d(np.arange(k), order)
    return order
