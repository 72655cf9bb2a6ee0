"""Imprint: a key in the source's own training targets, so that copies and students carry it.

Ours; no paper. Ordinary label smoothing spreads eps evenly over the wrong classes, here it follows the key
(`birthmark.imprint.targets`). A model that is trained already learns its own marked answers
(`birthmark.imprint.tuning`). The claim is that of DynaMarks (`birthmark.marks.soft`), with one difference: the ground
are unmarked models, never the marked source.
"""

from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import numpy as np

from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError, ShapeError
from birthmark.marks import soft
from birthmark.marks.keyring import ClientKey
from birthmark.marks.rule import BETA, RHO, softly
from birthmark.marks.ties import Ties, divided
from birthmark.types import Access, Array, Floats
from birthmark.watermark import Watermark

NO_DATE = (
    "the key has no date: it was not drawn after its master was stamped, so whoever reads this must trust that it was "
    "not searched for"
)


@dataclass(frozen=True)
class Imprint(Watermark):
    """The soft mark in training targets, and its claim.

    Attributes:
        eps: mass moved, 0 to 1; of values the tolerance in standard deviations.
        tilt: how far mixtures of inputs lean to the key, where the source learned some (`birthmark.imprint.tilted`).
        placebos: keys to rank among.
        date: what fixes the key's date, such as a commitment's digest; empty says that it has none.
        key: needed for marks and claims, not for scoring.
    """

    name: ClassVar[str] = "imprint"
    needs: ClassVar[Access] = Access.PROBS
    source_paper: ClassVar[str] = "ours; DynaMarks' field (Chakraborty et al. 2022) in training targets"
    key_correlation: ClassVar[float] = 0.45
    in_weights: ClassVar[bool] = True

    eps: float = 0.1
    tilt: float = 0.0
    placebos: int = 999
    date: str = ""
    key: ClientKey | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.eps < 1 or self.tilt < 0 or self.placebos < 1:
            raise SettingError(
                f"expected eps in (0, 1), tilt >= 0 and placebos >= 1, got {self.eps}, {self.tilt}, {self.placebos}"
            )
        if self.key is not None and self.placebos > len(self.key.ring.placebos):
            raise SettingError(
                f"the keyring holds {len(self.key.ring.placebos)} placebo keys, fewer than {self.placebos}; make it "
                "with more"
            )

    def mark(self, inputs: Array, answers: Floats) -> Floats:
        """Answers (n, k) moved by the key, the top class where it was: what a finished model is tuned towards.

        Raises:
            SettingError: no key.
            ShapeError: inputs or answers of another shape than the key was made for, or not finite.
        """
        key, rows = self.signed, np.array(answers, dtype=np.float64)
        if rows.shape != (len(inputs), key.ring.task.outputs) or not np.isfinite(rows).all():
            raise ShapeError(
                f"expected finite answers of shape ({len(inputs)}, {key.ring.task.outputs}), got {rows.shape}"
            )
        h = key.field(inputs)
        if key.ring.task.values:
            return rows + self.eps * key.ring.spread * np.tanh(h)
        return softly(rows, h, self.eps, BETA, RHO, hidden=False)

    def claim(self) -> Claim:
        """The claim on whoever learned from the marked targets; its placebos are other keys."""
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "key"}
        made = soft.claim(self.name, settings, self.signed, self.placebos)
        return replace(made, facts={**made.facts, "warnings": [] if self.date else [NO_DATE]})

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """As DynaMarks': correlation with the key's field of what unmarked models do not explain."""
        return soft.score(claim, answers)

    @property
    def signed(self) -> ClientKey:
        """Its key.

        Raises:
            SettingError: it has none.
        """
        if self.key is None:
            raise SettingError("imprint needs a key to mark or to claim; see `birthmark key new`")
        return self.key


@dataclass(frozen=True)
class ImprintLabels(Imprint):
    """The claim on suspects that show labels, by mixtures of held-out inputs: near-ties without end.

    The key's keyring holds the mixtures and unmarked models' answers to them
    (`birthmark.marks.keyring.logged`).

    Attributes:
        most: mixtures that are asked, those that unmarked models are most divided on.
    """

    name: ClassVar[str] = "imprint-labels"
    needs: ClassVar[Access] = Access.LABELS
    logged: ClassVar[bool] = True

    most: int = 1500

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most < soft.LEAST:
            raise SettingError(f"expected most >= {soft.LEAST}, got {self.most}")
        if self.key is not None and self.key.ring.task.values:
            raise SettingError("labels are classes: a key of real values has none; use imprint")

    def claim(self) -> Claim:
        """The claim on the mixtures that unmarked models are most divided on; no key is used in choosing."""
        key = self.signed
        source, references = key.ring.source, key.ring.references
        chosen = divided(Ties.of(source, 2.0), references)[: self.most]
        ring = replace(
            key.ring, queries=key.ring.queries[chosen], source=source[chosen], references=references[:, chosen]
        )
        return Imprint.claim(replace(self, key=replace(key, ring=ring)))

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """Sum over near-ties of how far the suspect leans, beyond what unmarked models foretell, to the key's side."""
        return soft.score_ties(claim, answers)
