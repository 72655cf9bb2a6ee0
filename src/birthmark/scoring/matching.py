"""Claims whose queries are scored one by one: each owner's score is the mean over its own queries. NumPy only."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Candidate, Claim, Scores
from birthmark.errors import ShapeError
from birthmark.types import Floats

Asked = tuple[Floats, int | None]  # answers (q, k), and the owner left out, if any


def interleaved(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Each owner's arrays (q_j, ...), taken in turns, so that every prefix is a fair smaller test.

    Args:
        parts: per owner, the source first, arrays of equal names, whose first axis is the owner's queries, best first.

    Returns:
        The arrays (q, ...) of all, as many queries of each owner as the shortest has, and "owner" (q,): whose each is.
    """
    least = min(len(part["queries"]) for part in parts)
    joined = {
        key: np.stack([part[key][:least] for part in parts], axis=1).reshape(-1, *parts[0][key].shape[1:])
        for key in parts[0]
    }
    return {**joined, "owner": np.tile(np.arange(len(parts)), least)}


def of_owners(scores: Floats, raw: float) -> Scores:
    """Scores from those of all owners (m,), the source's first."""
    return Scores(float(scores[0]), tuple(float(score) for score in scores[1:]), float(raw))


def centred(
    candidates: Sequence[Candidate],
    references: Sequence[Floats],
    weighed: Callable[[Sequence[Asked]], list[Floats]],
    share: float,
) -> list[tuple[Floats, Floats]]:
    """Of each candidate the owners' weights, less a share of what the other references have of each owner, and plain.

    Args:
        references: their answers, as weights are taken of them.
        weighed: the owners' weights in each of several answers, together with the owner that each leaves out.
    """
    twins = list(dict.fromkeys(c.twin for c in candidates))
    found = weighed(
        [*((c.answers, c.twin) for c in candidates), *((rows, twin) for twin in twins for rows in references)]
    )
    both = []
    for c, plain in zip(candidates, found, strict=False):
        first = len(candidates) + twins.index(c.twin) * len(references)
        known = [found[first + i] for i in range(len(references)) if i != c.reference]
        both.append((plain - share * np.mean(known, axis=0) if known else plain, plain))
    return both


def fitting(claim: Claim, answers: Floats) -> Floats:
    """The answers, if they are rows (q', k) of the claim's outputs and no more than it has queries.

    Raises:
        ShapeError: they are not.
    """
    if answers.ndim != 2 or answers.shape[1] != claim.task.outputs or len(answers) > len(claim.queries):
        raise ShapeError(
            f"{claim.method}: expected answers of shape (q, {claim.task.outputs}) to at most {len(claim.queries)} "
            f"queries, got {answers.shape}"
        )
    return answers


def by_owner(claim: Claim, values: Floats, common: Sequence[Floats]) -> Scores:
    """Scores from each query's own score.

    Args:
        values: (q',) scores of the suspect's answers to the first q' queries, 0 to 1.
        common: the same of each reference; their mean is subtracted where there are placebos.

    Raises:
        ShapeError: some owner has no query among the first q'.
    """
    owner = claim.tensors["owner"][: len(values)]
    count = np.bincount(owner, minlength=int(claim.tensors["owner"].max()) + 1)
    if count.min() < 1:
        raise ShapeError(f"{claim.method}: {len(values)} queries leave an owner without one; ask at least {len(count)}")
    plain = _means(owner, values, count)
    centred = (
        plain - np.mean([_means(owner, rows, count) for rows in common], axis=0)
        if len(count) > 1 and len(common)
        else plain
    )
    return of_owners(centred, plain[0])


def _means(owner: NDArray[np.int64], values: Floats, count: NDArray[np.int64]) -> Floats:
    least = count.min()
    return np.array([values[owner == j][:least].mean() for j in range(len(count))])  # as many for every owner


def matches(claim: Claim, answers: Floats) -> Scores:
    """The matching rate: share of answers (q', k) whose top class is the owner's label."""
    labels = claim.tensors["labels"][: len(fitting(claim, answers))]
    common = [_agree(rows[: len(answers)], labels) for rows in claim.references]
    return by_owner(claim, _agree(answers, labels), common)


def _agree(answers: Floats, labels: NDArray[np.int64]) -> Floats:
    return np.asarray(answers.argmax(axis=1) == labels, dtype=np.float64)
