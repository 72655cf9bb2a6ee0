"""Kinks of several owners, in rounds: what `tafa` and `lineage` ask. Ours; see `birthmark.methods.tafa`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from birthmark.crafting.tracing import find_kinks
from birthmark.types import Array, Floats
from birthmark.workshop.owner import Owner


@dataclass(frozen=True)
class Where:
    """Where kinks are looked for.

    Attributes:
        step: to either side, in standard deviations of the unit's input; 0 takes 1 for classifiers, .6 for values.
        starts: "data" (the pool), "wide" (uniform over `reach` times the pool's box) or "noise" (uniform in the box).
    """

    step: float
    starts: str
    reach: float


def rounds(owner: Owner, owners: Sequence[nn.Module], each: int, where: Where, *, seed: int) -> tuple[Array, Array]:
    """`each` kinks of every owner, in turns: (3 * each * m, *d), triples (x, x + hd, x - hd); and the same clipped to
    the pool's box.

    Args:
        owners: the source, then its twins.

    Raises:
        SettingError: a network without ReLU-like units.
    """
    low, high = box(owner.pool.inputs)
    picture = len(owner.task.shape) == 3
    points = [
        find_kinks(
            model,
            _starts(owner.pool.inputs, low, high, where, seed=[seed, i]),
            each,
            step=where.step or (0.6 if owner.values else 1.0),
            box=(low, high) if picture else None,
            seed=[seed, i, 1],
        )
        for i, model in enumerate(owners)
    ]
    queries = np.ascontiguousarray(np.stack(points, axis=1).reshape(-1, *owner.task.shape))
    return queries, np.clip(queries, low, high)


def answered(
    queries: Array, clipped: Array, owners: Sequence[nn.Module], answer: Callable[[nn.Module, Array], Floats]
) -> dict[str, Floats]:
    """The owners' answers (m, q, k) to the points, and to the clipped ones where any point lies outside the box."""
    tensors = {"owners": np.stack([answer(model, queries) for model in owners])}
    if not np.array_equal(clipped, queries):
        tensors["clipped"] = np.stack([answer(model, clipped) for model in owners])
    return tensors


def _starts(pool: Array, low: Array, high: Array, where: Where, *, seed: list[int]) -> Array:
    """Where the search for one owner's kinks begins: (s, *d)."""
    random = np.random.default_rng(seed)
    if where.starts == "data":
        chosen = pool[random.permutation(len(pool))[:600]]
        return np.asarray(0.5 + 0.8 * (chosen - 0.5) if pool.ndim == 4 else chosen, dtype=np.float32)
    middle, half = (low + high) / 2, (high - low) / 2 * (where.reach if where.starts == "wide" else 1.0)
    return (middle + half * random.uniform(-1, 1, (600, *pool.shape[1:]))).astype(np.float32)


def box(inputs: Array) -> tuple[Array, Array]:
    """Lowest and highest value of each input entry; of all entries together for images."""
    if inputs.ndim == 4:
        return np.full(inputs.shape[1:], inputs.min(), np.float32), np.full(inputs.shape[1:], inputs.max(), np.float32)
    return inputs.min(axis=0), inputs.max(axis=0)
