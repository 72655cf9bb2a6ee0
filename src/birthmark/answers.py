"""What answers are: rows (n, k) of float64, one for each input. Here they are checked and described; NumPy only."""

import numpy as np

from birthmark.errors import OracleError
from birthmark.types import Answers, Floats


def softmax(rows: Floats) -> Floats:
    """Softmax of rows (n, k)."""
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def checked(rows: Floats, n: int, width: int | None, answers: Answers, name: str) -> Floats:
    """Validate an oracle's answers: shape (n, width), finite, on the simplex or one-hot where declared.

    Raises:
        OracleError: says what was expected and what came; logits where probabilities were declared are named so.
    """
    if rows.ndim != 2 or len(rows) != n or (width is not None and rows.shape[1] != width):
        raise OracleError(f"{name}: expected answers of shape ({n}, {width or 'k'}), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise OracleError(
            f"{name}: expected finite answers, got NaN or infinity in {int((~np.isfinite(rows)).any(axis=1).sum())} "
            f"of {n} rows"
        )
    if answers in (Answers.PROBABILITIES, Answers.LABELS):
        total = rows.sum(axis=1)
        slack = 1e-3 + 0.005 * rows.shape[1]  # rounding to two digits in every class
        if rows.min() < -1e-6 or total.max() > 1 + slack:
            raise OracleError(
                f"{name}: expected probabilities, got rows from {rows.min():.3g} that sum to "
                f"{total.min():.3g}..{total.max():.3g}: these look like logits; declare the suspect's output as logits"
            )
        if total.max() <= 0:
            raise OracleError(f"{name}: expected probabilities, got rows of zeros only")
    return rows


def is_labels(answers: Floats) -> bool:
    """Whether rows are one-hot."""
    return bool(((answers == 0) | (answers == 1)).all())


def rounding_step(answers: Floats) -> float:
    """10^-d if all answers are multiples of it for some d <= 4, else 0: what an API rounded its scores to."""
    for digits in (1, 2, 3, 4):
        if np.abs(answers - np.round(answers, digits)).max() < 1e-9:
            return float(10.0**-digits)
    return 0.0


def as_shown(rows: Floats, answers: Floats, values: bool) -> Floats:
    """An owner's, a reference's or a twin's rows (q, k) as the suspect shows its answers: labels, top-k, or rounded."""
    if values:
        return rows
    if is_labels(answers):
        return as_labels(rows)
    shown = int((answers > 0).sum(axis=1).max())
    if shown < answers.shape[1]:
        floor = np.sort(rows, axis=1)[:, -shown][:, None]
        rows = np.where(rows >= floor, rows, 0.0)
    step = rounding_step(answers)
    return np.round(rows, round(-np.log10(step))) if step else rows


def as_labels(rows: Floats) -> Floats:
    """One-hot rows (..., k) of the top class."""
    return np.eye(rows.shape[-1])[rows.argmax(axis=-1)]
