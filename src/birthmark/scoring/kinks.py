"""Which owner's kinks does a suspect bend at? What `tafa` and `lineage` score answers to triples (x, x + hd, x - hd)
by.

Ours; see `birthmark.methods.tafa`. Triples come in rounds, one of every owner a round, source first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from birthmark.answers import is_labels, rounding_step
from birthmark.errors import ShapeError
from birthmark.scoring.matching import Asked
from birthmark.scoring.mixture import owner_mixture, scaled_products
from birthmark.settings import Allowed
from birthmark.types import Floats, Labels

KINKS: Allowed = {  # settings that tafa and lineage have in common
    "step": "[0, inf)",
    "starts": ("data", "wide", "noise"),
    "reach": "[0, inf)",
    "temper": "[0, 1]",
    "ridge": "[0, inf)",
}
COARSE = 5e-3  # probabilities rounded to steps above this are compared as they are: their logarithm is mostly rounding


@dataclass(frozen=True)
class Rounds:
    """Owners' answers to whole rounds of kinks; what they bend is found once for all that are asked.

    Attributes:
        owners: answers (m, q, k), and `clipped`: to the points clipped to the data's box, or None.
        values: whether answers are real values; else probabilities, perhaps rounded or the top k only.
        temper: bends of several outputs are divided by their norm to this power, 0 to 1.
        ridge: of the regression, in mean eigenvalues.
    """

    owners: Floats
    clipped: Floats | None
    values: bool
    temper: float
    ridge: float

    def weights(self, asked: Sequence[Asked]) -> list[Floats]:
        """Each owner's share (m,) in answers (q, k); where a twin is left out, by the triples of the others."""
        known: dict[tuple[int, float], Floats] = {}
        alike: dict[tuple[bool, float, int | None], list[int]] = {}
        found: dict[int, Floats] = {}

        def bends(rows: Floats, floor: float) -> Floats:
            if (id(rows), floor) not in known:
                shown = logs(rows, floor) if floor else rows
                known[id(rows), floor] = second_differences(shown, self.temper)
            return known[id(rows), floor]

        for i, (answers, twin) in enumerate(asked):
            kept, owners = self._others(twin)
            shown, clipped = answers[kept], self._clipped(answers[kept], kept, owners)
            if not self.values and _cut(shown):
                points = self._points(clipped)[np.ix_(owners, kept)]
                found[i] = bend_weights(points, shown, self.values, temper=self.temper, ridge=self.ridge)
            else:
                alike.setdefault((clipped, _floor(shown, self.values), twin), []).append(i)
        for (clipped, floor, twin), numbers in alike.items():
            kept, owners = self._others(twin)
            triples = kept[::3] // 3
            mine = bends(self._points(clipped), floor)[np.ix_(owners, triples)]
            sums = scaled_products(mine, [], [bends(asked[i][0], floor)[triples] for i in numbers])
            found |= {i: sums.weights(len(mine) + c, self.ridge) for c, i in enumerate(numbers)}
        return [found[i] for i in range(len(asked))]

    def _others(self, twin: int | None) -> tuple[Labels, Labels]:
        """The places of triples that are not the twin's, and the other owners."""
        m, q = self.owners.shape[:2]
        kept = np.arange(q) if twin is None else others_rows(q, m, twin)
        return kept, np.flatnonzero(np.arange(m) != (-1 if twin is None else twin))

    def _points(self, clipped: bool) -> Floats:
        return self.clipped if clipped and self.clipped is not None else self.owners

    def _clipped(self, answers: Floats, kept: Labels, owners: Labels) -> bool:
        """Whether the suspect met the points clipped to the box: whether its answers are nearer to those."""
        if self.clipped is None:
            return False
        points = (rows[np.ix_(owners, kept)].mean(axis=0) for rows in (self.owners, self.clipped))
        far, near = (np.abs(answers - mean).mean() for mean in points)
        return bool(near < far)


def bend_weights(owners: Floats, answers: Floats, values: bool, *, temper: float, ridge: float) -> Floats:
    """Each owner's share (m,) in answers (q, k) to whole triples; owners (m, q, k).

    Raises:
        ShapeError: labels, whose second differences say nothing.
    """
    floor = _floor(answers, values)
    if not values and _cut(answers):  # the top k only: what the suspect hides is hidden in the owners, too
        owners = np.where(answers == 0, 0, owners)
    elif floor:
        owners, answers = logs(owners, floor), logs(answers, floor)
    bends = second_differences(np.concatenate([owners, answers[None]]), temper)
    return owner_mixture(bends[:-1], bends[-1], ridge=ridge)


def _cut(answers: Floats) -> bool:
    return bool((answers == 0).any(axis=1).all())


def _floor(answers: Floats, values: bool) -> float:
    """Of probabilities in the logarithm; 0 for answers that are compared as they are."""
    if not values and is_labels(answers):
        raise ShapeError("tafa: expected probabilities, got labels, whose second differences say nothing; use kinship")
    step = 1.0 if values else rounding_step(answers)
    return 0.0 if step >= COARSE else max(step, 1e-6)


def others_rows(q: int, owners: int, place: int) -> Labels:
    """Places, among the first q rows, of the triples of whole rounds that are not owner `place`'s."""
    triples = np.arange(q // (3 * owners) * owners)
    return np.asarray((3 * triples[triples % owners != place][:, None] + np.arange(3)).ravel())


def logs(p: Floats, eps: float) -> Floats:
    """log(p + eps) less its mean over classes."""
    rows = np.log(np.maximum(p, 0) + eps)
    return np.asarray(rows - rows.mean(axis=-1, keepdims=True))


def second_differences(rows: Floats, temper: float) -> Floats:
    """(..., q, k) answers to triples (x, x + hd, x - hd) -> (..., q/3, k).

    Their bend, divided by its norm to the power `temper` if k > 1.
    """
    triples = rows.reshape(*rows.shape[:-2], -1, 3, rows.shape[-1])
    bends = triples[..., 1, :] + triples[..., 2, :] - 2 * triples[..., 0, :]
    norms = np.linalg.norm(bends, axis=-1, keepdims=True)
    return np.asarray(bends if rows.shape[-1] == 1 else bends / np.where(norms > 0, norms, 1) ** temper)
