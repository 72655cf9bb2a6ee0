"""Keyed fine-tune: a finished model learns its own marked answers, on the owner's inputs and mixtures of them."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from birthmark import stats
from birthmark.errors import SettingError
from birthmark.imprint.smoothing import mixtures
from birthmark.marks.rule import BETA, RHO, softly
from birthmark.types import Array, Floats, Labels, Samples
from birthmark.workshop.training import Training, fit, outputs, probabilities

if TYPE_CHECKING:
    from torch import nn

    from birthmark.claim import Claim
    from birthmark.watermarks.imprint import Imprint


@dataclass(frozen=True)
class Tuning:
    """How a finished model is imprinted.

    Attributes:
        epochs: most passes over the inputs and as many mixtures.
        rate, batch: of the training loop, a cycle an epoch.
        agreement: share of the held-out top answers that must stay, 0 to 1.
        z: of the claim; stop at the first epoch that keeps the agreement and reaches it.
    """

    epochs: int = 3
    rate: float = 2e-3
    batch: int = 128
    agreement: float = 0.98
    z: float = 6.0


@dataclass(frozen=True)
class Change:
    """What an imprint changes, on held-out inputs; shares from 0 to 1.

    Attributes:
        agreement: share of top answers that stay; for values 1 - mean squared change / variance.
        accuracy, accuracy_before: of the model with and without the key; None without labels or for values.
        l1: mean sum of absolute changes of a row.
        ece, ece_before: expected calibration error, 15 bins; None likewise.
        z: of the model under its own key's claim.
    """

    agreement: float
    l1: float
    z: float
    accuracy: float | None = None
    accuracy_before: float | None = None
    ece: float | None = None
    ece_before: float | None = None


@dataclass(frozen=True)
class Tuned:
    """The imprinted model, and what every epoch changed."""

    module: "nn.Module"
    curve: tuple[Change, ...]

    def again(self, how: Tuning) -> Tuning:
        """The same tuning to the same epoch, whatever it costs: a control's."""
        return replace(how, epochs=len(self.curve), agreement=0.0, z=np.inf)


def marked(mark: "Imprint", inputs: Array, answers: Floats) -> Floats:
    """The teacher's answers (n, k), moved by the key."""
    return mark.mark(inputs, answers)


def evenly(mark: "Imprint", inputs: Array, answers: Floats) -> Floats:
    """The same mass moved evenly: what the tuning costs without a key."""
    return softly(answers, np.zeros_like(answers), mark.eps, BETA, RHO, hidden=False)


def tuned(
    module: "nn.Module",
    mark: "Imprint",
    owner: Samples,
    how: Tuning = Tuning(),
    *,
    seed: int,
    teach: Callable[["Imprint", Array, Floats], Floats] = marked,
) -> Tuned:
    """Imprint a copy of the model; the first epoch that keeps the agreement and reaches z, or the last that keeps
    the agreement.

    Args:
        mark: with its key, whose keyring holds the unmarked answers to its queries.
        owner: inputs that it is tuned on; their targets are not used.
        teach: what becomes of the model's own answers; `evenly` for a control.

    Raises:
        SettingError: not one epoch keeps the agreement.
    """
    ring = mark.signed.ring
    values = ring.task.values
    ask = outputs if values else probabilities
    x = np.concatenate([owner.inputs, mixtures(owner.inputs, len(owner), seed=seed)])
    teacher = teach(mark, x, ask(module, x))
    before, claim = ask(module, ring.queries), mark.claim()
    samples = _samples(x, teacher, values)
    training = Training(epochs=1, batch=how.batch, rate=how.rate, cycle=True)
    best, now, curve = None, module, list[Change]()
    for epoch in range(how.epochs):
        now = fit(deepcopy(now), samples, training, seed=seed + epoch, soft=None if values else teacher)
        rows = ask(now, ring.queries)
        curve.append(replace(change(before, rows, values=values), z=_z(mark, claim, rows)))
        if curve[-1].agreement >= how.agreement:
            best = Tuned(now, tuple(curve))
            if curve[-1].z >= how.z:
                break
    if best is None:
        found = max(one.agreement for one in curve)
        raise SettingError(
            f"after {how.epochs} epochs at most {found:.3f} of the answers stay, fewer than {how.agreement}; lower the "
            f"rate ({how.rate}) or eps ({mark.eps}), or give more inputs"
        )
    return best


def _samples(x: Array, teacher: Floats, values: bool) -> Samples:
    targets = teacher.astype(np.float32) if values else teacher.argmax(axis=1)
    return Samples(x, targets, 0 if values else teacher.shape[1])


def _z(mark: "Imprint", claim: "Claim", rows: Floats) -> float:
    scores = mark.score(claim, rows)
    return stats.standardised(scores.source, scores.placebos)


def change(before: Floats, after: Floats, labels: Labels | None = None, *, values: bool = False) -> Change:
    """What changed from answers (n, k) to others; with class numbers (n,) accuracy and calibration, too."""
    moved = float(np.abs(after - before).sum(axis=1).mean())
    if values:
        return Change(float(1 - ((after - before) ** 2).mean() / max(before.var(), 1e-300)), moved, np.nan)
    found = Change(float((after.argmax(axis=1) == before.argmax(axis=1)).mean()), moved, np.nan)
    if labels is None:
        return found
    now, was = (float((rows.argmax(axis=1) == labels).mean()) for rows in (after, before))
    return replace(
        found, accuracy=now, accuracy_before=was, ece=stats.ece(after, labels), ece_before=stats.ece(before, labels)
    )
