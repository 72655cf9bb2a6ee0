"""TAFA: kinks of hidden ReLU units as a fingerprint for any task (after Pan et al. 2022); a reconstruction, ours.

Only the abstract of the paper was available: a ReLU network of any output type, white box to the owner alone, without
training data. Everything below is our own, and what it measures says nothing about the paper's own algorithm.

A ReLU network is piecewise linear. Where a hidden unit switches, and by how much the output bends there, is written in
the weights and hardly moves when a copy is fine-tuned, pruned or quantised. For every owner o (source and twins) points
x on its own units' hyperplanes are found, with the direction d across; a large step h is taken to both sides:

    kappa(g) = T(g(x + h d)) + T(g(x - h d)) - 2 T(g(x)),      T = log p less its class mean, or the value itself

All owners answer all points, and one ridge regression (`birthmark.scoring.mixture`) gives each owner's share in the
suspect's responses; the source's share is ranked among its twins'. Every owner's points count as queries. They come in
turns, one kink of every owner a round, so that the whole rounds of a prefix make a fair smaller test.

Suspects that clip their inputs to the data's box are noticed: their answers lie nearer to what the owners answer to the
clipped points. Then the owners' answers to those are used, for all owners alike.

It finds lineage of the weights: also of weights that only share an initialisation, so twins of a fine-tuned public
model must start from the same public weights. It finds nothing in extracted classifiers. Use kinship for those.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from birthmark.claim import Claim
from birthmark.crafting.parents import Centred
from birthmark.errors import SettingError, ShapeError
from birthmark.scoring.kinks import KINKS, Rounds
from birthmark.scoring.matching import Asked
from birthmark.scoring.mixture import attractors
from birthmark.settings import Allowed
from birthmark.types import Access, Floats, Tensors
from birthmark.workshop.owner import Owner


@dataclass(frozen=True)
class Tafa(Centred):
    """Kink responses, with twins' kinks as placebos.

    Attributes:
        queries: largest number of queries of all owners together: three a kink, equally many kinks an owner.
        references: independent models that centre the scores, guard the verdict and show owners that innocents lean to.
        step: to either side of a kink, in standard deviations of the unit's input; 0 takes 1 for classifiers, .6 for
            values.
        starts: "data" (the owner's pool), "wide" (uniform over `reach` times the pool's box; for tables), or "noise"
            (uniform in the box; needs no data).
        reach: how far "wide" goes, in half-widths of the box.
        temper: responses of several outputs are divided by their norm to this power, 0 to 1.
        ridge: of the regression, in mean eigenvalues.
    """

    name: ClassVar[str] = "tafa"
    needs: ClassVar[Access] = Access.PROBS
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "values"})
    source_paper: ClassVar[str] = "after Pan et al. 2022 (reconstruction: ours)"
    reruns: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {**KINKS, "placebos": "[2, inf)"}

    queries: int = 600
    step: float = 0.0
    starts: str = "data"
    reach: float = 3.0
    temper: float = 0.5
    ridge: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 3 * (self.placebos + 1):
            raise SettingError(
                f"tafa: expected 3 queries for each of {self.placebos + 1} owners, got {self.queries} queries; raise "
                f"them to {3 * (self.placebos + 1)}"
            )

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting import kinks

        owners, answer = owner.owners(self.placebos), owner.answers
        where = kinks.Where(self.step, self.starts, self.reach)
        queries, clipped = kinks.rounds(owner, owners, self.queries // (3 * len(owners)), where, seed=seed)
        tensors: Tensors = {"queries": queries, **kinks.answered(queries, clipped, owners, answer)}
        claim = self.claimed(owner, seed, tensors, owner.references_say(queries, self.references))
        return replace(claim, facts=attractors(self.weighed(claim, [(rows, None) for rows in claim.references])))

    def weights(self, claim: Claim, answers: Floats) -> Floats:
        """Each owner's share (m,) in answers (q, k) to the first q queries; whole rounds count."""
        return self.weighed(claim, [(answers, None)])[0]

    def weighed(self, claim: Claim, asked: Sequence[Asked]) -> list[Floats]:
        """As `weights`, of several answers."""
        owners, answers = claim.tensors["owners"], asked[0][0]
        whole = 3 * len(owners)
        q = len(answers) // whole * whole
        if q == 0:
            raise ShapeError(
                f"tafa: expected answers to at least {whole} queries (one kink of each of the {len(owners)} owners), "
                f"got {len(answers)}"
            )
        if answers.ndim != 2 or answers.shape[1] != owners.shape[2]:
            raise ShapeError(f"tafa: expected answers of {owners.shape[2]} outputs, got shape {answers.shape}")
        clipped = claim.tensors["clipped"][:, :q] if "clipped" in claim.tensors else None
        rounds = Rounds(owners[:, :q], clipped, claim.task.values, self.temper, self.ridge)
        heads = {id(rows): rows[:q] for rows, _ in asked}
        return rounds.weights([(heads[id(rows)], twin) for rows, twin in asked])
