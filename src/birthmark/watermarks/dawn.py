"""DAWN: a keyed hash of the input picks a small share of queries, and those are answered with a wrong class.

Source: Szyller, Atli, Marchal & Asokan, "DAWN: Dynamic Adversarial Watermarking of Neural Networks", ACM MM 2021,
arXiv:1906.00830. The paper's text was not read; the rule is the one of its public code: a keyed hash of the input
decides whether to lie and which class to say. A thief who trains on the answers memorises the lies.
Departure: the wrong class changes places with the top one, so probabilities still sum to one; and the verdict ranks the
matches among placebo keys' wrong classes at the same inputs instead of comparing them with a threshold.
"""

import hmac
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Claim, Scores
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.marks.keyring import ClientKey
from birthmark.marks.keys import Secret
from birthmark.types import Access, Array, Floats, Labels
from birthmark.watermark import Watermark

LEAST = 10  # wrong answers that a claim needs


@dataclass(frozen=True)
class DAWN(Watermark):
    """The published baseline of label flipping.

    Attributes:
        rate: share of queries answered wrongly, 0 to 1; accuracy falls by about as much.
        step: inputs are rounded to multiples of it before hashing, so that float formatting does not change the answer.
        placebos: keys to rank among.
        key: a client's key; needed for marks and claims, not for scoring.
    """

    name: ClassVar[str] = "dawn"
    needs: ClassVar[Access] = Access.LABELS
    logged: ClassVar[bool] = True
    source_paper: ClassVar[str] = "Szyller et al. 2021, arXiv:1906.00830; the rule of the public code"

    rate: float = 0.01
    step: float = 1 / 64
    placebos: int = 999
    key: ClientKey | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1 or self.step <= 0 or self.placebos < 1:
            raise SettingError(
                f"expected rate in (0, 1), step > 0 and placebos >= 1, got {self.rate}, {self.step}, {self.placebos}"
            )

    @property
    def lies(self) -> float:
        return self.rate

    def mark(self, inputs: Array, answers: Floats) -> Floats:
        """Answers (n, k) in which picked rows say a wrong class."""
        key = self._key()
        rows = np.array(answers, dtype=np.float64)
        if rows.shape != (len(inputs), key.ring.task.outputs) or not np.isfinite(rows).all():
            raise ShapeError(
                f"expected finite answers of shape ({len(inputs)}, {key.ring.task.outputs}), got {rows.shape}"
            )
        picked, wrong = self._lies(key.secret, inputs, rows.argmax(axis=1), rows.shape[1])
        n, top = np.flatnonzero(picked), rows.argmax(axis=1)
        rows[n, top[n]], rows[n, wrong[n]] = rows[n, wrong[n]], rows[n, top[n]]
        return rows

    def claim(self) -> Claim:
        """The claim on the lies among the keyring's queries, which must be inputs the client asked
        (`birthmark.marks.keyring.logged`).

        Raises:
            DataError: fewer than 10 lies among them.
        """
        key = self._key()
        ring = key.ring
        top = ring.source.argmax(axis=1)
        picked, wrong = self._lies(key.secret, ring.queries, top, ring.task.outputs)
        if picked.sum() < LEAST:
            raise DataError(
                f"expected at least {LEAST} marked answers among the logged inputs, found {picked.sum()} in "
                f"{len(top)}; DAWN needs more queries or a higher rate"
            )
        targets = [wrong[picked]]
        for i in range(self.placebos):
            targets.append(self._lies(ring.placebo(i), ring.queries[picked], top[picked], ring.task.outputs)[1])
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "key"}
        tensors: dict[str, NDArray[np.generic]] = {
            "queries": ring.queries[picked],
            "targets": np.array(targets),
            "references": ring.references[:, picked],
        }
        return Claim(
            self.name, settings, ring.task, ring.seed, tensors, {"client": key.client, "key": key.secret.fingerprint}
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """Share of lies that the suspect repeats, 0 to 1; and of each placebo key's lies."""
        if not len(answers):
            raise ShapeError("dawn needs at least one answer, got none")
        found = (answers.argmax(axis=1) == claim.tensors["targets"][:, : len(answers)]).mean(axis=1)
        return Scores(float(found[0]), tuple(float(value) for value in found[1:]), float(found[0]))

    def _lies(self, secret: Secret, inputs: Array, top: Labels, outputs: int) -> tuple[NDArray[np.bool_], Labels]:
        """Whether each input is lied about, and with which class other than its top one."""
        grid = np.round(np.asarray(inputs, np.float64) / self.step).astype("<i8")
        draws = np.array(
            [np.frombuffer(hmac.new(secret.value, row.tobytes(), sha256).digest()[:16], "<u8") for row in grid]
        ).reshape(-1, 2)
        shift = 1 + (draws[:, 1] % np.uint64(outputs - 1)).astype(np.int64)
        return draws[:, 0] < self.rate * 2.0**64, (top + shift) % outputs

    def _key(self) -> ClientKey:
        if self.key is None:
            raise SettingError("dawn needs a client's key to mark or to claim; see `birthmark key new`")
        return self.key
