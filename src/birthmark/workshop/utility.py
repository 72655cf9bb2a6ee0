"""The utility report: what a mark would cost the users of an API, and what it would buy, before it is switched on.

Everything is measured on the owner's own held-out data: top-1 agreement, accuracy, L1 and KL shift, expected
calibration error, by strength. What a strength buys is read as the score a perfect student would get: one who answers
exactly as the marked API, asked 100 to 1000 queries.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from birthmark import stats
from birthmark.claim import Claim
from birthmark.errors import SettingError
from birthmark.marks.keyring import ClientKey
from birthmark.types import Array, Floats, Labels
from birthmark.watermarks.dynamarks import STRENGTHS, DynaMarks


@dataclass(frozen=True)
class Utility:
    """One strength's cost and worth; means over inputs and over client keys.

    Attributes:
        top1_agreement: share of answers whose top class stays.
        accuracy_change: of the API, as a share (-.01 is one point down).
        l1, kl: mean shift of a row: sum of absolute changes (0 to 2); KL(unmarked || marked) in nats.
        ece, ece_before: expected calibration error, 15 equal bins of the top probability.
        evidence: z of a perfect student by number of queries.
    """

    strength: str
    top1_agreement: float
    accuracy_change: float
    l1: float
    kl: float
    ece: float
    ece_before: float
    evidence: dict[int, float]


def utility(
    keys: Sequence[ClientKey],
    inputs: Array,
    answers: Floats,
    targets: Labels,
    strengths: Sequence[str] = tuple(STRENGTHS),
) -> list[Utility]:
    """Measure strengths on held-out inputs (n, *d) with the source's answers (n, k) and true classes (n,).

    Raises:
        SettingError: no keys, or a source of real values (its shift is at most `tolerance` of its spread by
            construction).
    """
    if not keys:
        raise SettingError("expected at least one client key to measure with")
    if keys[0].ring.task.values:
        raise SettingError("real values move by at most `tolerance` of their spread; there is nothing else to measure")
    found = []
    for strength in strengths:
        marks = [DynaMarks(strength=strength, placebos=min(999, len(keys[0].ring.placebos)), key=key) for key in keys]
        rows = [mark.mark(inputs, answers) for mark in marks]
        right = answers.argmax(axis=1) == targets
        found.append(
            Utility(
                strength,
                float(np.mean([(r.argmax(1) == answers.argmax(1)).mean() for r in rows])),
                float(np.mean([(r.argmax(1) == targets).mean() - right.mean() for r in rows])),
                float(np.mean([np.abs(r - answers).sum(axis=1).mean() for r in rows])),
                float(np.mean([_kl(answers, r) for r in rows])),
                float(np.mean([stats.ece(r, targets) for r in rows])),
                stats.ece(answers, targets),
                _evidence(marks[0]),
            )
        )
    return found


def plot(found: Sequence[Utility], path: Path) -> None:
    """Shift, calibration and evidence by strength, as one picture."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    names = [u.strength for u in found]
    left.bar(names, [u.l1 for u in found])
    left.set_title("mean L1 shift of a row")
    middle.bar(names, [1 - u.top1_agreement for u in found])
    middle.set_title("share of top answers changed")
    for u in found:
        right.plot(list(u.evidence), list(u.evidence.values()), marker="o", label=u.strength)
    right.axhline(3.1, color="grey", linewidth=0.8)
    right.set_title("z of a perfect student, by queries")
    right.legend(fontsize=7)
    figure.savefig(path, dpi=120)


def as_rows(found: Sequence[Utility]) -> list[dict[str, Any]]:
    """Plain JSON data."""
    return [{**asdict(u), "evidence": {str(q): round(z, 2) for q, z in u.evidence.items()}} for u in found]


def _kl(plain: Floats, marked: Floats) -> float:
    p, r = np.maximum(plain, 1e-12), np.maximum(marked, 1e-12)
    return float((p * np.log(p / r)).sum(axis=1).mean())


def _evidence(mark: DynaMarks) -> dict[int, float]:
    claim: Claim = mark.claim()
    rows = mark.mark(claim.queries, claim.tensors["source"])
    found = {}
    for n in sorted({q for q in (100, 300, 1000) if q <= len(rows)} | {min(len(rows), 1000)}):
        scores = mark.score(claim, rows[:n])
        found[n] = stats.standardised(scores.source, scores.placebos)
    return found
