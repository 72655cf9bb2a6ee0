"""Is unit i of A unit i of B? The order-sensitive test: exact over the order of hidden units.

Reconstruction after Zhu et al., "Independence tests for language models" (ICML 2025, arXiv 2502.12292), of which only
the abstract was read; statistic and combination are ours.

Training treats hidden units alike, and independent initialisation gives them no particular order. So for a tensor of A
and an axis of it that counts hidden units, every order of that axis is as likely as the one at hand, whatever B is.
With units scaled to unit length,

    T = sum_i <a_i, b_i>,        T(order) = sum_i <a_order(i), b_i>,      p = (1 + #{T(order) >= T}) / (1 + #orders)

A file does not say which of a tensor's two axes counts hidden units: rows of an output layer are classes, those of an
embedding words; rows of attention's queries are heads times inner units, which rotary positions put in an order. In
each of them the *other* axis counts units that may change places (those of the residual stream, say). So both axes
that are long enough are tested, and the tensor's p is the larger of the two, which holds if either axis is free.

Tensors depend on each other in ways that nobody states (a residual stream has one joint order), so their p are merged
by Hommel's rule, which holds under any dependence: p = H_n min_k (n / k) p_(k), H_n = 1 + 1/2 + ... + 1/n. The test
shows a common *origin*: a copy, an ancestor, or the same initial weights. A thief who permutes the units defeats it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import spearmanr

from birthmark.compare.pairing import LEAST, Pair
from birthmark.compare.reading import Tensor

MOST = 256  # units of an axis that are put in other orders; of more, so many drawn by the seed
BLOCK = 1 << 22  # numbers gathered at a time
SORTED = 0.9  # rank correlation of the units' lengths with their place, in both files, from which they count as sorted
DIAGONAL = 8.0  # standard deviations of the diagonal's mean, in both files, from which they count as near the identity


@dataclass(frozen=True)
class Layer:
    """One tensor that both files hold.

    Attributes:
        name, other: in A, in B.
        units: of the shortest axis that was tested.
        cosine: mean cosine of A's units and B's, in their order, -1 to 1.
        z: the statistic, standardised over the orders; of the axis with the larger p.
        p: exact for this tensor alone, times the number of tensors it was chosen among.
    """

    name: str
    other: str
    units: int
    cosine: float
    z: float
    p: float


def layers(pairs: Sequence[Pair], *, orders: int, seed: int) -> list[Layer]:
    """Every pair's own test, in the order given; pairs whose units have an order of their own are left out.

    Args:
        orders: random orders an axis; the smallest p is 1 / (orders + 1).
    """
    return [one for pair in pairs if (one := _layer(pair, orders, seed)) is not None]


def combined(found: Sequence[Layer]) -> float:
    """Hommel's rule over tensors: holds whatever they share; 1 without any."""
    if not found:
        return 1.0
    n = len(found)
    ranks = np.arange(1, n + 1)
    return min(1.0, float((1 / ranks).sum() * (np.sort([layer.p for layer in found]) * n / ranks).min()))


def ordered(a: Tensor, b: Tensor) -> str:
    """Why the units of two tensors (units, units, places) have an order of their own; empty if nothing shows one."""
    if _diagonal(a) > DIAGONAL and _diagonal(b) > DIAGONAL:
        return "near the identity"
    for axis in (0, 1):
        if a.shape[axis] >= LEAST and min(abs(_sortedness(one, axis)) for one in (a, b)) > SORTED:
            return "units sorted by length"
    return ""


def units_of(tensor: Tensor, axis: int, chosen: Tensor | None = None) -> Tensor:
    """Units of an axis as rows of unit length, less their common mean; rows without length stay 0."""
    rows = np.moveaxis(tensor, axis, 0)
    rows = np.asarray(rows if chosen is None else rows[chosen], dtype=np.float32).reshape(
        len(rows if chosen is None else chosen), -1
    )
    rows = rows - rows.mean(axis=0)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _layer(pair: Pair, orders: int, seed: int) -> Layer | None:
    if ordered(pair.a, pair.b):
        return None
    tests = [_axis(pair, axis, orders, seed) for axis in (0, 1) if pair.a.shape[axis] >= LEAST]
    worst = max((test for test in tests if test is not None), key=lambda test: test[2], default=None)
    if worst is None:
        return None
    units, z, p, cosine = worst
    return Layer(pair.name, pair.other, units, cosine, z, min(1.0, p * pair.choices))


def _axis(pair: Pair, axis: int, orders: int, seed: int) -> tuple[int, float, float, float] | None:
    """Units, z, p and mean cosine of one axis; None if its units do not differ."""
    n = pair.a.shape[axis]
    chosen = None if n <= MOST else np.sort(np.random.default_rng(seed).permutation(n)[:MOST])
    alike = units_of(pair.a, axis, chosen) @ units_of(pair.b, axis, chosen).T
    if not alike.any():
        return None
    units = len(alike)
    seen, drawn = float(np.trace(alike)), np.empty(orders, dtype=np.float32)
    places, flat = np.arange(units), alike.ravel()
    step = max(1, BLOCK // units)
    for start in range(0, orders, step):
        order = _orders(units, start, min(step, orders - start), seed)
        drawn[start : start + len(order)] = flat[order * units + places].sum(axis=1)
    spread = float(drawn.std()) or float("inf")
    beaten = int((drawn >= seen - 1e-4).sum())
    return units, (seen - float(drawn.mean())) / spread, (1 + beaten) / (1 + orders), seen / units


@lru_cache(maxsize=8)
def _orders(units: int, start: int, n: int, seed: int) -> Tensor:
    """Random orders (n, units), the same for every axis of so many units."""
    random = np.random.default_rng([seed, units, start])
    return random.permuted(np.tile(np.arange(units, dtype=np.int32), (n, 1)), axis=1)


def _sortedness(tensor: Tensor, axis: int) -> float:
    lengths = np.linalg.norm(np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1).astype(np.float32), axis=1)
    return 0.0 if np.ptp(lengths) == 0 else float(spearmanr(lengths, np.arange(len(lengths))).statistic)


def _diagonal(tensor: Tensor) -> float:
    """By how many standard deviations the mean of a diagonal stands out."""
    square = np.asarray(tensor, np.float32).sum(axis=2)
    diagonal, spread = np.diagonal(square), float(square.std())
    return float(diagonal.mean() - square.mean()) * len(diagonal) ** 0.5 / spread if spread else 0.0
