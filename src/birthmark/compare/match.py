"""Which unit of A is which unit of B? The matched test: two views of the same units must agree.

Ours. A thief who permutes and re-scales hidden units leaves the function and defeats the order-sensitive test. But in a
chain of layers each unit can be recognised twice: from below, by its incoming weights, the layers under it matched
already; and from above, by its outgoing weights, the layers over it matched already. Inputs and outputs keep the task's
order, so both chains have an anchor. The two matches (assignments on cosines) use disjoint weights. In a copy they
agree on nearly every unit; in independent networks hardly any two agree.

The share of units on which they agree is the statistic. Its null is *not* exact: units that look alike from below are
used alike above, in independent networks, too. Two ways to a p: rank it among twins, or hold it against the agreement
that disjoint pairs of independent networks were measured to have (`benchmarks/compare`), which is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from birthmark.compare.order import directions
from birthmark.compare.reading import Tensor, Weights


@dataclass(frozen=True)
class Match:
    """How two chains of layers match.

    Attributes:
        names: of the layers, in A.
        units: hidden units of each.
        agreed: units of each on which both views agree.
    """

    names: tuple[str, ...]
    units: tuple[int, ...]
    agreed: tuple[int, ...]

    @property
    def share(self) -> float:
        """Units on which the views agree, of all, 0 to 1."""
        return sum(self.agreed) / sum(self.units)


def chain(weights: Weights) -> list[tuple[str, Tensor]]:
    """The tensors that form one chain of layers, in order; empty if the file's tensors are no chain.

    A tensor follows another if its inputs are the other's units, each as often as places were flattened.
    """
    found = [(name, value) for name, value in weights.items() if value.ndim >= 2 and value.dtype.kind in "fiu"]
    linked = all(b.shape[1] % a.shape[0] == 0 for (_, a), (_, b) in pairwise(found))
    return found if linked and len(found) > 1 else []


def match(a: Weights, b: Weights) -> Match | None:
    """Match hidden units from below and from above; None unless both are chains of the same shapes."""
    ours, theirs = chain(a), chain(b)
    if not ours or [value.shape for _, value in ours] != [value.shape for _, value in theirs]:
        return None
    pairs = [
        (np.asarray(x, np.float32), np.asarray(y, np.float32)) for (_, x), (_, y) in zip(ours, theirs, strict=True)
    ]
    below, above = _from_below(pairs), _from_above(pairs)
    agreed = tuple(int((low == high).sum()) for low, high in zip(below, above, strict=True))
    return Match(tuple(name for name, _ in ours[:-1]), tuple(len(low) for low in below), agreed)


def aligned(a: Weights, b: Weights) -> Weights:
    """B with its hidden units in A's order, as both chains match from below; B itself where they do not."""
    ours, theirs = chain(a), chain(b)
    if not ours or [value.shape for _, value in ours] != [value.shape for _, value in theirs]:
        return b
    order = _from_below([(np.asarray(x), np.asarray(y)) for (_, x), (_, y) in zip(ours, theirs, strict=True)])
    found, under = dict(b), None
    for (name, value), units in zip(theirs, [*order, None], strict=True):
        moved = (
            np.asarray(value)
            if under is None
            else by_input(np.asarray(value), len(under))[:, under].reshape(value.shape)
        )
        found[name], under = (moved if units is None else moved[units]), units
    return found


def _from_below(pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """For each hidden layer, B's unit for each of A's, by incoming weights."""
    found: list[Tensor] = []
    for a, b in pairs[:-1]:
        if found:
            a, b = by_input(a, len(found[-1])), by_input(b, len(found[-1]))[:, found[-1]]
        found.append(assigned(a, b))
    return found


def _from_above(pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """For each hidden layer, B's unit for each of A's, by outgoing weights."""
    found: list[Tensor] = []
    for (a, b), (under, _) in zip(reversed(pairs[1:]), reversed(pairs[:-1]), strict=True):
        b = b[found[-1]] if found else b
        a, b = (by_input(one, len(under)).swapaxes(0, 1) for one in (a, b))
        found.append(assigned(a, b))
    return found[::-1]


def by_input(tensor: Tensor, units: int) -> Tensor:
    """A tensor (out, in * places, ...) as (out, in, rest): what every unit below is used for."""
    return tensor.reshape(len(tensor), units, -1)


def assigned(a: Tensor, b: Tensor) -> Tensor:
    """B's row for each of A's, so that the sum of cosines is largest."""
    return np.asarray(linear_sum_assignment(-directions(a) @ directions(b).T)[1])
