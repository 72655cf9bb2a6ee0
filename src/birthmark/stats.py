"""Pure functions of numbers: ranks, p-values, intervals, curves. Scores are oriented so that higher is closer.

NaN counts as not higher, everywhere: a score that is NaN lies below all, one of the null above all.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from birthmark.errors import NullError, SettingError
from birthmark.types import Array, Floats, Labels


def rank_p(score: float, null: Sequence[float]) -> float:
    """p = (1 + #{null >= score}) / (1 + n), never zero (Phipson & Smyth 2010, Eq. 2); 1 for a score that is NaN.

    Raises:
        NullError: an empty null.
    """
    if len(null) == 0:
        raise NullError(
            "nothing to rank the score against: no placebos and no references; enrol with twins or references"
        )
    return (1 + sum(not value < score for value in null)) / (1 + len(null))


def smallest_p(n: int) -> float:
    """The best rank p among `n`: 1 / (n + 1)."""
    return 1 / (n + 1)


def needed(alpha: float) -> int:
    """How many placebos a rank p of `alpha` takes: the least n with 1 / (n + 1) <= alpha."""
    if not 0 < alpha < 1:
        raise SettingError(f"expected alpha between 0 and 1, got {alpha}")
    return int(np.ceil(1 / alpha - 1e-9)) - 1


def student_p(score: float, null: Sequence[float]) -> float:
    """Student-t predictive p: t = z / sqrt(1 + 1/n) with n - 1 degrees of freedom; assumes a normal null.

    Returns NaN with fewer than three null scores or one that is not finite, 0 or 1 if they do not differ.
    """
    n = len(null)
    return float(special.stdtr(n - 1, -standardised(score, null) / sqrt(1 + 1 / n))) if n > 2 else np.nan


def margin(alpha: float, key_correlation: float, keys: float = 0.95) -> float:
    """The z that an innocent's score must reach under one fixed key, so that for a share `keys` of keys at most a share
    alpha does.

    Scores of innocents that resemble each other are correlated over keys, by r = `key_correlation`: z = sqrt(r) b +
    sqrt(1 - r) e, with b the key's and e the innocent's own. Over keys P(z >= z_alpha) = alpha, but an unlucky key
    has a large b for all of them at once. Assumes that b and e are normal.
    """
    normal = NormalDist()
    return sqrt(1 - key_correlation) * normal.inv_cdf(1 - alpha) + sqrt(key_correlation) * normal.inv_cdf(keys)


def standardised(score: float, null: Sequence[float]) -> float:
    """z = (score - mean) / sd of the null (n - 1 in the denominator).

    Infinite if the null does not differ; NaN if it is empty, or a number is not finite or too large to be squared.
    """
    if not len(null):
        return np.nan
    with np.errstate(all="ignore"):
        mean, sd = float(np.mean(null)), float(np.std(null, ddof=1)) if len(null) > 1 else 0.0
    if not (np.isfinite(score) and np.isfinite(mean) and np.isfinite(sd)):
        return np.nan
    if sd == 0:
        return 0.0 if score == mean else float(np.copysign(np.inf, score - mean))
    return (score - mean) / sd


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided binomial interval for a share (Clopper & Pearson 1934)."""
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(special.betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(special.betaincinv(hits + 1, n - hits, 1 - tail))
    return low, high


def _ordered(positives: ArrayLike, negatives: ArrayLike) -> tuple[Floats, Floats]:
    """Both sides in rising order; NaN lowest among positives and highest among negatives."""
    a, b = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    return np.sort(np.where(np.isnan(a), -np.inf, a)), np.sort(np.where(np.isnan(b), np.inf, b))


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Area under the ROC curve: share of pairs in which the positive scores higher, ties counting half."""
    a, order = _ordered(positives, negatives)
    if not len(a) or not len(order):
        return np.nan
    below = np.searchsorted(order, a, side="left")
    upto = np.searchsorted(order, a, side="right")
    return float((below + upto).mean() / (2 * len(order)))


def tpr_at_fpr(positives: ArrayLike, negatives: ArrayLike, fpr: float = 0.05) -> float:
    """Share of positives above the lowest threshold whose false-positive share is at most `fpr`."""
    a, b = _ordered(positives, negatives)
    b = b[::-1]
    allowed = int(np.floor(fpr * len(b) + 1e-9))
    threshold = b[allowed] if allowed < len(b) else -np.inf
    return float((a > threshold).mean()) if len(a) else np.nan


def aruc(positives: ArrayLike, negatives: ArrayLike, points: int = 1001) -> float:
    """IPGuard's area under the robustness-uniqueness curves, for scores already on [0, 1].

    The integral over tau of min(share of positives with score >= tau, share of negatives with score < tau), by the
    trapezoid rule on `points` equal steps. It rewards the gap on the score's own axis, so it must not be rescaled.
    """
    tau = np.linspace(0, 1, points)
    a, b = _ordered(positives, negatives)
    if not len(a) or not len(b):
        return np.nan
    robust = 1 - np.searchsorted(a, tau) / len(a)
    unique = np.searchsorted(b, tau) / len(b)
    return float(np.trapezoid(np.minimum(robust, unique), tau))


def bootstrap_auc(
    positives: Sequence[ArrayLike],
    negatives: Sequence[ArrayLike],
    *,
    seed: int,
    rounds: int = 1000,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """Mean over sources of the AUC, with a bootstrap interval that redraws sources, then models within each.

    Args:
        positives, negatives: one array of scores per source.

    Returns:
        (AUC, low, high).
    """
    pairs = [
        (np.asarray(a, float), np.asarray(b, float))
        for a, b in zip(positives, negatives, strict=True)
        if np.size(a) and np.size(b)
    ]
    if not pairs:
        return np.nan, np.nan, np.nan
    # 1: the positive is higher, 1/2: ties; with whole counts their sums are exact in single precision
    above = [(a[:, None] > b) + np.float32(0.5) * (a[:, None] == b) for a, b in pairs]
    draws = np.zeros((rounds, len(pairs)))
    for table, (where, rows, columns) in zip(above, _redrawn(tuple(t.shape for t in above), seed, rounds), strict=True):
        draws[where] = np.einsum("ij,ij->i", rows @ table, columns) / table.size
    low, high = np.quantile(draws.mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    mean = float(np.mean([table.mean(dtype=np.float64) for table in above]))
    return mean, float(low), float(high)


@lru_cache(maxsize=64)
def _redrawn(
    shapes: tuple[tuple[int, ...], ...], seed: int, rounds: int
) -> list[tuple[tuple[Labels, Labels], Array, Array]]:
    """How often each model is drawn, by source: the (round, slot) pairs that drew the source, and counts of its
    positives and negatives (pairs, n). They depend on numbers of models alone, so tables draw them once.
    """
    random, found = np.random.default_rng(seed), []
    drawn = random.integers(len(shapes), size=(rounds, len(shapes)))
    for source, sizes in enumerate(shapes):
        mine = [np.flatnonzero(drawn[:, slot] == source) for slot in range(len(shapes))]
        counts = [[random.multinomial(n, np.full(n, 1 / n), size=len(m)) for n in sizes] for m in mine]
        slots = np.repeat(np.arange(len(shapes)), [len(m) for m in mine])
        rows, columns = (np.concatenate(side).astype(np.float32) for side in zip(*counts, strict=True))
        found.append(((np.concatenate(mine), slots), rows, columns))
    return found


def ece(answers: Floats, targets: Labels, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017), 0 to 1: mean |accuracy - confidence| over equal bins of the top
    probability of answers (n, k) with true classes (n,).
    """
    top, right = answers.max(axis=1), answers.argmax(axis=1) == targets
    place = np.minimum((top * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(right[place == b].mean() - top[place == b].mean()) * (place == b).mean()
            for b in range(bins)
            if (place == b).any()
        )
    )


def bonferroni(p: float, tests: int) -> float:
    """p corrected for `tests` looks, dependent or not."""
    return min(1.0, p * tests)
