"""SAC: does the suspect relate inputs to each other as the source does?

Source: Guan, Liang & He, "Are you stealing my model? Sample correlation for fingerprinting deep neural networks",
NeurIPS 2022, arXiv:2210.15427; SAC-JC from their follow-up, arXiv:2412.20768. The formulas are those of the released
code as public descriptions give it; the papers' text was not read, so no equation is cited.

    C_ij = (1 - cos(o_i, o_j)) / 2,   d(g) = mean over i, j of |C^g_ij - C^f_ij|,   score = -d

o_i is the answer to query i: probabilities, or logits (here log-probabilities less their class mean, since APIs do not
send logits); for label-only suspects softmax(1 at the label, .01 elsewhere). "rbf" uses exp(-|o_i/|o_i| -
o_j/|o_j||^2). SAC-JC's code leaves out the division by 2, which ranks suspects alike. Correlations do not depend on the
number
of classes, so a suspect with another label set can be scored: transfer learning.

    sac-normal   plain held-out inputs          sac-jc       the same through JPEG
    sac-m        CutMix of held-out images      sac-source   inputs the source misclassifies
    sac-w        inputs misclassified in common by the source and students extracted from it

Placebos: sac-normal, sac-m and sac-jc put the same queries to every owner (source and twins); no owner had a part in
choosing them. In sac-source and sac-w every owner brings its own queries, chosen by the same rule. They are taken in
turns so that a prefix is a fair smaller test; all of them count as queries. `placebos=0` is the paper's form: the
source's queries alone. From each score a share `centring` of the references' mean is subtracted.

Departures: the released code correlates raw logits. Ours correlates probabilities by default, as APIs do not send
logits; `outputs="logits"` comes nearest. Its logarithm has a floor of 1e-4, or the answers' rounding step if larger.
`mix="sac"` cuts a 5x5 box at 28 pixels, the released code one of 4x4. Where too few inputs are misclassified in common,
those follow whose true class is least believed.

Cost: the twins, and for sac-w a student of each owner. Without placebos sac-m costs one pass over its queries. Use it
for suspects with another label set and for students; few queries say little. It fails where the source answers the
ground truth.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.answers import as_labels, is_labels
from birthmark.claim import Claim
from birthmark.crafting.images import cutmix, eight_bit, jpeg
from birthmark.crafting.parents import Centred, labelled
from birthmark.errors import ShapeError
from birthmark.parties import Parties
from birthmark.scoring.correlation import closenesses
from birthmark.scoring.matching import Asked
from birthmark.settings import Allowed
from birthmark.types import Access, Array, Floats, Labels, Tensors
from birthmark.workshop.owner import Owner

Bools = NDArray[np.bool_]
SAC = "Guan, Liang & He, NeurIPS 2022, arXiv:2210.15427"


@dataclass(frozen=True)
class Sac(Centred):
    """Sample correlation.

    Attributes:
        queries: most queries of the whole test, at least 2.
        placebos: number of twins; 0 for the paper's form, ranked among references.
        outputs: "probabilities" or "logits", what correlations are taken of.
        kernel: "cosine" or "rbf".
    """

    any_outputs: ClassVar[bool] = True
    source_paper: ClassVar[str] = SAC
    allowed: ClassVar[Allowed] = {
        "queries": "[2, inf)",
        "outputs": ("probabilities", "logits"),
        "kernel": ("cosine", "rbf"),
    }

    queries: int = 100
    centring: float = 1.0
    outputs: str = "probabilities"
    kernel: str = "cosine"

    def shown(self, references: Floats, answers: Floats) -> Floats:
        """The references' answers as labels if those are."""
        return as_labels(references) if is_labels(answers) else references

    def weights(self, claim: Claim, answers: Floats) -> Floats:
        """How close (m,) the answers' correlations are to each owner's, on as many of its own queries for all.

        Raises:
            ShapeError: some owner has fewer than two queries of its own among those answered.
        """
        return self.weighed(claim, [(answers, None)])[0]

    def weighed(self, claim: Claim, asked: Sequence[Asked]) -> list[Floats]:
        """As `weights`, of several answers."""
        answers, owners = asked[0][0], claim.tensors["owners"]
        belongs = claim.tensors["belongs"][:, : len(answers)]
        least = int(belongs.sum(axis=1).min()) if len(answers) else 0
        if answers.ndim != 2 or least < 2:
            raise ShapeError(
                f"{self.name}: {len(answers)} queries leave {least} of its own to some owner, and correlations take 2; "
                "ask more"
            )
        places = np.stack([np.flatnonzero(own)[:least] for own in belongs])
        unique = {id(rows): rows for rows, _ in asked}  # references are asked twice: as innocents and to centre
        found = np.empty((len(unique), len(owners)))
        for own in np.unique(places, axis=0):
            alike = np.flatnonzero((places == own).all(axis=1))
            mine, theirs = [owners[j][own] for j in alike], [rows[own] for rows in unique.values()]
            found[:, alike] = closenesses(mine, theirs, self.outputs, self.kernel)
        by_rows = dict(zip(unique, found, strict=True))
        return [by_rows[id(rows)] for rows, _ in asked]

    def with_answers(self, parties: Parties, owners: Floats, queries: Array, belongs: Bools, seed: int) -> Claim:
        """The claim of the owners' answers (m, q, k) to these queries, of which `belongs` (m, q) are each one's own."""
        tensors: Tensors = {"queries": queries, "owners": owners, "belongs": belongs}
        return self.claimed(parties, seed, tensors, parties.references_say(queries, self.references))


@dataclass(frozen=True)
class SacShared(Sac):
    """All owners are asked the same held-out inputs, drawn at random: no owner has a part in it."""

    made_from: ClassVar[Access] = Access.PROBS

    def fit(self, parties: Parties, *, seed: int) -> Claim:
        """As `Method.fit`."""
        chosen = np.random.default_rng(seed).permutation(len(parties.pool))[: self.queries]
        queries = self.queries_of(parties.pool.inputs[chosen], seed)
        everyone = np.ones((self.placebos + 1, len(queries)), dtype=bool)
        return self.with_answers(parties, parties.owners_say(queries, self.placebos), queries, everyone, seed)

    @abstractmethod
    def queries_of(self, drawn: Array, seed: int) -> Array:
        """The queries made of held-out inputs (n, *d)."""


@dataclass(frozen=True)
class SacNormal(SacShared):
    """SAC on plain held-out inputs."""

    name: ClassVar[str] = "sac-normal"
    any_inputs: ClassVar[bool] = True

    def queries_of(self, drawn: Array, seed: int) -> Array:
        return _ready(drawn)


@dataclass(frozen=True)
class SacM(SacShared):
    """SAC on CutMix images.

    Attributes:
        mix: "standard" CutMix, or "sac", the small corner patch of the released code.
    """

    name: ClassVar[str] = "sac-m"

    mix: str = "standard"

    def queries_of(self, drawn: Array, seed: int) -> Array:
        return eight_bit(cutmix(drawn, self.mix, seed=seed))


@dataclass(frozen=True)
class SacJc(SacShared):
    """SAC on JPEG-compressed images.

    Attributes:
        quality: of the JPEG files, 1 to 95.
    """

    name: ClassVar[str] = "sac-jc"
    source_paper: ClassVar[str] = "Guan, Liang, Wang & He, arXiv:2412.20768"
    allowed: ClassVar[Allowed] = {"quality": "[1, 95]"}

    quality: int = 25

    def queries_of(self, drawn: Array, seed: int) -> Array:
        return jpeg(drawn, self.quality)


@dataclass(frozen=True)
class SacSource(Sac):
    """SAC on inputs that each owner misclassifies; the queries are shared out among owners."""

    name: ClassVar[str] = "sac-source"
    any_inputs: ClassVar[bool] = True
    made_from: ClassVar[Access] = Access.PROBS

    queries: int = 500

    def fit(self, parties: Parties, *, seed: int) -> Claim:
        """As `Method.fit`.

        Raises:
            DataError: the pool has no labels to be wrong about.
        """
        labelled(self, parties.pool)
        inputs, truth = _ready(parties.pool.inputs), parties.pool.targets.astype(np.int64)
        shuffled = np.random.default_rng(seed).permutation(len(inputs))
        orders, common = [], []
        for answers in self.families_say(parties, inputs[shuffled]):
            order, wrong = by_common_mistakes(answers, truth[shuffled])
            orders.append(shuffled[order])
            common.append(wrong)
        chosen, belongs = in_turns(orders, self.queries)
        queries = inputs[chosen]
        claim = self.with_answers(parties, parties.owners_say(queries, self.placebos), queries, belongs, seed)
        return replace(claim, facts={"common_mistakes": common[0]})

    def families_say(self, parties: Parties, inputs: Array) -> Iterable[Floats]:
        """Answers (r, n, k) of each owner's model and then its students; the source's family first."""
        return parties.owners_say(inputs, self.placebos)[:, None]


@dataclass(frozen=True)
class SacW(SacSource):
    """SAC on inputs that each owner and its own students misclassify.

    Attributes:
        students: surrogates extracted from each owner, on the reserve.
    """

    name: ClassVar[str] = "sac-w"
    any_inputs: ClassVar[bool] = False
    made_from: ClassVar[Access] = Access.WEIGHTS
    allowed: ClassVar[Allowed] = {"students": "[1, inf)"}

    students: int = 1

    def families_say(self, parties: Parties, inputs: Array) -> Iterable[Floats]:
        from birthmark.workshop.cohort import student_cards
        from birthmark.workshop.training import probabilities

        assert isinstance(parties, Owner), "made from weights alone"
        n, k = self.placebos, self.students
        twins = parties.twin_cards(n)
        students = [student for card in (parties.card, *twins) for student in student_cards(card, k)]
        made = parties.make([*twins, *students])
        for i, model in enumerate([parties.source, *made[:n]]):
            yield np.stack([probabilities(one, inputs) for one in (model, *made[n + i * k : n + (i + 1) * k])])


def _ready(inputs: Array) -> Array:
    """Images exact in 8 bits, as they are sent; other inputs as they are."""
    return eight_bit(inputs) if inputs.ndim == 4 and inputs.dtype == np.float32 else inputs


def by_common_mistakes(rows: Floats, truth: Labels) -> tuple[Labels, int]:
    """Order of inputs (n,): first those that all models (r, n, k) misclassify, as they come, then by the largest
    probability that one of them gives the true class; and how many are misclassified in common.
    """
    wrong = (rows.argmax(axis=2) != truth).all(axis=0)
    believed = rows[:, np.arange(len(truth)), truth].max(axis=0)
    return np.argsort(np.where(wrong, -1.0, believed), kind="stable"), int(wrong.sum())


def in_turns(orders: Sequence[Labels], most: int) -> tuple[list[int], Bools]:
    """Take the owners' inputs in turns until `most` distinct ones are taken.

    Returns:
        Positions (q,) in the pool, and for each owner which of them are its own (m, q).
    """
    chosen: dict[int, int] = {}
    own: list[set[int]] = [set() for _ in orders]
    for turn in range(len(orders[0])):
        for mine, order in zip(own, orders, strict=True):
            if len(chosen) < most or int(order[turn]) in chosen:
                chosen.setdefault(int(order[turn]), len(chosen))
                mine.add(int(order[turn]))
        if len(chosen) >= most:
            break
    return list(chosen), np.array([[place in mine for place in chosen] for mine in own])
