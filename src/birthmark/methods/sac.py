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
choosing them. sac-source and sac-w let every owner bring its own queries, chosen by the same rule, taken in turns so
that a prefix is a fair smaller test; all of them count as queries. `placebos=0` is the paper's form: the source's
queries alone. From each score a share `centring` of the references' mean is subtracted.

Departures: the released code correlates raw logits. Ours correlates probabilities by default, as APIs do not send
logits; `outputs="logits"` comes nearest. Its logarithm has a floor of 1e-4, or the answers' rounding step if larger.
`mix="sac"` cuts a 5x5 box at 28 pixels, the released code one of 4x4. Where too few inputs are misclassified in common,
those follow whose true class is least believed.

Cost: the twins, and for sac-w a student of each owner. Without placebos sac-m costs one pass over its queries. Use it
for suspects with another label set and for students; few queries say little. It fails where the source answers the
ground truth.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.answers import as_labels, is_labels
from birthmark.claim import Claim, Scores
from birthmark.crafting.images import cutmix, eight_bit, jpeg
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.method import Method
from birthmark.scoring.correlation import closeness
from birthmark.types import Access, Array, Floats, Labels
from birthmark.workshop.owner import Owner

if TYPE_CHECKING:
    from torch import nn

Bools = NDArray[np.bool_]
SAC = "Guan, Liang & He, NeurIPS 2022, arXiv:2210.15427"


@dataclass(frozen=True)
class SacNormal(Method):
    """SAC on plain held-out inputs.

    Attributes:
        queries: most queries of the whole test, at least 2.
        placebos: number of twins; 0 for the paper's form, ranked among references.
        references: independent models that centre the scores and guard the verdict.
        outputs: "probabilities" or "logits", what correlations are taken of.
        kernel: "cosine" or "rbf".
        centring: share of the references' mean score that is subtracted, 0 to 1.
    """

    name: ClassVar[str] = "sac-normal"
    needs: ClassVar[Access] = Access.LABELS
    any_outputs: ClassVar[bool] = True
    source_paper: ClassVar[str] = SAC

    queries: int = 100
    placebos: int = 19
    references: int = 8
    outputs: str = "probabilities"
    kernel: str = "cosine"
    centring: float = 1.0

    def __post_init__(self) -> None:
        check(self)

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        return shared(self, owner, eight_bit(drawn(owner, self.queries, seed)), seed)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return scores(self, claim, answers)


@dataclass(frozen=True)
class SacM(Method):
    """SAC on CutMix images.

    Attributes:
        queries, placebos, references, outputs, kernel, centring: as in sac-normal.
        mix: "standard" CutMix, or "sac", the small corner patch of the released code.
    """

    name: ClassVar[str] = "sac-m"
    needs: ClassVar[Access] = Access.LABELS
    any_outputs: ClassVar[bool] = True
    source_paper: ClassVar[str] = SAC

    queries: int = 100
    placebos: int = 19
    references: int = 8
    outputs: str = "probabilities"
    kernel: str = "cosine"
    centring: float = 1.0
    mix: str = "standard"

    def __post_init__(self) -> None:
        check(self)

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        return shared(self, owner, eight_bit(cutmix(drawn(owner, self.queries, seed), self.mix, seed=seed)), seed)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return scores(self, claim, answers)


@dataclass(frozen=True)
class SacJc(Method):
    """SAC on JPEG-compressed images.

    Attributes:
        queries, placebos, references, outputs, kernel, centring: as in sac-normal.
        quality: of the JPEG files, 1 to 95.
    """

    name: ClassVar[str] = "sac-jc"
    needs: ClassVar[Access] = Access.LABELS
    any_outputs: ClassVar[bool] = True
    source_paper: ClassVar[str] = "Guan, Liang, Wang & He, arXiv:2412.20768"

    queries: int = 100
    placebos: int = 19
    references: int = 8
    outputs: str = "probabilities"
    kernel: str = "cosine"
    centring: float = 1.0
    quality: int = 25

    def __post_init__(self) -> None:
        check(self)
        if not 1 <= self.quality <= 95:
            raise SettingError(f"expected a JPEG quality from 1 to 95, got {self.quality}")

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        return shared(self, owner, jpeg(drawn(owner, self.queries, seed), self.quality), seed)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return scores(self, claim, answers)


@dataclass(frozen=True)
class SacSource(Method):
    """SAC on inputs that each owner misclassifies.

    Attributes:
        queries, placebos, references, outputs, kernel, centring: as in sac-normal; the queries are shared out among
            owners.
    """

    name: ClassVar[str] = "sac-source"
    needs: ClassVar[Access] = Access.LABELS
    any_outputs: ClassVar[bool] = True
    source_paper: ClassVar[str] = SAC

    queries: int = 500
    placebos: int = 19
    references: int = 8
    outputs: str = "probabilities"
    kernel: str = "cosine"
    centring: float = 1.0

    def __post_init__(self) -> None:
        check(self)

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        return separate(self, owner, [[model] for model in (owner.source, *owner.twins(self.placebos))], seed)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return scores(self, claim, answers)


@dataclass(frozen=True)
class SacW(Method):
    """SAC on inputs that each owner and its own students misclassify.

    Attributes:
        queries, placebos, references, outputs, kernel, centring: as in sac-source.
        students: surrogates extracted from each owner, on the reserve.
    """

    name: ClassVar[str] = "sac-w"
    needs: ClassVar[Access] = Access.LABELS
    any_outputs: ClassVar[bool] = True
    source_paper: ClassVar[str] = SAC

    queries: int = 500
    placebos: int = 19
    references: int = 8
    outputs: str = "probabilities"
    kernel: str = "cosine"
    centring: float = 1.0
    students: int = 1

    def __post_init__(self) -> None:
        check(self)
        if self.students < 1:
            raise SettingError(
                f"expected at least 1 student of each owner, got {self.students}; without students use sac-source"
            )

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.workshop.cohort import student_cards, twin_cards

        twins = twin_cards(owner.card, self.placebos)
        students = [student for card in (owner.card, *twins) for student in student_cards(card, self.students)]
        made = owner.make([*twins, *students])
        owners, k = [owner.source, *made[: self.placebos]], self.students
        families = [
            [model, *made[self.placebos + i * k : self.placebos + (i + 1) * k]] for i, model in enumerate(owners)
        ]
        return separate(self, owner, families, seed)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return scores(self, claim, answers)


Sac = SacNormal | SacM | SacJc | SacSource | SacW


def check(method: Sac) -> None:
    """Raise SettingError for settings out of range that all variants share."""
    if method.queries < 2 or method.placebos < 0 or method.references < 0:
        raise SettingError(
            f"{method.name}: expected queries >= 2, placebos and references >= 0, got {method.queries}, "
            f"{method.placebos}, {method.references}"
        )
    if method.outputs not in ("probabilities", "logits") or method.kernel not in ("cosine", "rbf"):
        raise SettingError(
            f"{method.name}: expected outputs 'probabilities' or 'logits' and kernel 'cosine' or 'rbf', got "
            f"{method.outputs!r} and {method.kernel!r}"
        )


def drawn(owner: Owner, n: int, seed: int) -> Array:
    """`n` inputs of the pool at random: no owner has a part in it."""
    return owner.pool.inputs[np.random.default_rng(seed).permutation(len(owner.pool))[:n]]


def shared(method: Sac, owner: Owner, queries: Array, seed: int) -> Claim:
    """A claim in which all owners are asked the same queries."""
    everyone = np.ones((method.placebos + 1, len(queries)), dtype=bool)
    return _claim(method, owner, [owner.source, *owner.twins(method.placebos)], queries, everyone, seed)


def separate(method: Sac, owner: Owner, families: "Sequence[Sequence[nn.Module]]", seed: int) -> Claim:
    """A claim in which every owner brings the inputs that it and its students misclassify.

    Args:
        families: each owner's model, then its students; the source's family first.

    Raises:
        DataError: the pool has no labels to be wrong about.
    """
    from birthmark.workshop.training import probabilities

    inputs, truth = eight_bit(owner.pool.inputs), owner.pool.targets.astype(np.int64)
    if owner.pool.classes == 0:
        raise DataError(f"{method.name} needs a pool of inputs with class labels, got real-valued targets; use kinship")
    shuffled = np.random.default_rng(seed).permutation(len(inputs))
    orders, common = [], []
    for family in families:
        rows = np.stack([probabilities(model, inputs[shuffled]) for model in family])
        order, wrong = by_common_mistakes(rows, truth[shuffled])
        orders.append(shuffled[order])
        common.append(wrong)
    chosen, belongs = in_turns(orders, method.queries)
    facts = {"common_mistakes": common[0]}
    return _claim(method, owner, [family[0] for family in families], inputs[chosen], belongs, seed, facts)


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


def _claim(
    method: Sac,
    owner: Owner,
    owners: "Sequence[nn.Module]",
    queries: Array,
    belongs: Bools,
    seed: int,
    facts: dict[str, int] | None = None,
) -> Claim:
    from birthmark.workshop.training import probabilities

    tensors: dict[str, NDArray[Any]] = {
        "queries": queries,
        "owners": np.stack([probabilities(model, queries) for model in owners]),
        "belongs": belongs,
    }
    if method.references:
        tensors["references"] = np.stack(
            [probabilities(model, queries) for model in owner.references(method.references)]
        )
    return Claim(method.name, asdict(method), owner.task, seed, tensors, facts or {})


def scores(method: Sac, claim: Claim, answers: Floats) -> Scores:
    """Centred scores of answers (q', k') to the first q' queries, each owner on its own ones among them.

    Raises:
        ShapeError: some owner has fewer than two queries of its own among the first q'.
    """
    belongs = claim.tensors["belongs"][:, : len(answers)]
    least = int(belongs.sum(axis=1).min()) if len(answers) else 0
    if answers.ndim != 2 or least < 2:
        raise ShapeError(
            f"{method.name}: {len(answers)} queries leave {least} of its own to some owner, and correlations take 2; "
            "ask more"
        )
    places = [np.flatnonzero(own)[:least] for own in belongs]  # as many for every owner
    plain = _closeness(method, claim, places, answers)
    if not len(claim.references) or not method.centring:
        return Scores(float(plain[0]), tuple(float(s) for s in plain[1:]), float(plain[0]))
    others = as_labels(claim.references) if is_labels(answers) else claim.references
    common = np.mean([_closeness(method, claim, places, rows) for rows in others[:, : len(answers)]], axis=0)
    centred = plain - method.centring * common
    return Scores(float(centred[0]), tuple(float(s) for s in centred[1:]), float(plain[0]))


def _closeness(method: Sac, claim: Claim, places: Sequence[Labels], answers: Floats) -> Floats:
    owners = claim.tensors["owners"]
    return np.array(
        [
            closeness(rows[own], answers[own], method.outputs, method.kernel)
            for rows, own in zip(owners, places, strict=True)
        ]
    )
