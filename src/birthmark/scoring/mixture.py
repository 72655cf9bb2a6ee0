"""The owner mixture: how much of each owner a suspect's answers hold, by one joint ridge regression.

Ours. Residuals of the owners (source and twins) from their mean are the regressors, the suspect's residual the
response. Correlating the suspect with one owner at a time fails where one odd twin makes all other pairs correlate; the
joint fit removes that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binom

from birthmark.errors import ShapeError
from birthmark.types import Floats

LEAST_AFFINE = 20  # queries; of fewer, two columns an output would leave little


def owner_mixture(
    owners: Floats,
    suspect: Floats,
    *,
    others: Floats | None = None,
    ridge: float = 0.1,
    floor: float = 0.02,
    scaled: bool = True,
    affine: bool = False,
) -> Floats:
    """Weights of the owners in a suspect's answers.

    With A the owners' answers, mu their mean and R = A - mu: each entry is divided by W, the root mean square over
    owners (floored at `floor` of its median), or left as it is if `scaled` is false;
    w = (X X' + ridge * mean eigenvalue of R R' * I)^-1 X (suspect - mu), X = R with the residuals of `others` below it;
    the owners' part of w. What a suspect has in common with any independent model is explained by those, not by an
    owner.

    Relabelling the owners permutes w; adding the same rows to owners and suspect leaves it; the suspect being owner j
    puts the largest weight on j.

    Args:
        owners: answers (m, q, k), source first.
        suspect: answers (q, k).
        others: answers (r, q, k) of independent models.
        affine: whether what a constant and mu explain of each output, over the queries, is taken out of all residuals
            first: then a suspect that moves or stretches what every owner answers alike gains and loses nothing. From
            LEAST_AFFINE queries on.

    Returns:
        Weights (m,), higher is closer.

    Raises:
        ShapeError: fewer than three owners, other shapes, or values that are not finite.
    """
    if len(owners) < 3:
        raise ShapeError(f"expected a source and at least 2 twins, got {len(owners)} owners")
    if owners.shape[1:] != suspect.shape or not (np.isfinite(owners).all() and np.isfinite(suspect).all()):
        raise ShapeError(f"expected finite answers of shape {owners.shape[1:]} from the suspect, got {suspect.shape}")
    mean = owners.mean(axis=0)
    residuals = owners - mean
    spread = np.sqrt((residuals**2).mean(axis=0))
    scale = np.maximum(spread, floor * np.median(spread)) if scaled else (spread > 0).astype(float)
    alive = scale > 0
    if not alive.any():
        return np.zeros(len(owners))
    unit = alive / np.where(alive, scale, 1)
    fixed = _basis(mean * unit, unit) if affine and len(mean) >= LEAST_AFFINE else []

    def rows(answers: Floats) -> Floats:
        rest = (answers - mean) * unit
        for column in fixed:
            rest = rest - column * (rest * column).sum(axis=-2, keepdims=True)
        return np.asarray(rest.reshape(*rest.shape[:-2], -1))

    m = len(owners)
    x = rows(owners) if others is None or not len(others) else np.concatenate([rows(owners), rows(others)])
    gram = x @ x.T
    penalty = ridge * np.trace(gram[:m, :m]) / m
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(len(x)), x @ rows(suspect))[:m])


def _basis(mean: Floats, constant: Floats) -> list[Floats]:
    """Columns (q, k), orthonormal in each output, that span a constant and the mean.

    0 where an output has no second one.
    """
    first = constant / np.maximum(np.linalg.norm(constant, axis=0), 1e-300)
    second = mean - first * (mean * first).sum(axis=0)
    size = np.linalg.norm(second, axis=0)
    return [first, np.where(size > 1e-9 * np.linalg.norm(mean, axis=0), second / np.maximum(size, 1e-300), 0.0)]


def attractors(weights: Sequence[Floats]) -> dict[str, Any]:
    """Owners to whom independent models lean, as facts of a claim.

    Errors of innocents are dependent: some owners lie close to everybody. An owner attracts if so many of the
    references rank it first that chance (a binomial of share 1 / m) would do it with less than .01 / m.

    Args:
        weights: of each reference, its weights (m,) by owner, source first.

    Returns:
        "attractors" (owners by number, 0 is the source) and "leaning" (how many references rank each owner first);
        with "warnings" if the source is among them; empty without references.
    """
    if not len(weights):
        return {}
    m = len(weights[0])
    first = np.bincount([int(np.argmax(w)) for w in weights], minlength=m)
    found = [j for j in range(m) if first[j] and binom.sf(first[j] - 1, len(weights), 1 / m) < 0.01 / m]
    facts: dict[str, Any] = {"attractors": found, "leaning": [int(n) for n in first]}
    if 0 in found:
        facts["warnings"] = [
            (
                f"{first[0]} of {len(weights)} independent references lean to the source more than to any twin: it "
                "attracts innocents"
            )
        ]
    return facts
