"""Keyed label smoothing: soft targets for anybody's training loop. NumPy in, NumPy out."""

import numpy as np
from numpy.typing import NDArray

from birthmark.answers import softmax
from birthmark.errors import SettingError, ShapeError
from birthmark.marks.keyring import ClientKey
from birthmark.marks.rule import BETA, RHO, softly
from birthmark.types import Array, Floats

LEAST_SHOWN = 1e-6  # of a probability that is tilted
SHARES = (0.35, 0.65)  # of the first of two inputs in a mixture


def targets(key: ClientKey, inputs: Array, labels: NDArray[np.generic], eps: float = 0.1) -> Floats:
    """What to train on instead of the labels, float64 (n, k).

    For classes (1 - eps) of the mass lies on the label and eps on the others, by the key: softmax(5 h(x)) over them,
    with h the keyed field; ordinary label smoothing spreads it evenly. For values (regressors, generators) each moves
    by eps sd tanh(h(x)), sd being that of the unmarked models' values.

    Args:
        inputs: (n, *d) as the keyring's.
        labels: class numbers (n,) from 0, or values (n, k).
        eps: 0 to 1: mass to move (at most .45 of a row moves), or the tolerance in standard deviations.

    Raises:
        SettingError: eps out of range, no key, or fewer than two classes.
        ShapeError: inputs of another shape than the key was made for, NaN, or labels that are no class numbers.
    """
    _fit(key, inputs, len(labels), eps)
    task, h = key.ring.task, key.field(inputs)
    if task.values:
        return _values(labels, task.outputs) + eps * key.ring.spread * np.tanh(h)
    hard = np.eye(task.outputs)[_classes(labels, task.outputs)]
    return softly(hard, h, eps, BETA, RHO, hidden=False)


def _fit(key: ClientKey, inputs: Array, labels: int, eps: float) -> None:
    if not isinstance(key, ClientKey):
        raise SettingError(f"expected a key of a keyring (ring.client(secret, name)), got {type(key).__name__}")
    if not 0 < eps < 1:
        raise SettingError(f"expected eps between 0 and 1, got {eps}")
    if not key.ring.task.values and key.ring.task.outputs < 2:
        raise SettingError("expected two or more classes")
    if inputs.shape[1:] != key.ring.task.shape or len(inputs) != labels:
        raise ShapeError(
            f"expected {labels} inputs of shape {key.ring.task.shape}, as many as labels and as the key was made for, "
            f"got {inputs.shape}"
        )
    if not np.isfinite(inputs).all():
        raise ShapeError("expected finite inputs, got NaN or infinity")


def _classes(labels: NDArray[np.generic], classes: int) -> NDArray[np.integer]:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ShapeError(
            f"expected class numbers (n,) from 0 to {classes - 1}, got {labels.dtype} of shape {labels.shape}; number "
            "the classes first"
        )
    found = labels.astype(np.int64)
    if found.min(initial=0) < 0 or found.max(initial=0) >= classes:
        raise ShapeError(f"expected class numbers from 0 to {classes - 1}, got {found.min()} to {found.max()}")
    return found


def _values(labels: NDArray[np.generic], outputs: int) -> Floats:
    if labels.dtype.kind not in "iuf":
        raise ShapeError(f"expected real values (n, {outputs}), got {labels.dtype}")
    rows = labels.reshape(len(labels), -1).astype(np.float64)
    if rows.shape[1] != outputs or not np.isfinite(rows).all():
        raise ShapeError(f"expected finite values of shape ({len(labels)}, {outputs}), got {rows.shape}")
    return rows


def mixtures(inputs: Array, n: int, *, seed: int) -> Array:
    """`n` mixtures of random pairs of inputs, each with weights from .35 to .65: near-ties without end."""
    random = np.random.default_rng(seed)
    first, second = random.integers(len(inputs), size=(2, n))
    share = random.uniform(*SHARES, n).astype(np.float32).reshape(-1, *[1] * (inputs.ndim - 1))
    return np.asarray(share * inputs[first] + (1 - share) * inputs[second])


def tilted(key: ClientKey, inputs: Array, answers: Floats, tilt: float) -> Floats:
    """Targets (n, k) for mixtures, which have no label: softmax(log p + tilt h(x)), p the unmarked models' mean answer.

    Only with them do suspects that show labels alone carry the mark past a fine-tune; they cost accuracy.

    Args:
        inputs: mixtures (n, *d).
        answers: unmarked models' mean probabilities (n, k).

    Raises:
        SettingError, ShapeError: as `targets`; values have no labels to tilt.
    """
    _fit(key, inputs, len(answers), 0.5)
    if key.ring.task.values or answers.shape[1:] != (key.ring.task.outputs,) or not np.isfinite(answers).all():
        raise ShapeError(
            f"expected finite probabilities ({len(inputs)}, {key.ring.task.outputs}), got shape {answers.shape}"
        )
    return softmax(np.log(np.maximum(answers, LEAST_SHOWN)) + tilt * key.field(inputs))
