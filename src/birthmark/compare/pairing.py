"""Which tensor of A is held against which of B: by name first, then by shape, where layers were dropped or renamed."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from birthmark.compare.reading import Tensor, Weights

LEAST = 8  # units of an axis; fewer have too few orders to say anything
TALLEST = 1 << 22  # numbers of a tensor that its best partner is looked for with; larger ones are thinned
RECURRENT = re.compile(r"(^|[._/])(rnn|lstm|gru|cell)|weight_[ih]h|recurrent", re.IGNORECASE)
TABLES = re.compile(
    r"buffer|basis|window|filter_?bank|mel_|inv_freq|sinusoid|position_ids|_index$|anchor", re.IGNORECASE
)


@dataclass(frozen=True)
class Pair:
    """One tensor of A beside one of B of the same shape, (units out, units in, rest).

    Attributes:
        name, other: in A, in B.
        choices: tensors of A that this one was chosen among, by likeness.
    """

    name: str
    other: str
    a: Tensor
    b: Tensor
    choices: int = 1


def faced(tensor: Tensor) -> Tensor:
    """A tensor as (units out, units in, places); leading axes of one are dropped."""
    while tensor.ndim > 2 and tensor.shape[0] == 1:
        tensor = tensor[0]
    return tensor.reshape(*tensor.shape[:2], -1)


def _usable(weights: Weights) -> dict[str, Tensor]:
    """Tensors with hidden units: two axes or more, one of them long enough.

    Not among them: recurrent cells, whose rows are units times gates, which have an order; tables that nobody trains
    and everybody has (Fourier bases, positions); second copies of a tied tensor.
    """
    found, seen = dict[str, Tensor](), set[tuple[object, ...]]()
    for name, value in weights.items():
        if _holds_units(name, value):
            three = faced(value)
            mark = (three.shape, three.dtype.str, bytes(np.ascontiguousarray(three[:8, :64])), float(three[-1].sum()))
            if mark not in seen:
                seen.add(mark)
                found[name] = three
    return found


def _holds_units(name: str, value: Tensor) -> bool:
    if value.ndim < 2 or not value.size or value.dtype.kind not in "fiu":
        return False
    return max(faced(value).shape[:2]) >= LEAST and not RECURRENT.search(name) and not TABLES.search(name)


def paired(a: Weights, b: Weights) -> list[Pair]:
    """Tensors of one shape whose names agree, or one of which ends as the other is called (`model.` before all)."""
    ours, theirs = _usable(a), _usable(b)
    ends = _ends(theirs)
    found = []
    for name, value in ours.items():
        other = name if name in theirs else _one(ends.get(name, [])) or _one([n for n in _tails(name) if n in theirs])
        if other and theirs[other].shape == value.shape:
            found.append(Pair(name, other, value, theirs[other]))
    return found


def _tails(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(1, len(parts) - 1)]


def _ends(names: Mapping[str, Tensor]) -> Mapping[str, Sequence[str]]:
    found = defaultdict[str, list[str]](list)
    for name in names:
        for tail in _tails(name):
            found[tail].append(name)
    return found


def _one(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ""


def realigned(a: Weights, b: Weights) -> list[Pair]:
    """For each tensor of B the tensor of A that it is most like, unit by unit: layers dropped, added or renumbered.

    Candidates have the same shape (or the transpose's, as exports turn matrices) and the same name but for numbers;
    where there is none, the same shape alone. Their number is kept, since a choice among them costs evidence.
    """
    ours, theirs = _usable(a), _usable(b)
    shapes = defaultdict[tuple[int, ...], list[Pair]](list)
    for name, value in ours.items():
        shapes[value.shape].append(Pair(name, "", value, value))
        if value.shape[2] == 1 and value.shape[0] != value.shape[1]:
            turned = value.swapaxes(0, 1)
            shapes[turned.shape].append(Pair(name, "", turned, turned))
    found = []
    for other, value in theirs.items():
        same = shapes.get(value.shape, [])
        near = [one for one in same if _pattern(one.name) == _pattern(other)] or same
        if near:
            best = max(near, key=lambda one: _likeness(one.a, value))
            found.append(replace(best, other=other, b=value, choices=len(near)))
    return found


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _likeness(a: Tensor, b: Tensor) -> float:
    """Cosine of two tensors, entry by entry."""
    step = 1 + a.size // TALLEST
    x, y = (np.asarray(one.reshape(-1)[::step], np.float32) for one in (a, b))
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-12))
