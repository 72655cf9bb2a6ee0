"""The owner mixture: how much of each owner a suspect's answers hold, by one joint ridge regression.

Ours. Residuals of the owners (source and twins) from their mean are the regressors, the suspect's residual the
response. Correlating the suspect with one owner at a time fails where one odd twin makes all other pairs correlate; the
joint fit removes that.

The regression takes inner products alone. Those of all owners, independents and suspects are summed up once, chunk by
chunk; a test without one reference is a sub-block of them, one without a twin a sub-block about another mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom

from birthmark.errors import ShapeError
from birthmark.types import Floats

LEAST_AFFINE = 20  # queries; of fewer, two columns an output would leave little


@dataclass(frozen=True)
class Products:
    """Inner products of residuals from the owners' mean.

    Attributes:
        owners: m, the first of the regressors.
        total: (n, n + c) of the n regressors with each other and with c more columns.
        alone: by owner, the part of it from entries on which that owner alone differs from the others.
    """

    owners: int
    total: Floats
    alone: Mapping[int, Floats]

    def weights(self, column: int, ridge: float, *, twin: int | None = None, others: Sequence[int] = ()) -> Floats:
        """The owners' weights in a column, as `owner_mixture` has them.

        Args:
            twin: the owner left out, from 1; it is then missing in the weights as well.
            others: regressors beside the owners, by number from m on.
        """
        sums = self.total if twin is None else self._without(twin)
        owners = [j for j in range(self.owners) if j != twin]
        kept, m = [*owners, *others], len(owners)
        gram = sums[np.ix_(kept, kept)]
        size = np.trace(gram[:m, :m])
        if size == 0:
            return np.zeros(m)
        return np.asarray(np.linalg.solve(gram + ridge * size / m * np.eye(len(kept)), sums[kept, column])[:m])

    def _without(self, twin: int) -> Floats:
        """The sums about the mean of the other owners, over the entries on which those differ."""
        sums, rest = self.total - self.alone.get(twin, 0.0), self.owners - 1
        return np.asarray(sums + (sums[:, [twin]] + sums[twin]) / rest + sums[twin, twin] / rest**2)


def products(blocks: Iterable[Floats], m: int, n: int) -> Products:
    """Products of answers as they are.

    Args:
        blocks: chunks (n + c, entries), overwritten: m owners, n - m independents, c columns; entries on which all
            owners answer alike count for nothing.

    Raises:
        ShapeError: fewer than three owners, or values that are not finite.
    """
    total: Any = 0.0
    alone = dict[int, Any]()
    for x in blocks:
        same = x[:m] == x[0]
        agreeing = same.sum(axis=0)
        x -= x[:m].mean(axis=0)
        if (alike := agreeing == m).any():
            x[:, alike] = 0
        total = total + _sums(x, n)
        odd = np.flatnonzero(agreeing == m - 1)
        who = same[:, odd].argmin(axis=0)
        for twin in map(int, np.unique(who)):
            alone[twin] = alone.get(twin, 0.0) + _sums(x[:, odd[who == twin]], n)
    _check(m, total)
    return Products(m, np.asarray(total), alone)


def scaled_products(
    owners: Floats, others: Sequence[Floats], columns: Sequence[Floats], *, floor: float = 0.02, affine: bool = False
) -> Products:
    """Products of answers (q, k), each entry divided by the owners' spread there: see `owner_mixture`.

    Args:
        owners: (m, q, k); others: independents (q, k) that may be regressors; columns: (q, k) of suspects.

    Raises:
        ShapeError: as `owner_mixture`.
        LinAlgError: numbers too large to be squared.
    """
    if odd := [rows.shape for rows in (*others, *columns) if rows.shape != owners.shape[1:]]:
        raise ShapeError(f"expected finite answers of shape {owners.shape[1:]} from the suspect, got {odd[0]}")
    _check(len(owners), owners, *others, *columns)
    mean = owners.mean(axis=0)
    spread = np.sqrt(((owners - mean) ** 2).mean(axis=0))
    scale = np.maximum(spread, floor * np.median(spread))
    alive = scale > 0
    unit = alive / np.where(alive, scale, 1)
    if alive.any() and not unit.any():  # every spread is too large to be squared
        raise np.linalg.LinAlgError("Singular matrix")
    fixed = _basis(mean * unit, unit) if affine and len(mean) >= LEAST_AFFINE else []

    def residual(answers: Floats) -> Floats:
        rest = (answers - mean) * unit
        for column in fixed:
            rest = rest - column * (rest * column).sum(axis=0)
        return np.asarray(rest.ravel())

    x = np.stack([residual(rows) for rows in (*owners, *others, *columns)])
    return Products(len(owners), _sums(x, len(owners) + len(others)), {})


def owner_mixture(
    owners: Floats,
    suspect: Floats,
    *,
    others: Sequence[Floats] = (),
    ridge: float = 0.1,
    floor: float = 0.02,
    affine: bool = False,
) -> Floats:
    """Weights of the owners in a suspect's answers.

    With A the owners' answers, mu their mean and R = A - mu: each entry is divided by W, the root mean square over
    owners (floored at `floor` of its median);
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
    m, n = len(owners), len(owners) + len(others)
    found = scaled_products(owners, others, [suspect], floor=floor, affine=affine)
    return found.weights(n, ridge, others=range(m, n))


def _sums(x: Floats, n: int) -> Floats:
    """Inner products (n, n + c) of rows; column by column, so that none depends on how many there are."""
    return np.column_stack([x[:n] @ x[:n].T, *(x[:n] @ column for column in x[n:])])


def _check(owners: int, *finite: Any) -> None:
    if owners < 3:
        raise ShapeError(f"expected a source and at least 2 twins, got {owners} owners")
    if not all(np.isfinite(rows).all() for rows in finite):
        raise ShapeError("expected finite answers from owners, independents and suspect, got NaN or infinity")


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
