"""Lineage: one claim that sees copies and students, by kinks of the weights and by plain answers together.

Ours. `kinship` asks the inputs on which source and twins disagree most, and finds whoever learned what the source says;
`tafa` asks kinks of hidden units, and finds whoever carries its weights. Each misses what the other sees. Here half of
the queries are of either kind, in turns. Both give every owner o (source and twins) a weight w_o in the suspect, less
the share that references have in it; each is standardised over the owners, and an owner's score is the sum:

    score_o = (a_o - mean a) / sd a + (b_o - mean b) / sd b,        a of plain answers, b of kinks

Standardised over m owners no part can exceed sqrt(m - 1), so that neither drowns the other. The rule is symmetric in
the owners: one claim, one p, no second look to correct for. Labels say nothing about kinks; then plain answers decide
alone.

Cost: the twins. Use it when copies and students are both to be feared, and answers are values or probabilities; for
labels alone kinship asks better. What kinks find stems from a shared initialisation too: twins of a fine-tuned public
model must start from the same public weights.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import numpy as np

from birthmark.answers import is_labels
from birthmark.claim import Candidate, Claim, Scores
from birthmark.errors import SettingError, ShapeError
from birthmark.method import Method, Retired
from birthmark.scoring.kinks import KINKS, Rounds
from birthmark.scoring.likeness import CENTRING, How, centred_closeness, disagreement
from birthmark.scoring.matching import centred, of_owners
from birthmark.settings import Allowed
from birthmark.types import Access, Floats, Labels, Tensors
from birthmark.workshop.owner import Owner


@dataclass(frozen=True)
class Lineage(Method):
    """Kinks and plain answers in one claim, with twins as placebos.

    Attributes:
        queries: largest number of queries: whole rounds of kinks (three a kink, one kink of every owner a round) make
            up to half of them, plain inputs the rest.
        placebos: number of twins; the smallest p is 1 / (placebos + 1).
        references: independent models that are regressed out of plain answers, centre the kinks' weights and guard the
            verdict.
        treated: copies and students made of each reference, regressed out of plain answers as well, as in `kinship`.
        share: largest share of the pool that plain inputs may be, 0 to 1.
        eps: floor of probabilities in the logarithm, for plain answers.
        step, starts, reach, temper: of the kinks, as for `tafa`.
        ridge: of both regressions, in mean eigenvalues.
    """

    name: ClassVar[str] = "lineage"
    needs: ClassVar[Access] = Access.LABELS
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "values"})
    source_paper: ClassVar[str] = "ours"
    allowed: ClassVar[Allowed] = {
        **KINKS,
        "placebos": "[2, inf)",
        "references": "[0, inf)",
        "treated": "[1, inf)",
        "share": "(0, 1]",
        "eps": "(0, 1)",
    }
    reruns: ClassVar[bool] = True
    retired: ClassVar[Retired] = {"regress": True, "affine": True, "centring": CENTRING}

    queries: int = 600
    placebos: int = 19
    references: int = 8
    treated: int = 2
    share: float = 0.4
    eps: float = 0.01
    step: float = 0.0
    starts: str = "data"
    reach: float = 3.0
    temper: float = 0.5
    ridge: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 6 * (self.placebos + 1):
            raise SettingError(
                f"lineage: expected 6 queries for each of {self.placebos + 1} owners, got {self.queries} queries; "
                f"raise them to {6 * (self.placebos + 1)}"
            )

    @property
    def how(self) -> How:
        """How plain answers are compared, as in `kinship`."""
        return How(self.eps, self.ridge)

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting import kinks

        owners, pool, answer = owner.owners(self.placebos), owner.pool.inputs, owner.answers
        block = 3 * len(owners)
        where = kinks.Where(self.step, self.starts, self.reach)
        bends, clipped = kinks.rounds(owner, owners, self.queries // (2 * block), where, seed=seed)
        spread = disagreement(owner.owners_say(pool, self.placebos))
        most = min(self.queries - len(bends), max(1, int(self.share * len(pool))))
        plain = pool[np.argsort(-spread, kind="stable")[:most]]
        order = _in_turns(len(plain), len(bends), block)
        queries = np.concatenate([plain, bends])[order]
        at_bends = kinks.answered(bends, clipped, owners, answer)
        tensors: Tensors = {
            "queries": queries,
            "kink": (order >= len(plain)).astype(np.int8),
            "owners": owner.owners_say(queries, self.placebos),
            **{key: at_bends[key] for key in ("clipped",) if key in at_bends},
        }
        tensors |= owner.independents(queries, self.references, self.treated)
        return Claim(self.name, asdict(self), owner.task, seed, tensors)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return self.scores(claim, [Candidate(answers)])[0]

    def scores(self, claim: Claim, candidates: Sequence[Candidate]) -> list[Scores]:
        owners, answers = claim.tensors["owners"], candidates[0].answers
        if answers.ndim != 2 or answers.shape[1] != owners.shape[2]:
            raise ShapeError(f"lineage: expected answers of {owners.shape[2]} outputs, got shape {answers.shape}")
        kink = claim.tensors["kink"][: len(answers)].astype(bool)
        parts = []
        if (~kink).any():
            parts.append(centred_closeness(claim, candidates, np.flatnonzero(~kink), self.how))
        whole = int(kink.sum()) // (3 * len(owners)) * 3 * len(owners)
        if whole and (claim.task.values or not is_labels(answers)):
            parts.append(self._bends(claim, candidates, np.flatnonzero(kink)[:whole]))
        if not parts:
            raise ShapeError(
                f"lineage: expected answers to plain queries or to a whole round of kinks, got {len(answers)} "
                "answers; ask more"
            )
        return [
            of_owners(np.sum([_standard(weights) for weights, _ in both], axis=0), sum(plain[0] for _, plain in both))
            for both in zip(*parts, strict=True)
        ]

    def _bends(self, claim: Claim, candidates: Sequence[Candidate], places: Labels) -> list[tuple[Floats, Floats]]:
        """The owners' weights (m,), centred and plain, in answers to whole rounds of kinks."""
        clipped = claim.tensors["clipped"][:, : len(places)] if "clipped" in claim.tensors else None
        rounds = Rounds(claim.tensors["owners"][:, places], clipped, claim.task.values, self.temper, self.ridge)
        asked = [replace(c, answers=c.answers[places]) for c in candidates]
        return centred(asked, [rows[places] for rows in claim.references], rounds.weights, CENTRING)


def _standard(weights: Floats) -> Floats:
    return np.asarray((weights - weights.mean()) / max(float(weights.std()), 1e-12))


def _in_turns(plain: int, bends: int, block: int) -> Labels:
    """Places in plain-then-bends so that blocks of both come in turns, plain first, best first.

    The rest of the longer one last.
    """
    turn = np.concatenate([2 * (np.arange(plain) // block), 2 * (np.arange(bends) // block) + 1])
    return np.asarray(np.argsort(turn, kind="stable"))
