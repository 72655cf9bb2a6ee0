"""DynaMarks' rule on rows of answers: near-ties by the key first, then the soft mark.

The equations stand in `birthmark.watermarks.dynamarks`. Short answers are marked number by number, which takes a third
of the time of thirty NumPy calls.
"""

import math

import numpy as np

from birthmark.types import Floats

BETA = 5.0  # how far moved mass follows the field
RHO = 0.9  # share of the way to a changed top answer that it may go
FEW = 64  # probabilities up to which plain Python marks faster than NumPy


def mark_rows(rows: Floats, h: Floats, delta: float, epsilon: float, beta: float, rho: float, hidden: bool) -> Floats:
    """The rule on rows (n, k) under the field h (n, k): near-ties by the key, then the soft mark."""
    if rows.size > FEW:
        return softly(swapped(rows, h, delta), h, epsilon, beta, rho, hidden)
    pairs = zip(rows.tolist(), h.tolist(), strict=True)
    return np.array([mark_row(row, lift, delta, epsilon, beta, rho, hidden) for row, lift in pairs])


def mark_row(
    row: list[float], h: list[float], delta: float, epsilon: float, beta: float, rho: float, hidden: bool
) -> list[float]:
    """`mark_rows` for one row (k,), in plain Python."""
    best = max(row)
    if delta:
        _swap(row, h, delta)
    top = row.index(best)
    lifts = [-math.inf if p == 0 else lift for p, lift in zip(row, h, strict=True)] if hidden else h.copy()
    lifts[top] = -math.inf
    highest = max(lifts)
    if highest == -math.inf:  # nothing is shown below the top
        return row
    if lifts.count(-math.inf) == len(lifts) - 1:  # where the mass goes is given, how much of it says the key
        epsilon *= 1 / (1 + math.exp(min(-beta * highest, 700.0)))
    u = [math.exp(beta * (lift - highest)) for lift in lifts]
    scale = sum(row) / sum(u)
    steepest = max([v / (best - p or 1e-300) for p, v in zip(row, u, strict=True)])
    e = min(epsilon, rho / (1 + scale * steepest))
    return [p + e * (scale * v - p) for p, v in zip(row, u, strict=True)]


def _swap(row: list[float], h: list[float], delta: float) -> None:
    """`swapped` for one row, in place."""
    best = max(row)
    top = row.index(best)
    below = row.copy()
    below[top] = -math.inf
    second = max(below)
    place = below.index(second)
    if best - second < delta and h[place] > h[top]:
        row[top], row[place] = second, best


def softly(rows: Floats, h: Floats, epsilon: float, beta: float, rho: float, hidden: bool) -> Floats:
    """Move up to `epsilon` of each row's mass to classes below the top one, by the field; the top class stays on top.

    Args:
        hidden: zeros are classes the API does not show, and stay zeros.
    """
    n, top = np.arange(len(rows)), rows.argmax(axis=1)
    u = beta * h
    if hidden:
        u[rows == 0] = -np.inf
    u[n, top] = -np.inf
    limit = np.full(len(rows), epsilon)
    if hidden or rows.shape[1] == 2:
        free = np.isfinite(u).sum(axis=1)
        one = free == 1  # where the mass goes is given there, how much of it says the key
        limit[free == 0] = 0.0
        limit[one] *= 1 / (1 + np.exp(-u[one].max(axis=1)))
        u[free == 0] = 0.0
    u = np.exp(u - u.max(axis=1, keepdims=True))
    u *= rows.sum(axis=1, keepdims=True) / u.sum(axis=1, keepdims=True)
    gap = rows[n, top][:, None] - rows
    # min (p_t - p_c) / (p_t - p_c + u_c) = 1 / (1 + max u_c / (p_t - p_c)); u is 0 where nothing may go
    e = np.minimum(limit, rho / (1 + (u / np.maximum(gap, 1e-300)).max(axis=1)))[:, None]
    return np.asarray(rows + e * (u - rows))


def swapped(rows: Floats, h: Floats, delta: float) -> Floats:
    """Near-ties decided by the key: the two largest of a row change places if the field prefers the second."""
    if not delta:
        return rows
    n, top = np.arange(len(rows)), rows.argmax(axis=1)
    below = rows.copy()
    below[n, top] = -np.inf
    second = below.argmax(axis=1)
    change = np.flatnonzero((rows[n, top] - rows[n, second] < delta) & (h[n, second] > h[n, top]))
    if not len(change):
        return rows
    first, second = top[change], second[change]
    changed = rows.copy()
    changed[change, first], changed[change, second] = rows[change, second], rows[change, first]
    return changed


def near_ties(rows: Floats, delta: float) -> list[int]:
    """Which rows (n, k) have their two largest numbers less than `delta` apart."""
    if rows.shape[1] < 2:
        return []
    if rows.size <= FEW:
        best = [sorted(row)[-2:] for row in rows.tolist()]
        return [i for i, (second, top) in enumerate(best) if top - second < delta]
    top = np.partition(rows, -2, axis=1)[:, -2:]
    return [int(i) for i in np.flatnonzero(top[:, 1] - top[:, 0] < delta)]
