"""Near-ties of a source, and on which side of a key a suspect falls there."""

from dataclasses import dataclass

import numpy as np

from birthmark.answers import as_labels
from birthmark.marks.field import CHUNK, Waves
from birthmark.types import Floats, Labels

SHRINKAGE = 30.0  # of the logistic regression on standardised leanings of unmarked models


@dataclass(frozen=True, eq=False)
class Ties:
    """Near-ties of the source: at which inputs, between which two classes.

    Attributes:
        rows: (s,) places among the inputs.
        first, second: (s,) the source's two top classes there.
    """

    rows: Labels
    first: Labels
    second: Labels

    @classmethod
    def of(cls, source: Floats, delta: float) -> "Ties":
        """Inputs whose two largest probabilities differ by less than `delta`."""
        order = np.argsort(-source, axis=1, kind="stable")[:, :2]
        top = np.take_along_axis(source, order, axis=1)
        rows = np.flatnonzero(top[:, 0] - top[:, 1] < delta)
        return cls(rows, order[rows, 0], order[rows, 1])

    def leaning(self, rows: Floats) -> Floats:
        """How far answers (..., s, k) lean to the second class.

        (p_2 - p_1) / (p_2 + p_1), so +1, -1 or 0 for labels.
        """
        first, second = (
            np.take_along_axis(rows, np.broadcast_to(which[:, None], (*rows.shape[:-1], 1)), axis=-1)[..., 0]
            for which in (self.first, self.second)
        )
        return np.asarray((second - first) / np.maximum(second + first, 1e-300))

    def sides(self, psi: Floats, waves: Waves, omega: float) -> Floats:
        """(m, s): +1 where a key prefers the second class, -1 where the first; psi (s, D) at the ties."""
        found = np.empty((len(waves), len(self.rows)))
        n = np.arange(len(self.rows))
        for start in range(0, len(waves), CHUNK):
            part = Waves(*(a[start : start + CHUNK] for a in (waves.directions, waves.phases, waves.codes)))
            h = part.at(psi, omega)
            found[start : start + CHUNK] = np.where(h[:, n, self.second] > h[:, n, self.first], 1.0, -1.0)
        return found


def divided(ties: Ties, references: Floats) -> Labels:
    """Near-ties in order of how evenly unmarked models (r, s, k) vote on them: where honest models differ, a mark is
    most easily seen.

    The order knows no key, so a key and its placebos stay exchangeable.
    """
    votes = [ties.leaning(as_labels(rows)) for rows in references]
    return np.argsort(np.abs(np.sum(votes, axis=0)), kind="stable") if votes else np.arange(len(ties.rows))


def surprise(seen: Floats, unmarked: Floats) -> Floats:
    """What a suspect's leanings (s,) hold beyond the ones that a logistic regression on unmarked models' (r, s)
    foretells, -1 to 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x = StandardScaler().fit_transform(unmarked.T)
    chance = 0.5 + 0.49 * seen  # a leaning is a label's probability: each near-tie is both labels, so weighted
    model = LogisticRegression(C=1 / SHRINKAGE, max_iter=1000)
    model.fit(np.concatenate([x, x]), np.repeat([1, 0], len(x)), sample_weight=np.concatenate([chance, 1 - chance]))
    return np.asarray(2 * (chance - model.predict_proba(x)[:, 1]))
