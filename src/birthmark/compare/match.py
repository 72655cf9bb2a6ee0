"""Which unit of A is which unit of B, if a thief made them change places? The matched test: two views that must agree.

Ours. A thief who permutes and re-scales hidden units leaves the function and defeats the order-sensitive test. But
some axes cannot change places (pixels, words, classes), and from them the units' places spread through the network
like a puzzle: a tensor whose one axis is in place says how its other axis lies (an assignment on cosines), and any
tensor with an axis of that length can go on from there. The tensor that fits best is laid first; an order that comes
up again (a residual stream's) is kept once. No plan of the network is needed.

Then every tensor is asked, of the axis that it was laid by, what its *own* weights say: the Gram matrix of the units'
weights in it knows nothing of the other axis' order. Both views use disjoint weights. With c1 and c2 the cosines of a
unit and its partner in either view,

    S = mean over units of [both views name the same partner] max(c1, 0) max(c2, 0)

In a copy the views agree on nearly every unit, and the cosines are large; independent networks agree on some, and
there the cosines are small. Lengths are taken away before: rows and columns are scaled by turns until all have one.

The null is *not* exact: units that look alike from below are used alike above, in independent networks, too. So S is
held against disjoint pairs of independent networks (`measured_p`), which is said. Units that kept their places are left
to the order-sensitive test, whose null is exact.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from birthmark import stats
from birthmark.compare.pairing import LEAST, Pair
from birthmark.compare.reading import Tensor

SAMPLE = 32  # units that a fit is judged by, and
FEATURES = 256  # of the units in place
LAID = 8192  # units up to which an axis is laid; longer ones are vocabularies
WIDEST = 1024  # units up to which the assignment is the best of all
LOOKED = 512  # of more units, so many are asked for a second view
SAME = 0.5  # share of equal places from which two orders are one
ROUNDS = 4  # of scaling rows and columns by turns


@dataclass(frozen=True)
class Match:
    """How the units of B lie in A's order.

    Attributes:
        score: S, 0 to 1; 0 if no units changed places.
        p: S among the measured pairs of independent networks; 1 if no units changed places.
        units, agreed: that changed places; on whose place both views agree.
        cosine: mean cosine of matched units over all tensors, -1 to 1.
        tensors: whose units changed places, in A.
    """

    score: float
    p: float
    units: int
    agreed: int
    cosine: float
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class _Order:
    """B's unit for each of A's, their cosines, and whether they are channels of an image, which may be flattened."""

    places: Tensor
    cosines: Tensor
    spatial: bool = True

    @property
    def moved(self) -> bool:
        places = self.places
        return len(places) >= LEAST and float(np.mean(places == np.arange(len(places)))) < SAME

    def spread(self, length: int, chosen: Tensor | slice = slice(None)) -> Tensor:
        """The order, of channels, as one of the inputs that they were flattened to."""
        places = length // len(self.places)
        return (self.places[chosen, None] * places + np.arange(places)).ravel()


@dataclass(frozen=True)
class _Side:
    """A tensor (units in place, places, units to be laid) of both files, seen from one of its axes.

    Units to be laid have unit length.
    """

    name: str
    a: Tensor
    b: Tensor

    def alike(self, order: _Order) -> Tensor:
        """Cosines of A's units and B's, B's other axis being in `order`."""
        units = self.a.shape[2]
        return np.asarray(self.a.reshape(-1, units).T @ self.b[order.spread(len(self.a))].reshape(-1, units))

    def fit(self, order: _Order) -> float:
        """How much better A's units fit their best of B's than their second best, in cosines; of a sample."""
        n, units = len(order.places), self.a.shape[2]
        rows = np.arange(0, n, max(1, n // FEATURES))
        ours = self.a.reshape(n, -1, units)[rows][:, :, :: max(1, units // SAMPLE)]
        theirs = self.b[order.spread(len(self.a), rows)]
        alike = ours.reshape(-1, ours.shape[2]).T @ theirs.reshape(-1, units)
        second, best = np.partition(alike, -2, axis=1)[:, -2:].T
        return float((best - second).mean())


@dataclass(frozen=True)
class _View:
    """Units that changed places, as the tensor that was laid by them sees them."""

    name: str
    agreed: Tensor
    weight: Tensor


def match(pairs: Sequence[Pair]) -> Match | None:
    """Lay B's units in A's order, tensor by tensor; None if no tensor has hidden units."""
    puzzle = _Puzzle(pairs)
    views = list(puzzle.laid())
    if not puzzle.cosines:
        return None
    units = sum(len(view.agreed) for view in views)
    score = sum(float(view.weight[view.agreed].sum()) for view in views) / max(units, 1)
    return Match(
        score,
        measured_p(score) if units else 1.0,
        units,
        sum(int(view.agreed.sum()) for view in views),
        float(np.concatenate(puzzle.cosines).mean()),
        tuple(view.name for view in views),
    )


def measured_p(score: float) -> float:
    """The larger of two: S's rank among strangers of all families, and its tail among those of narrow ones.

    Narrow networks' units are alike most, since few of them serve each class. The tail is Student's, which assumes that
    these scores are normal.
    """
    return max(stats.rank_p(score, measured()), stats.student_p(score, measured("narrow")))


@cache
def measured(which: str = "scores") -> tuple[float, ...]:
    """S of disjoint pairs of independent networks of equal architecture (`benchmarks/compare`)."""
    return tuple(json.loads((Path(__file__).parent / "independent.json").read_text(encoding="utf-8"))[which])


class _Puzzle:
    """Tensors that wait to be laid, orders found so far, and the best fit of each tensor with one of them."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.sides = {i: _sides(pair) for i, pair in enumerate(pairs)}
        self.best: dict[int, tuple[float, _Side, _Order]] = {}
        self.orders: list[_Order] = []
        self.cosines: list[Tensor] = []

    def laid(self) -> Iterator[_View]:
        """Lay every tensor, and look again at the units that changed places."""
        for i, sides in self.sides.items():
            for side in sides:
                self._try(i, side, _Order(np.arange(len(side.a)), np.ones(len(side.a))))
        while self.best:
            i = max(self.best, key=lambda key: self.best[key][0])
            _, side, order = self.best.pop(i)
            del self.sides[i]
            if order.moved:
                yield _second_view(side, order)
            if side.a.shape[2] <= LAID:
                self._go_on_from(side, order)

    def _go_on_from(self, side: _Side, order: _Order) -> None:
        """Lay a tensor's other axis, and try the new order wherever it fits."""
        alike = side.alike(order)
        places = assigned(alike)
        order = _Order(places, alike[np.arange(len(places)), places], side.a.shape[1] > 1)
        self.cosines.append(order.cosines)
        n = len(order.places)
        known = (old.places for old in self.orders if len(old.places) == n)
        if n < LEAST or any(np.mean(old == order.places) > SAME for old in known):
            return
        self.orders.append(order)
        for i, sides in self.sides.items():
            for side in sides:
                if len(side.a) == n or (order.spatial and len(side.a) % n == 0):
                    self._try(i, side, order)

    def _try(self, i: int, side: _Side, order: _Order) -> None:
        fit = side.fit(order)
        if i not in self.best or fit > self.best[i][0]:
            self.best[i] = (fit, side, order)


def _sides(pair: Pair) -> tuple[_Side, ...]:
    a, b = balanced(pair.a), balanced(pair.b)
    sides = (_side(pair.name, a, b, axis) for axis in (1, 0))
    return tuple(side for side in sides if side.a.shape[2] >= LEAST)


def _side(name: str, a: Tensor, b: Tensor, axis: int) -> _Side:
    """A pair's tensors (units, units, places) seen from an axis."""
    a, b = (np.ascontiguousarray(one.transpose(axis, 2, 1 - axis)) for one in (a, b))
    return _Side(name, *(one / np.maximum(np.linalg.norm(one, axis=(0, 1)), 1e-12) for one in (a, b)))


def _second_view(side: _Side, order: _Order) -> _View:
    """What the tensor's own weights say of the places in `order`; of very many units, some are asked."""
    n = len(order.places)
    asked = np.arange(0, n, max(1, n // LOOKED)) if n > WIDEST else np.arange(n)
    ours, theirs = _gram(side.a, n), _gram(side.b, n)
    alike = _unit(ours[asked]) @ _unit(theirs[:, order.places]).T
    places = assigned(alike) if len(asked) == n else alike.argmax(axis=1)
    seen = alike[np.arange(len(asked)), places]
    weight = np.maximum(seen, 0) * np.maximum(order.cosines[asked], 0)
    return _View(side.name, places == order.places[asked], weight)


def _gram(tensor: Tensor, units: int) -> Tensor:
    """How alike units are in what they are used for (units, units), with nothing on the diagonal."""
    rows = _unit(tensor.reshape(units, -1))
    gram = rows @ rows.T
    np.fill_diagonal(gram, 0)
    return np.asarray(gram)


def _unit(rows: Tensor) -> Tensor:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def assigned(alike: Tensor) -> Tensor:
    """B's unit for each of A's: the best assignment, or of very many units those that are each other's nearest."""
    n = len(alike)
    if n <= WIDEST:
        return np.asarray(linear_sum_assignment(-alike)[1])
    near, back = alike.argmax(axis=1), alike.argmax(axis=0)
    sure = back[near] == np.arange(n)
    found = np.empty(n, dtype=np.int64)
    found[sure] = near[sure]
    found[~sure] = np.setdiff1d(np.arange(n), near[sure])
    return found


def balanced(tensor: Tensor) -> Tensor:
    """A tensor (units, units, places) whose rows and columns have one length each, whatever scales units had."""
    found = np.asarray(tensor, dtype=np.float32)
    for _ in range(ROUNDS):
        for axis in (1, 0):
            length = np.sqrt((found**2).sum(axis=(axis, 2), keepdims=True) / found.shape[axis])
            found = found / np.maximum(length, 1e-12)
    return found
