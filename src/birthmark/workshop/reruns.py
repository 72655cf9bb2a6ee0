"""Is the source a rerun of its twins' recipe? Two-sample tests that an enrolment must pass.

A twin's placebo is exact only if source and twins were made alike. Each of several numbers is measured on the source
and on every twin in the same way (distances to the others leave the model itself out), and the source's is held against
the twins' by Student's predictive t, two-sided, at `LEVEL` for all numbers together (Bonferroni). What it
refuses of honest and of wrongly stated sources is measured in `benchmarks/reruns` (docs/decisions/0018).
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special, stats

from birthmark.types import Floats, Samples

LEVEL = 0.001  # share of honest sources that may be refused, if the numbers were normal; measured: several times that
LEAST = 4  # twins that a spread can be measured on
FOUND = 0.9
NEAR = 0.01  # of the median distance between models: a pair that is nearer is one model, written twice


@dataclass(frozen=True)
class Comparison:
    """One number, of the source and of its twins.

    Attributes:
        p: two-sided, that a rerun lies so far from the twins.
        detectable: how many of the twins' standard deviations a source must lie off to be refused in 90 % of cases.
    """

    name: str
    source: float
    twins: tuple[float, ...]
    p: float
    level: float

    @property
    def detectable(self) -> float:
        return detectable(len(self.twins), self.level)

    def __str__(self) -> str:
        low, high = min(self.twins), max(self.twins)
        return f"{self.name} {self.source:.3g} against {low:.3g} to {high:.3g} (p = {self.p:.1g})"


def detectable(n: int, level: float) -> float:
    """Shift, in standard deviations, that the test at `level` among `n` twins finds in 90 % of cases."""
    edge = special.stdtrit(n - 1, 1 - level / 2)
    shifts = np.linspace(0, 60, 1201)
    power = stats.nct.sf(edge, n - 1, shifts / sqrt(1 + 1 / n))
    return float(shifts[int(np.searchsorted(power, FOUND))])


@dataclass(frozen=True)
class Shown:
    """What source and twins answer to samples: probabilities or values (m, n, k), the source first."""

    rows: Floats
    samples: Samples


def compare(held: Shown, trained: Shown | None, references: Floats, values: bool) -> list[Comparison]:
    """What tells the source from its twins.

    Args:
        held: on held-out samples, of which nobody need know the truth.
        trained: on samples that the source was trained on, if they are known.
        references: answers (r, n, k) of independent models on the held-out samples; may be empty.
        values: whether answers are values.
    """
    measured = numbers(held, trained, references, values)
    level = LEVEL / len(measured)
    return [
        Comparison(name, float(x[0]), tuple(map(float, x[1:])), two_sided(x[0], x[1:], least), level)
        for name, (x, least) in measured.items()
    ]


def two_sided(x: float, others: Floats, least: float) -> float:
    """Student's predictive p of x among others, whose spread is at least `least`, the step the number moves in."""
    spread = max(float(np.std(others, ddof=1)), least, 1e-12)
    t = abs(x - float(np.mean(others))) / (spread * sqrt(1 + 1 / len(others)))
    return float(2 * special.stdtr(len(others) - 1, -t))


def numbers(held: Shown, trained: Shown | None, references: Floats, values: bool) -> dict[str, tuple[Floats, float]]:
    """Numbers by name: one a model (m,), and the step that they move in."""
    rows, samples, step = held.rows, held.samples, 1 / len(held.samples)
    found = {}
    if trained is not None and trained.samples.labelled:
        found["loss on its training data"] = (_losses(trained.rows, trained.samples), 0.0)
    if samples.labelled:
        found["loss on held-out data"] = (_losses(rows, samples), 0.0)
    found["distance to the others"] = (_apart(rows), 0.0)
    if not values:
        tops, best = rows.argmax(axis=2), np.partition(rows, -2, axis=2)[:, :, -2:]
        if samples.labelled:
            found["accuracy"] = ((tops == samples.targets).mean(axis=1), step)
        found["margin"] = ((best[:, :, 1] - best[:, :, 0]).mean(axis=1), 0.0)
        found["agreement with the others"] = (_agreement(tops), step)
    if len(references):
        away = [np.mean([np.abs(mine - theirs).mean() for theirs in references]) for mine in rows]
        found["distance to references"] = (np.array(away), 0.0)
    return found


def same_models(rows: Floats) -> tuple[int, int] | None:
    """Two of the models whose answers (m, n, k) are the same, or so near that one is a copy of the other."""
    apart = distances(rows)
    between = apart[np.triu_indices(len(rows), 1)]
    if not len(between) or between.min() > NEAR * np.median(between):
        return None
    np.fill_diagonal(apart, np.inf)
    first, second = sorted(map(int, np.unravel_index(int(apart.argmin()), apart.shape)))
    return first, second


def _losses(answers: Floats, samples: Samples) -> Floats:
    if samples.classes:
        right = answers[:, np.arange(len(samples)), samples.targets.astype(int)]
        return np.asarray(-np.log(np.maximum(right, 1e-9)).mean(axis=1))
    truth = samples.targets.reshape(len(samples), -1).astype(float)
    return np.asarray(np.log(((answers - truth) ** 2).mean(axis=(1, 2)) + 1e-12))


def _apart(answers: Floats) -> Floats:
    """Mean absolute distance of each model's answers to every other's."""
    return np.asarray(distances(answers).sum(axis=1) / (len(answers) - 1))


def distances(answers: Floats) -> Floats:
    """Mean absolute distance (m, m) between the answers (m, n, k) of each two models."""
    found = np.zeros((len(answers), len(answers)))
    for i, j in zip(*np.triu_indices(len(answers), 1), strict=True):
        found[i, j] = found[j, i] = np.abs(answers[i] - answers[j]).mean()
    return found


def _agreement(tops: Floats) -> Floats:
    m = len(tops)
    same = np.array([[(a == b).mean() for b in tops] for a in tops])
    return np.asarray((same.sum(axis=1) - 1) / (m - 1))
