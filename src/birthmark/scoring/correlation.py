"""Correlations between a model's answers to pairs of inputs: what SAC compares. NumPy only."""

import numpy as np

from birthmark.answers import as_labels, is_labels, rounding_step, softmax
from birthmark.errors import ShapeError
from birthmark.types import Floats

EPS = 1e-4  # floor of probabilities in the logarithm


def features(answers: Floats, outputs: str) -> Floats:
    """Rows whose angles are compared: probabilities as they are; "logits" are log-probabilities less their mean over
    classes (an API's probabilities hold logits only up to a constant a row); labels are softmax(1 at the class, .01
    elsewhere).
    """
    if is_labels(answers):
        return softmax(np.where(answers > 0, 1.0, 0.01))
    if outputs == "probabilities":
        return answers
    logs = np.log(np.maximum(answers, 0) + max(EPS, rounding_step(answers)))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def correlation(rows: Floats, kernel: str = "cosine") -> Floats:
    """C (n, n) of rows (n, k): (1 - cos(o_i, o_j)) / 2 for "cosine", exp(-|o_i/|o_i| - o_j/|o_j||^2) for "rbf"."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(norms > 0, norms, 1)
    cos = np.clip(unit @ unit.T, -1, 1)
    return np.asarray((1 - cos) / 2 if kernel == "cosine" else np.exp(2 * cos - 2))


def closeness(owner: Floats, suspect: Floats, outputs: str, kernel: str) -> float:
    """-d = -mean over pairs of |C_suspect - C_owner|: 0 for the same correlations, lower for others.

    Args:
        owner, suspect: answers (n, k) and (n, k') to the same inputs; the numbers of classes may differ.

    Raises:
        ShapeError: fewer than two inputs: they have no correlation.
    """
    if len(suspect) < 2 or len(suspect) != len(owner):
        raise ShapeError(
            f"expected answers to the same 2 or more queries, got {len(suspect)} and the owner's {len(owner)}"
        )
    mine, yours = features(as_labels(owner) if is_labels(suspect) else owner, outputs), features(suspect, outputs)
    return -float(np.abs(correlation(yours, kernel) - correlation(mine, kernel)).mean())
