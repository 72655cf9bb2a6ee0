"""Parents of methods: owners compared alike and centred by references, and queries crafted for each owner."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from birthmark.claim import Candidate, Claim, Scores
from birthmark.errors import DataError
from birthmark.method import Method
from birthmark.parties import Parties
from birthmark.scoring.matching import Asked, centred, interleaved, matches, of_owners
from birthmark.settings import Allowed
from birthmark.types import Access, Floats, Samples, Tensors
from birthmark.workshop.code import code_digest
from birthmark.workshop.cohort import recipe
from birthmark.workshop.owner import Cohort, Owner, gather


@dataclass(frozen=True)
class Centred(Method):
    """One set of queries for all owners; every owner has a weight in the suspect, less what references have of it.

    Attributes:
        queries: most queries of the whole test.
        placebos: number of twins; the smallest p is 1 / (placebos + 1).
        references: independent models that centre the scores and guard the verdict.
        centring: share of the references' mean score that is subtracted, 0 to 1.
    """

    needs: ClassVar[Access] = Access.LABELS
    allowed: ClassVar[Allowed] = {"queries": "[1, inf)", "placebos": "[0, inf)", "references": "[0, inf)"}

    queries: int = 500
    placebos: int = 19
    references: int = 8
    centring: float = 0.5

    @abstractmethod
    def weights(self, claim: Claim, answers: Floats) -> Floats:
        """Each owner's weight (m,) in answers (q', k) to the first q' queries.

        Raises:
            ShapeError: too few answers, or rows of another width.
        """

    def shown(self, references: Floats, answers: Floats) -> Floats:
        """The references' answers (r, q', k) in the suspect's form."""
        return references

    def weighed(self, claim: Claim, asked: Sequence[Asked]) -> list[Floats]:
        """The owners' weights in each of several answers; without an owner that is left out."""
        return [self.weights(claim, answers) for answers, _ in asked]

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """As `Method.score`."""
        return self.scores(claim, [Candidate(answers)])[0]

    def scores(self, claim: Claim, candidates: Sequence[Candidate]) -> list[Scores]:
        """As `Method.scores`; what references have of the owners is found once."""
        known = claim.references[: len(claim.references) if self.centring else 0, : len(candidates[0].answers)]
        shown, first = list(self.shown(known, candidates[0].answers)), len(claim.tensors.get("owners", ()))
        for c in candidates:
            if c.reference is not None and c.row == first + c.reference and shown:
                shown[c.reference] = c.answers  # the same numbers, weighed once
        found = centred(candidates, shown, partial(self.weighed, claim), self.centring)
        return [of_owners(scores, plain[0]) for scores, plain in found]

    def claimed(self, parties: Parties, seed: int, tensors: Tensors, references: Floats) -> Claim:
        """The claim of these tensors, with the answers (r, q, k) of references, if there are any."""
        more = {"references": references} if len(references) else {}
        return Claim(self.name, asdict(self), parties.task, seed, {**tensors, **more})


def labelled(method: Method, pool: Samples) -> None:
    """Raise DataError unless the pool has class labels."""
    if not pool.classes or not pool.labelled:
        raise DataError(
            f"{method.name} needs a pool whose inputs have class labels, got one without; give labels, or use kinship"
        )


@dataclass(frozen=True)
class Crafted(Method):
    """Queries that are crafted for each owner and scored one by one, by default as the share of matching labels.

    Attributes:
        queries: of each owner.
        placebos: twins that the same is done for; 0 for the paper's form: ranked among references.
        references: independent models of the null, unseen in crafting.
        steps, rate: of Adam.
    """

    needs: ClassVar[Access] = Access.LABELS
    allowed: ClassVar[Allowed] = {"queries": "[1, inf)", "placebos": "[0, inf)", "steps": "[0, inf)"}
    recipe: ClassVar[str] = ""

    queries: int = 100
    placebos: int = 0
    references: int = 19
    steps: int = 150
    rate: float = 0.05

    @abstractmethod
    def craft(self, owner: Owner, cohort: Cohort, seed: int) -> Tensors:
        """One owner's arrays by name, whose first axis is its queries, best first; "queries" is among them."""

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        """As `Method.fit`."""
        return self.enrolled(owner, self.craft, seed)

    def enrolled(self, owner: Owner, craft: Callable[[Owner, Cohort, int], Tensors], seed: int) -> Claim:
        """A claim of queries that are scored one by one: crafted for the source, and for each twin as a placebo.

        Args:
            craft: as the method of that name.
        """
        from birthmark.crafting.queries import kept, weak
        from birthmark.workshop.training import probabilities

        cohort = getattr(self, "cohort", "")  # without a cohort the owner's model is alone
        plan = recipe(cohort) if cohort else {}
        settings = asdict(self)
        made = {key: value for key, value in settings.items() if key != "references"}
        parts, warnings, sizes = [], list(weak(owner)), []
        for card in (None, *owner.twin_cards(self.placebos)):
            if cohort:
                mine = gather(owner, plan, card, twins=self.placebos)
            else:
                mine = Cohort((owner.make([card])[0] if card else owner.source,), ())
            what = [self.name, made, plan, seed, (card or owner.card).key]
            what.append(code_digest(type(self).__module__))
            parts.append(kept(owner, what, partial(craft, owner, mine, seed)))
            warnings += mine.warnings
            sizes.append({"derived": len(mine.derived), "independent": len(mine.independent)})
        tensors = interleaved(parts)
        if self.references:
            known = owner.references(self.references)
            tensors["references"] = np.stack([probabilities(model, tensors["queries"]) for model in known])
        return Claim(self.name, settings, owner.task, seed, tensors, {"cohort": sizes[0], "warnings": warnings})

    def score(self, claim: Claim, answers: Floats) -> Scores:
        """As `Method.score`."""
        return matches(claim, answers)


@dataclass(frozen=True)
class CraftedAgainst(Crafted):
    """Queries that are crafted with a cohort of derived and independent models.

    Attributes:
        placebos: twins that the same is done for, cohort and all; 0 for the paper's form: a raw score, inconclusive as
            a verdict.
        cohort: recipe of derived and independent models to craft with.
        candidates: candidates for each query that is kept, 1 and up.
        members: models of each side drawn at a step.
        compress: JPEG quality the queries must survive, 0 for none.
    """

    crafted_against: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {"candidates": "[1, inf)", "members": "[0, inf)", "compress": "[0, 95]"}

    cohort: str = "wide"
    candidates: float = 1.5
    members: int = 3
    compress: int = 0
