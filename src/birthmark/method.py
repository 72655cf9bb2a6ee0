"""What a fingerprint method is: it makes claims and scores answers; it never judges."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from birthmark.claim import Candidate, Claim, Scores, one_by_one
from birthmark.settings import Configured
from birthmark.types import Access, Floats

if TYPE_CHECKING:
    from birthmark.workshop.owner import Owner

Retired = Mapping[str, bool | float]


class Method(Configured, ABC):
    """A frozen dataclass whose fields are its settings, nothing else.

    Class attributes:
        name: the file's stem, as on the command line.
        needs: the least access to a suspect.
        made_from: the least that a claim takes of source, twins and references: their labels, their answers
            (`birthmark.parties`), or their weights (an `Owner`, who can train more).
        tasks: "classification", "values", or both.
        any_outputs: whether suspects with another number of classes can be scored.
        any_inputs: whether queries are chosen from the pool as they are, so that they may be texts, records or tokens.
        source_paper: where it comes from, one line; "ours" if it is.
        crafted_against: whether queries are crafted against independent models. References resemble those and score
            lower than innocents of another kind do, so that ranks among references support nothing (docs/results.md).
        reruns: whether claims hold the twins' answers, so that `scores` can judge each twin by the claim without it.
        retired: settings of earlier versions, with the value that is now the rule.
    """

    needs: ClassVar[Access]
    made_from: ClassVar[Access] = Access.WEIGHTS
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    any_outputs: ClassVar[bool] = False
    any_inputs: ClassVar[bool] = False
    source_paper: ClassVar[str]
    crafted_against: ClassVar[bool] = False
    reruns: ClassVar[bool] = False
    retired: ClassVar[Retired] = {}

    @abstractmethod
    def fit(self, parties: "Owner", /, *, seed: int) -> Claim:
        """Make a claim and its placebos; same owner and seed, same bits; the source is left untouched."""

    @abstractmethod
    def score(self, claim: Claim, answers: Floats) -> Scores:
        """Score a suspect's answers (q', k) to the first q' of `claim.queries`; higher is closer to the source.

        A pure function of arrays, without torch, so that a judge can replay it. Classifiers' answers are
        probabilities (rows of top-k answers sum to less than one) or one-hot labels; others are values.

        Raises:
            ShapeError: fewer queries than the method can do anything with, or rows of another width.
        """

    def scores(self, claim: Claim, candidates: Sequence[Candidate]) -> list[Scores]:
        """Score several at once: a suspect, and innocents of the owner's by the claim without each.

        A rerun of the source's recipe is the nearest innocent there is; how close the left-out twins come to this very
        source is what `verify` holds a suspect against, beside the placebos. Twins come only where `reruns` says so.
        """
        return one_by_one(self.score, claim, candidates)
