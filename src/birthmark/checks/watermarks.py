"""What every watermark that holds its key must satisfy."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from birthmark import registry
from birthmark.checks.common import accused_by_strange_answers, near
from birthmark.claim import Claim
from birthmark.watermark import Marked, Watermark
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import probabilities
from birthmark.workshop.whitebox import Open


def marks_alike(mark: Watermark, owner: Owner) -> None:
    """The same input is marked alike, alone or in a batch, today or tomorrow."""
    x = owner.pool.inputs[:30]
    p = probabilities(owner.source, x)
    whole = mark.mark(x, p)
    parts = np.concatenate([mark.mark(x[i : i + 1], p[i : i + 1]) for i in range(len(x))])
    assert np.array_equal(whole, mark.mark(x, p)), f"{mark.name}: the same input was marked differently the second time"
    assert np.abs(whole - parts).max() < 1e-5, f"{mark.name}: the same input was marked differently in a batch"


def marks_lightly(mark: Watermark, owner: Owner) -> None:
    """Marked answers stay on the simplex, and answers of 99 % and more keep their top class but for the share of lies
    that the watermark declares (to four standard deviations).
    """
    x = owner.pool.inputs
    p = probabilities(owner.source, x)
    kept = p.copy()
    marked = mark.mark(x, p)
    assert marked.shape == p.shape, f"{mark.name}: expected answers of shape {p.shape}, got {marked.shape}"
    assert marked.min() >= 0, f"{mark.name}: marked probabilities go down to {marked.min()}"
    assert np.abs(marked.sum(axis=1) - 1).max() < 1e-6, f"{mark.name}: marked probabilities do not sum to one"
    sure = p.max(axis=1) >= 0.99
    changed, n = int((marked.argmax(axis=1) != p.argmax(axis=1))[sure].sum()), int(sure.sum())
    most = mark.lies * n + 4 * (mark.lies * (1 - mark.lies) * n) ** 0.5
    assert changed <= most, f"{mark.name}: changed {changed} of {n} sure answers, expected {most:.0f} at most"
    assert np.array_equal(kept, p), f"{mark.name}: changed the answers it was given"


def marked_answers_score_highest(mark: Watermark, owner: Owner) -> None:
    """The API's own marked answers are closer to its key than to placebo keys, before and after saving the claim."""
    claim = mark.claim()
    rows = Marked(Open(owner.source), mark)(claim.queries)
    scores = mark.score(claim, rows)
    assert scores.placebos, f"{mark.name}: a claim without placebo keys has no error rate"
    share = np.mean([placebo >= scores.source for placebo in scores.placebos])
    assert share < 0.05, f"{mark.name}: {share:.0%} of placebo keys fit the marked answers as well as the true key"
    with TemporaryDirectory() as folder:
        claim.save(Path(folder) / "claim")
        loaded, _ = Claim.load(Path(folder) / "claim")
    scorer = registry.scorer(loaded) if mark.name in registry.found("watermarks") else mark
    assert near(scorer.score(loaded, rows), scores), f"{mark.name}: scores otherwise after saving and loading"


def strange_answers_accuse_nobody(mark: Watermark, owner: Owner) -> None:
    """Answers that are not finite, absurd, or the same for every query end in no accusation."""
    claim = mark.claim()
    if mark.name in registry.found("watermarks"):
        accused = accused_by_strange_answers(claim, Marked(Open(owner.source), mark)(claim.queries))
        assert not accused, f"{mark.name}: {', '.join(accused)} ended supported"


WATERMARK: dict[str, Callable[[Watermark, Owner], None]] = {
    "marks alike": marks_alike,
    "marks lightly": marks_lightly,
    "marked answers score highest": marked_answers_score_highest,
    "strange answers accuse nobody": strange_answers_accuse_nobody,
}
