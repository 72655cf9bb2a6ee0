"""What answers are: rows (n, k) of float64, one for each input. Here they are checked, named and read; NumPy only.

Nothing in a file or an API says what kind its numbers are, so their kind is declared, and `checked` compares what was
declared with what the numbers look like. Sixteen rows tell softmax at any precision from logits, fewer only where it
is exact; what could be either (softmax at a high temperature, say) passes as declared.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from birthmark.errors import OracleError
from birthmark.types import Answers, Floats, Samples

ENOUGH = 16  # rows that tell rounded probabilities from logits
COARSE = 0.066  # rows of 8-bit floats sum to 1 within this; those of 16 bits within .004
SCALES = (1.0, 100.0, 255.0)  # what fractions, percentages and bytes sum to


class Likeness(NamedTuple):
    """What rows look like: the word to declare as answers, and the scale. Logits are what looks like nothing else."""

    kind: str
    scale: float = 1.0

    def __str__(self) -> str:
        noun = {"topk": "the top classes' probabilities", "sigmoid": "sigmoid scores, each class against the rest"}
        unit = {1.0: "", 100.0: " in percent", 255.0: " in bytes 0..255"}[self.scale]
        scale = "" if self.scale == 1 else f" and scale = {self.scale:g} (--spec)"
        return f"these look like {noun.get(self.kind, self.kind)}{unit}; declare answers {self.kind}{scale}"


def softmax(rows: Floats) -> Floats:
    """Softmax of rows (n, k)."""
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def as_probabilities(rows: Floats, answers: Answers) -> Floats:
    """Rows (n, k) of logits or sigmoid scores as probabilities; labels, probabilities and values as they are.

    Sigmoid scores count as independent logits log(p / (1 - p)) that compete in a softmax. One score p a row is the
    probability of the second of two classes, and becomes (1 - p, p).
    """
    if answers is Answers.SIGMOID:
        floor = max(1e-6, rounding_step(rows) / 2)
        p = np.clip(rows, floor, 1 - floor)
        rows = np.log(p / (1 - p))
        rows = np.hstack([np.zeros_like(rows), rows]) if rows.shape[1] == 1 else rows
    return softmax(rows) if answers in (Answers.LOGITS, Answers.SIGMOID) else rows


@np.errstate(over="ignore", invalid="ignore")  # numbers near 1e308 are finite, their sums are not
def checked(rows: Floats, n: int, width: int | None, answers: Answers, name: str) -> Floats:
    """Validate an oracle's answers: shape (n, width), finite, and what they were declared to be.

    Raises:
        OracleError: says what was expected, what came, and what to declare instead.
    """
    if rows.ndim != 2 or len(rows) != n or (width is not None and rows.shape[1] != width):
        raise OracleError(f"{name}: expected answers of shape ({n}, {width or 'k'}), got {rows.shape}")
    if not np.isfinite(rows).all():
        bad = int((~np.isfinite(rows)).any(axis=1).sum())
        raise OracleError(f"{name}: expected finite answers, got NaN or infinity in {bad} of {n} rows")
    if rows.size and (other := _contradiction(rows, answers)):
        total = rows.sum(axis=1)
        raise OracleError(
            f"{name}: expected {answers.value}, got rows from {rows.min():.3g} to {rows.max():.3g} that sum to "
            f"{total.min():.3g}..{total.max():.3g}: {other}"
        )
    return rows


def _contradiction(rows: Floats, declared: Answers) -> Likeness | str:
    """What rows are rather than what was declared, in words; empty if they can be that."""
    if declared is Answers.VALUES:
        return ""
    if declared is Answers.LOGITS:
        seems = likeness(rows)
        return "" if seems.kind == "logits" else seems
    if not _within(rows, 1):
        return _beyond(rows, declared)
    return _no_sigmoid(rows) if declared is Answers.SIGMOID else _no_probabilities(rows)


def _beyond(rows: Floats, declared: Answers) -> Likeness:
    """What rows beyond [0, 1] are that were declared as shares of 1."""
    if declared is Answers.SIGMOID:
        scale = next((scale for scale in SCALES if _within(rows, scale)), None)
        return Likeness("sigmoid", scale) if scale else likeness(rows)
    return likeness(rows) if len(rows) >= ENOUGH or not _within(rows, np.inf) else _few(rows)


def _no_sigmoid(rows: Floats) -> Likeness | str:
    several = len(rows) >= ENOUGH and rows.shape[1] > 1
    exact = several and np.abs(rows.sum(axis=1) - 1).max() <= _slack(rows) - COARSE
    return Likeness("probabilities") if exact else ""


def _no_probabilities(rows: Floats) -> Likeness | str:
    total = rows.sum(axis=1)
    if total.max() > 1 + COARSE and total.max() > 1 + _slack(rows):  # the slack takes a sort of all numbers
        return Likeness("sigmoid")
    if len(rows) >= ENOUGH and rows.min() > 0 and total.max() < 0.5:
        return "these are too small; divide by the scale they have"
    return "" if total.any() else "all are zero"


def likeness(rows: Floats) -> Likeness:
    """What rows (n, k) look like to someone who was told nothing.

    Non-negative rows of one sum are probabilities, those with zeros in all but a few places the top of them, and rows
    that fill [0, 1] with sums that vary are sigmoid scores. A classifier's logits do none of that: they are centred
    near 0, and a spread below 1 would mean a top probability below e / (e + k - 1).
    """
    if rows.shape[1] < 2 or rows.max() <= 0:
        return Likeness("logits")
    kinds = ((_kind(rows, scale), scale) for scale in SCALES if _within(rows, scale))
    return next((Likeness(kind, scale) for kind, scale in kinds if kind), Likeness("logits"))


def _kind(rows: Floats, scale: float) -> str:
    """What non-negative rows of at most `scale` look like; empty if like nothing at that scale."""
    total, many = rows.sum(axis=1), len(rows) >= ENOUGH
    slack = scale * _slack(rows / scale) if many else 1e-4 * scale
    if np.abs(total - scale).max() <= slack:
        return "probabilities"
    if not many:
        return ""
    if _cut(rows) and (scale == 1 or scale / 2 <= total.max()) and total.max() <= scale + slack:
        return "topk"
    return "sigmoid" if _fills(rows, scale) else ""


def _fills(rows: Floats, scale: float) -> bool:
    """Whether rows go from end to end of [0, scale], and not as ReLUs of some other scale do."""
    if scale == 1:  # two or three logits of a timid network may all lie in [0, 0.6]
        return bool(np.ptp(rows) >= (0.75 if rows.shape[1] <= 3 else 0.25))
    unlike_relu = rows.min() > 0 or (rows == np.round(rows)).all()
    return bool(unlike_relu and np.ptp(rows) >= 0.97 * scale)


def _few(rows: Floats) -> Likeness:
    """What a few non-negative rows that are no probabilities look like."""
    total = rows.sum(axis=1).max()
    for scale in SCALES:
        if _within(rows, scale) and scale / 2 <= total <= 1.1 * scale:
            return Likeness("topk" if _cut(rows) else "probabilities", scale)
        if _within(rows, scale) and (scale == 1 or rows.max(axis=1).mean() >= scale / 2):
            return Likeness("sigmoid", scale)
    return Likeness("logits")


def _within(rows: Floats, high: float) -> bool:
    return bool(rows.min() >= -1e-6 and rows.max() <= high * (1 + 1e-3))


def _slack(rows: Floats) -> float:
    """How far from 1 rows of k probabilities may sum: coarse floats, rounding in every class, a floor of 1e-4."""
    step = rounding_step(rows) or float(np.diff(np.unique(rows)).min(initial=1.0))
    even = step <= 0.1 and np.abs(rows / step - np.round(rows / step)).max() < 1e-3
    return COARSE + 0.004 + rows.shape[1] * (1e-4 + (step / 2 if even else 0))


def _cut(rows: Floats) -> bool:
    """Whether all but the same few places of nearly every row are zero."""
    shown = (rows > 0).sum(axis=1)
    return bool(shown.max() < rows.shape[1] and (shown == shown.max()).mean() >= 0.9)


def is_labels(answers: Floats) -> bool:
    """Whether rows are one-hot."""
    return all(bool(((rows == 0) | (rows == 1)).all()) for rows in (answers[:1], answers))


def rounding_step(answers: Floats) -> float:
    """10^-d if all answers are multiples of it for some d <= 4, else 0: what an API rounded its scores to."""
    for digits in (1, 2, 3, 4):
        if _even(answers[:1], digits) and _even(answers, digits):
            return float(10.0**-digits)
    return 0.0


def _even(answers: Floats, digits: int) -> bool:
    return bool(np.abs(answers - np.round(answers, digits)).max() < 1e-9)


class Coarseness(NamedTuple):
    """How coarse answers are: labels alone, so many of the top classes, multiples of a step (0: as they come)."""

    labels: bool
    shown: int = 1
    step: float = 0.0

    def show(self, rows: Floats) -> Floats:
        """Probabilities (n, k) as coarse; rows that need no change themselves."""
        if self.labels:
            return as_labels(rows)
        if self.shown < rows.shape[1]:
            rows = np.where(rows >= np.partition(rows, -self.shown, axis=1)[:, -self.shown, None], rows, 0.0)
        return np.round(rows, round(-np.log10(self.step))) if self.step else rows


def coarseness(answers: Floats) -> Coarseness:
    """How coarse a classifier's rows (n, k) are."""
    if is_labels(answers):
        return Coarseness(labels=True)
    return Coarseness(False, int((answers > 0).sum(axis=1).max()), rounding_step(answers))


def coarsest(forms: Sequence[Coarseness]) -> Coarseness:
    """The form that all of these can be shown in."""
    coarse = [form for form in forms if not form.labels]
    return Coarseness(
        len(coarse) < len(forms),
        min((form.shown for form in coarse), default=1),
        max((form.step for form in coarse), default=0.0),
    )


def shown_as(answers: Floats, values: bool) -> Callable[[Floats], Floats]:
    """What shows an owner's, a reference's or a twin's rows (q, k) as the suspect shows its answers."""
    return (lambda rows: rows) if values else coarseness(answers).show


def as_labels(rows: Floats) -> Floats:
    """One-hot rows (..., k) of the top class."""
    return one_hot(rows.argmax(axis=-1), rows.shape[-1])


def one_hot(classes: ArrayLike, k: int) -> Floats:
    """Rows (..., k) that are 1 at the class numbers (...) and 0 elsewhere; no k by k matrix is made on the way."""
    places = np.asarray(classes)[..., None]
    rows = np.zeros((*places.shape[:-1], k))
    np.put_along_axis(rows, places, 1.0, axis=-1)
    return rows


def accuracy_of(rows: Floats, samples: Samples) -> float:
    """Share of answers (n, k) whose top class is the target, 0 to 1; for real targets R^2; NaN if nobody knows."""
    if not samples.labelled:
        return float("nan")
    if samples.classes:
        return float((rows.argmax(1) == samples.targets).mean())
    truth = samples.targets.reshape(len(samples), -1).astype(float)
    return float(1 - ((rows - truth) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum())
