"""Is unit i of A unit i of B? The order-sensitive test: exact over the order of hidden units.

Reconstruction after Zhu et al., "Independence tests for language models" (ICML 2025, arXiv 2502.12292), of which only
the abstract was read; statistic and combination are ours.

Training treats hidden units alike, and independent initialisation gives them no particular order. So for a tensor of A
whose rows are units (incoming weights of a unit: a row of a dense layer, a filter of a convolution, a row of an
embedding), every order of its rows is as likely as the one at hand, whatever B is. With rows scaled to unit length,

    T = sum_i <a_i, b_i>,        T(order) = sum_i <a_order(i), b_i>,      p = (1 + #{T(order) >= T}) / (1 + #orders)

Each tensor's p is exact; what tensors share (a residual stream has one order for many) makes them dependent, so they
are combined by Bonferroni's rule, which holds under any dependence. Outputs' order is the task's own, so the rows of
the last tensor are no units. The test shows a common *origin*: a copy, an ancestor, or the same initial weights. A
thief who permutes the units defeats it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from birthmark.compare.reading import Tensor, Weights

LEAST = 8  # units; fewer have too few orders to say anything
BLOCK = 2_000_000  # numbers gathered at a time


@dataclass(frozen=True)
class Layer:
    """One tensor that both files hold.

    Attributes:
        name: in A.
        units: rows that were compared.
        z: the statistic, standardised over the orders.
        p: exact for this tensor alone.
    """

    name: str
    units: int
    z: float
    p: float


def shared(a: Weights, b: Weights) -> list[str]:
    """Tensors of both files, of one shape, whose rows are hidden units.

    All but the last of those with two axes or more.
    """
    common = [n for n in a if n in b and a[n].shape == b[n].shape and a[n].ndim >= 2 and a[n].shape[0] >= LEAST]
    last = next((n for n in reversed(list(a)) if a[n].ndim >= 2), "")
    return [name for name in common if name != last and a[name].dtype.kind in "fiu"]


def layers(a: Weights, b: Weights, *, orders: int, seed: int) -> list[Layer]:
    """Every shared tensor's own test, in the order of the file.

    Args:
        orders: random orders a tensor; the smallest p is 1 / (orders + 1).
    """
    random = np.random.default_rng(seed)
    return [one for name in shared(a, b) if (one := _layer(name, a[name], b[name], orders, random)) is not None]


def combined(found: Iterable[Layer]) -> float:
    """Bonferroni over tensors: holds whatever they share."""
    ps = [layer.p for layer in found]
    return min(1.0, len(ps) * min(ps)) if ps else 1.0


def directions(tensor: Tensor) -> Tensor:
    """Rows (units, n) of unit length, less their common mean; rows without length stay 0."""
    rows = np.asarray(tensor, dtype=np.float32).reshape(len(tensor), -1)
    rows = rows - rows.mean(axis=0)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _layer(name: str, a: Tensor, b: Tensor, orders: int, random: np.random.Generator) -> Layer | None:
    alike = directions(a) @ directions(b).T
    if not alike.any():
        return None
    units = len(alike)
    seen, drawn = float(np.trace(alike)), np.empty(orders)
    step = max(1, BLOCK // units)
    for start in range(0, orders, step):
        n = min(step, orders - start)
        order = random.permuted(np.tile(np.arange(units), (n, 1)), axis=1)
        drawn[start : start + n] = alike[order, np.arange(units)].sum(axis=1)
    spread = float(drawn.std()) or float("inf")
    beaten = int((drawn >= seen - 1e-6).sum())
    return Layer(name, units, (seen - float(drawn.mean())) / spread, (1 + beaten) / (1 + orders))
