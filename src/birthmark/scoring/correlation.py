"""Correlations between a model's answers to pairs of inputs: what SAC compares. NumPy only."""

from collections.abc import Sequence

import numpy as np

from birthmark.answers import as_labels, is_labels, rounding_step, softmax
from birthmark.errors import ShapeError
from birthmark.types import Floats

EPS = 1e-4  # floor of probabilities in the logarithm
CHUNK = 1 << 18  # numbers compared at a time: about what a processor's cache holds


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
    unit = _unit(rows)
    return _kernel(unit @ unit.T, kernel)


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
    return float(closenesses([owner], [suspect], outputs, kernel)[0, 0])


def closenesses(owners: Sequence[Floats], suspects: Sequence[Floats], outputs: str, kernel: str) -> Floats:
    """`closeness` (s, m) of each suspect's answers to each owner's; every correlation is taken once.

    Matrices are symmetric, so that half of each is compared, a few rows at a time.
    """
    found = np.zeros((len(suspects), len(owners)))
    for labels in (False, True):
        numbers = [i for i, rows in enumerate(suspects) if is_labels(rows) == labels]
        if numbers:
            mine = [_unit(features(as_labels(rows) if labels else rows, outputs)) for rows in owners]
            found[numbers] = _gaps(mine, [_unit(features(suspects[i], outputs)) for i in numbers], kernel)
    return -found


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1))


def _kernel(cos: Floats, kernel: str) -> Floats:
    np.clip(cos, -1, 1, out=cos)
    return np.asarray((1 - cos) / 2 if kernel == "cosine" else np.exp(2 * cos - 2))


def _gaps(owners: Sequence[Floats], suspects: Sequence[Floats], kernel: str) -> Floats:
    """Mean |C_suspect - C_owner| (s, m) of unit rows."""
    n, total = len(owners[0]), np.zeros((len(suspects), len(owners)))
    size = max(1, CHUNK // (len(owners) * n))
    for start in range(0, n, size):
        end = min(start + size, n)
        mine = _kernel(np.stack([rows[start:end] @ rows[start:].T for rows in owners]), kernel)
        for i, rows in enumerate(suspects):
            gap = np.abs(mine - _kernel(rows[start:end] @ rows[start:].T, kernel))
            total[i] += 2 * gap.sum(axis=(1, 2)) - gap[:, :, : end - start].sum(axis=(1, 2))
    return total / n**2
