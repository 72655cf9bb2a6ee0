"""DynaMarks: an API's answers are changed a little under a secret key, so that models trained on them carry the mark.

Source: Chakraborty, Xing, Liu & Srivastava, "DynaMarks", arXiv:2207.13321. Only the abstract was read: the rule and the
tests below are a reconstruction of ours, and no figure here is the paper's.

The mark, with t the top class and h the keyed field (`birthmark.marks.field`):

    u = softmax(beta h(x)) over the other classes
    e = min(epsilon, rho min_c (p_t - p_c) / (p_t - p_c + u_c))
    p' = (1 - e) p + e u

The top answer never changes. Where one class alone is open (two classes, or the two best shown), u is 1 there, and
epsilon is multiplied by sigmoid(beta h(x)). With ties (strong), near-ties are decided by the key first: if p_1 - p_2 <
delta and h_2(x) > h_1(x), the two largest probabilities change places; that reaches thieves who keep labels only. Real
values move by at most `tolerance` of their spread: y' = y + tolerance sd tanh(h(x)).

Two claims, both ranked among placebo keys: `dynamarks` reads what is left of a suspect's log-probabilities once the
source's unmarked ones and the owner's references' are regressed out, and correlates it with the field. `dynamarks-ties`
asks logged near-ties, those that unmarked models are most divided on, and counts on which side of the key the suspect
falls beyond what a logistic regression on those models foretells; labels do.

Marks are no use against whoever holds the weights, nor against thieves who drop uncertain answers and train on labels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np

from birthmark.answers import as_labels
from birthmark.claim import Claim, Scores
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.marks import soft
from birthmark.marks.keyring import ClientKey
from birthmark.marks.rule import BETA, RHO, mark_rows
from birthmark.marks.ties import Ties, divided
from birthmark.types import Access, Array, Floats
from birthmark.watermark import Watermark

STRENGTHS: Mapping[str, tuple[float, float]] = {  # epsilon: mass moved; delta: widest near-tie that the key decides
    "light": (0.02, 0.0),
    "default": (0.05, 0.0),
    "strong": (0.1, 0.5),
    "heavy": (0.2, 0.5),
}
ANSWERS = ("probabilities", "top-k", "labels")
LEAST = 20  # near-ties that a claim needs


@dataclass(frozen=True)
class DynaMarks(Watermark):
    """The soft mark, its claim on suspects that show probabilities (or values).

    Attributes:
        strength: "light", "default", "strong" or "heavy": mass moved .02, .05, .1, .2; the last two decide near-ties.
        answers: what the API shows: "probabilities", "top-k" (zeros stay hidden) or "labels" (one-hot rows of marked
            probabilities; rows that are one-hot already hold no margin and pass unchanged).
        beta: how far the moved mass follows the field.
        rho: share of the way to a changed top answer that the mark may go, below 1.
        tolerance: largest change of a real value, in standard deviations of the source's values.
        placebos: keys to rank among.
        key: a client's key; needed for marks and claims, not for scoring.
    """

    name: ClassVar[str] = "dynamarks"
    needs: ClassVar[Access] = Access.PROBS
    source_paper: ClassVar[str] = "Chakraborty et al. 2022, arXiv:2207.13321; a reconstruction from the abstract"
    key_correlation: ClassVar[float] = 0.45  # measured on Fashion-MNIST; .06 without shared data and architecture

    strength: str = "default"
    answers: str = "probabilities"
    beta: float = BETA
    rho: float = RHO
    tolerance: float = 0.05
    placebos: int = 999
    key: ClientKey | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.strength not in STRENGTHS:
            raise SettingError(f"expected a strength among {', '.join(STRENGTHS)}, got {self.strength!r}")
        if self.answers not in ANSWERS:
            raise SettingError(f"expected answers among {', '.join(ANSWERS)}, got {self.answers!r}")
        if not 0 <= self.rho < 1 or self.tolerance <= 0 or self.placebos < 1:
            raise SettingError(
                f"expected rho in [0, 1), tolerance > 0 and placebos >= 1, got {self.rho}, {self.tolerance}, "
                f"{self.placebos}"
            )
        if self.key is not None and self.placebos > len(self.key.ring.placebos):
            raise SettingError(
                f"the keyring holds {len(self.key.ring.placebos)} placebo keys, fewer than {self.placebos}; make it "
                "with more"
            )

    @property
    def epsilon(self) -> float:
        """Largest probability mass moved, 0 to 1."""
        return STRENGTHS[self.strength][0]

    @property
    def delta(self) -> float:
        """Near-ties with a smaller margin are decided by the key; 0 for none.

        With a key never more than the keyring's 5 % of answers: unsure sources have many near-ties, and each change may
        be a mistake.
        """
        widest = STRENGTHS[self.strength][1]
        return widest if self.key is None else min(widest, self.key.ring.near)

    def mark(self, inputs: Array, answers: Floats) -> Floats:
        """Marked answers (n, k): the same for the same input, alone or in a batch, to 1e-5.

        Raises:
            SettingError: no key.
            ShapeError: inputs or answers of another shape than the key was made for, or answers that are not finite.
        """
        key = self._key()
        rows = np.array(answers, dtype=np.float64)
        if rows.shape != (len(inputs), key.ring.task.outputs):
            raise ShapeError(
                f"expected answers of shape ({len(inputs)}, {key.ring.task.outputs}) as the key was made for, got "
                f"{rows.shape}"
            )
        if not math.isfinite(rows.sum()):
            raise ShapeError("expected finite answers to mark, got NaN or infinity")
        if not len(rows):
            return rows
        h = key.field(inputs)
        if key.ring.task.values:
            return rows + self.tolerance * key.ring.spread * np.tanh(h)
        how = (
            self.delta,
            0.0 if self.answers == "labels" else self.epsilon,
            self.beta,
            self.rho,
            self.answers == "top-k",
        )
        marked = mark_rows(rows, h, *how)
        return as_labels(marked) if self.answers == "labels" else marked

    def claim(self) -> Claim:
        """The claim on all held-out inputs of the keyring.

        It holds the client's secret: keep it as you keep the key.
        """
        return soft.claim(self.name, self._settings(), self._key(), self.placebos)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """Correlation of what is left of the suspect's answers with the key's field, and with every placebo key's."""
        return soft.score(claim, answers)

    def _key(self) -> ClientKey:
        if self.key is None:
            raise SettingError(f"{self.name} needs a client's key to mark or to claim; see `birthmark key new`")
        return self.key

    def _settings(self) -> dict[str, object]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "key"}


@dataclass(frozen=True)
class DynaMarksTies(DynaMarks):
    """The claim on suspects that show labels, by near-ties that the key decided: for inputs a client really asked.

    Same mark. The inputs are those of a query log (`birthmark.marks.keyring.logged`), so the evidence is as good as the
    log: commit to it.

    Attributes:
        strength: one that decides near-ties.
        most: near-ties that are asked, those that the owner's unmarked models are most divided on.
    """

    name: ClassVar[str] = "dynamarks-ties"
    needs: ClassVar[Access] = Access.LABELS
    logged: ClassVar[bool] = True
    retired: ClassVar[Mapping[str, bool | float]] = {"views": 1}  # shifted versions of every query, in 0.1

    strength: str = "strong"
    most: int = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        if not STRENGTHS[self.strength][1]:
            raise SettingError(
                f"strength {self.strength!r} leaves near-ties alone, so there is nothing to claim on; use strong or "
                "heavy"
            )
        if self.most < LEAST:
            raise SettingError(f"expected most >= {LEAST}, got {self.most}")

    def claim(self) -> Claim:
        """The claim on the keyring's queries that are near-ties of the source; see `birthmark.marks.keyring.logged`.

        Raises:
            DataError: fewer than 20 of them.
        """
        key = self._key()
        ring = key.ring
        ties = Ties.of(ring.source, self.delta)
        if len(ties.rows) < LEAST:
            raise DataError(
                f"expected at least {LEAST} near-ties among the logged inputs, found {len(ties.rows)} in "
                f"{len(ring.queries)}; a client needs to have asked more"
            )
        chosen = ties.rows[divided(ties, ring.references[:, ties.rows])[: self.most]]
        asked = ring.queries[chosen]
        tensors = {
            **soft.secret_tensors(key, self.placebos),
            "queries": asked,
            "coordinates": ring.whitening(asked),
            "source": ring.source[chosen],
            "references": ring.references[:, chosen],
        }
        return Claim(
            self.name, self._settings(), ring.task, ring.seed, tensors, {**soft.facts(key), "near_ties": len(ties.rows)}
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """Sum over near-ties of how far the suspect leans, beyond what unmarked models foretell, to the side that the
        key, or each placebo key, prefers.
        """
        return soft.score_ties(claim, answers)
