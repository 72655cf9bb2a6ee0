"""What a watermark is: it changes an API's answers under a key, and claims models trained on them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from birthmark.claim import Candidate, Claim, Scores, one_by_one
from birthmark.oracle import Oracle, Probabilities, Wrapper
from birthmark.types import Access, Array, Floats


class Watermark(ABC):
    """Deterministic and keyed: the same input under the same key is always answered alike.

    Class attributes:
        name, needs, any_outputs, source_paper: as of `Method`.
        key_correlation: of the scores, over keys, of unmarked models of one architecture and data; `supported` takes
            the margin that keeps one unlucky key from accusing all of them (`birthmark.stats.margin`).
            0 for keys without luck.
        logged: whether it claims on inputs that a client asked, which its key must hold then (`marks.keyring.logged`).
        retired: as of `Method`.
        in_weights: whether the source itself carries the mark, so that other models are the claim's unmarked ground.

    Attributes:
        lies: largest share of sure answers (99 % and more) whose top class the mark changes, 0 to 1.
    """

    name: ClassVar[str]
    needs: ClassVar[Access]
    any_outputs: ClassVar[bool] = False
    source_paper: ClassVar[str]
    key_correlation: ClassVar[float] = 0.0
    logged: ClassVar[bool] = False
    retired: ClassVar[Mapping[str, bool | float]] = {}
    in_weights: ClassVar[bool] = False

    @property
    def lies(self) -> float:
        return 0.0

    @abstractmethod
    def mark(self, inputs: Array, answers: Floats) -> Floats:
        """Mark answers (n, k) to inputs (n, *d): probabilities, one-hot labels, or values."""

    @abstractmethod
    def claim(self) -> Claim:
        """The claim on whoever learned from marked answers; its placebos are other keys."""

    @abstractmethod
    def score(self, claim: Claim, answers: Floats) -> Scores:
        """As `Method.score`."""

    def scores(self, claim: Claim, candidates: Sequence[Candidate]) -> list[Scores]:
        """As `Method.scores`."""
        return one_by_one(self.score, claim, candidates)


class Marked(Wrapper):
    """An oracle that answers with the mark."""

    def __init__(self, inner: Oracle, watermark: Watermark) -> None:
        super().__init__(Probabilities(inner))
        self.watermark = watermark

    def __call__(self, inputs: Array) -> Floats:
        return self.watermark.mark(inputs, self.inner(inputs))
