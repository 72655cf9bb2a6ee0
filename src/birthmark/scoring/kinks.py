"""Which owner's kinks does a suspect bend at? What `tafa` and `lineage` score answers to triples (x, x + hd, x - hd)
by.

Ours; see `birthmark.methods.tafa`. Triples come in rounds, one of every owner a round, source first.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from birthmark.answers import is_labels, rounding_step
from birthmark.errors import ShapeError
from birthmark.scoring.mixture import owner_mixture
from birthmark.settings import Allowed
from birthmark.types import Floats

KINKS: Allowed = {  # settings that tafa and lineage have in common
    "step": "[0, inf)",
    "starts": ("data", "wide", "noise"),
    "reach": "[0, inf)",
    "temper": "[0, 1]",
    "ridge": "[0, inf)",
}
COARSE = 5e-3  # probabilities rounded to steps above this are compared as they are: their logarithm is mostly rounding


def bend_weights(owners: Floats, answers: Floats, values: bool, *, temper: float, ridge: float) -> Floats:
    """Each owner's share (m,) in answers (q, k) to whole triples; owners (m, q, k).

    Args:
        values: whether answers are real values; else probabilities, perhaps rounded or the top k only.
        temper: bends of several outputs are divided by their norm to this power, 0 to 1.
        ridge: of the regression, in mean eigenvalues.

    Raises:
        ShapeError: labels, whose second differences say nothing.
    """
    if not values:
        if is_labels(answers):
            raise ShapeError(
                "tafa: expected probabilities, got labels, whose second differences say nothing; use kinship"
            )
        step, hidden = rounding_step(answers), answers == 0
        if (hidden.sum(axis=1) > 0).all():  # the top k only: what the suspect hides is hidden in the owners, too
            owners = np.where(hidden, 0, owners)
        elif step < COARSE:
            owners, answers = logs(owners, max(step, 1e-6)), logs(answers, max(step, 1e-6))
    bends = second_differences(np.concatenate([owners, answers[None]]), temper)
    return owner_mixture(bends[:-1], bends[-1], ridge=ridge)


def met(tensors: Mapping[str, np.ndarray[Any, Any]], answers: Floats) -> Floats:
    """The owners' answers (m, q, k) to the points the suspect met.

    As sent, or clipped to the box, whichever are nearer.
    """
    sent = tensors["owners"][:, : len(answers)]
    clipped = tensors.get("clipped")
    if clipped is None:
        return sent
    far, near = (np.abs(answers - rows.mean(axis=0)).mean() for rows in (sent, clipped[:, : len(answers)]))
    return clipped[:, : len(answers)] if near < far else sent


def others_rows(q: int, owners: int, place: int) -> np.ndarray[Any, np.dtype[np.int64]]:
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
