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

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from birthmark.answers import is_labels
from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError, ShapeError
from birthmark.method import Method
from birthmark.scoring.kinks import bend_weights, check, met, others_rows
from birthmark.scoring.likeness import centred_closeness, disagreement
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Owner, independents


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
        regress: whether plain answers of references and treated references are regressors beside the owners', as in
            `kinship`.
        affine: of real values: whether a shift and stretch of the family's plain answers counts for nothing, as in
            `kinship`.
        centring: share of the references' mean weight that is subtracted, 0 to 1.
    """

    name: ClassVar[str] = "lineage"
    needs: ClassVar[Access] = Access.LABELS
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "values"})
    source_paper: ClassVar[str] = "ours"

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
    regress: bool = True
    affine: bool = True
    centring: float = 0.5

    def __post_init__(self) -> None:
        owners = self.placebos + 1
        if self.placebos < 2 or self.queries < 6 * owners or not 0 < self.share <= 1 or self.treated < 0:
            raise SettingError(
                "expected at least 2 placebos, 6 queries for each of the owners, a share in (0, 1] and 0 or more "
                f"treated, got {self.placebos}, {self.queries}, {self.share} and {self.treated}; raise queries to "
                f"{6 * max(owners, 3)}"
            )
        check(self.starts, min(self.step, self.reach, self.ridge), self.temper)

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting import kinks
        from birthmark.workshop.training import outputs, probabilities

        answer = outputs if owner.values else probabilities
        owners = [owner.source, *owner.twins(self.placebos)]
        block = 3 * len(owners)
        bends, clipped = kinks.rounds(
            owner, owners, self.queries // (2 * block), step=self.step, starts=self.starts, reach=self.reach, seed=seed
        )
        pool = owner.pool.inputs
        spread = disagreement(np.stack([answer(model, pool) for model in owners]))
        plain = pool[
            np.argsort(-spread, kind="stable")[: min(self.queries - len(bends), max(1, int(self.share * len(pool))))]
        ]
        order = _in_turns(len(plain), len(bends), block)
        queries = np.concatenate([plain, bends])[order]
        at_bends = kinks.answered(bends, clipped, owners, answer)
        tensors: dict[str, Any] = {
            "queries": queries,
            "kink": (order >= len(plain)).astype(np.int8),
            "owners": np.stack([answer(model, queries) for model in owners]),
            **{key: at_bends[key] for key in ("clipped",) if key in at_bends},
        }
        if self.references:
            tensors |= independents(owner, self.references, self.treated, lambda model: answer(model, queries))
        return Claim(self.name, asdict(self), owner.task, seed, tensors)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        owners = claim.tensors["owners"]
        if answers.ndim != 2 or answers.shape[1] != owners.shape[2]:
            raise ShapeError(f"lineage: expected answers of {owners.shape[2]} outputs, got shape {answers.shape}")
        parts = self._parts(claim, answers)
        scores = np.sum([_standard(weights) for weights, _ in parts], axis=0)
        return Scores(float(scores[0]), tuple(float(s) for s in scores[1:]), float(sum(plain[0] for _, plain in parts)))

    def _parts(self, claim: Claim, answers: Floats) -> list[tuple[Floats, Floats]]:
        """The owners' weights (m,), centred and plain, in plain answers, and in those to whole rounds of kinks where
        there are any.
        """
        kink = claim.tensors["kink"][: len(answers)].astype(bool)
        owners, values = claim.tensors["owners"][:, : len(answers)], claim.task.values
        references = claim.references[:, : len(answers)]
        found = []
        if (~kink).any():
            found.append(
                centred_closeness(
                    claim,
                    answers[~kink],
                    np.flatnonzero(~kink),
                    eps=self.eps,
                    ridge=self.ridge,
                    centring=self.centring,
                    regress=self.regress,
                    affine=self.affine,
                )
            )
        whole = int(kink.sum()) // (3 * len(owners)) * 3 * len(owners)
        if whole and (values or not is_labels(answers)):
            rows = np.flatnonzero(kink)[:whole]
            tensors = {
                "owners": owners[:, rows],
                **{key: claim.tensors[key] for key in ("clipped",) if key in claim.tensors},
            }

            def weights(bends: Floats) -> Floats:
                return bend_weights(met(tensors, bends), bends, values, temper=self.temper, ridge=self.ridge)

            plain = weights(answers[rows])
            common = (
                np.mean([weights(theirs[rows]) for theirs in references], axis=0)
                if len(references) and self.centring
                else 0.0
            )
            found.append((plain - self.centring * common, plain))
        if not found:
            raise ShapeError(
                f"lineage: expected answers to plain queries or to a whole round of kinks, got {len(answers)} "
                "answers; ask more"
            )
        return found

    def left_out(self, claim: Claim, place: int, q: int) -> tuple[Claim, Floats] | None:
        owners, kink = claim.tensors["owners"], claim.tensors["kink"].astype(bool)
        if len(owners) < 4:
            return None
        bends = others_rows(int(kink[:q].sum()), len(owners), place + 1)
        kept = np.sort(np.concatenate([np.flatnonzero(~kink[:q]), np.flatnonzero(kink)[bends]]))
        rest = {
            "queries": claim.queries[kept],
            "kink": claim.tensors["kink"][kept],
            "owners": np.delete(owners, place + 1, axis=0)[:, kept],
            "references": claim.references[:, kept],
            "treated": claim.treated[:, :, kept],
        }
        if "clipped" in claim.tensors:
            rest["clipped"] = np.delete(claim.tensors["clipped"], place + 1, axis=0)[:, bends]
        return replace(claim, tensors=rest), owners[place + 1, kept]


def _standard(weights: Floats) -> Floats:
    return np.asarray((weights - weights.mean()) / max(float(weights.std()), 1e-12))


def _in_turns(plain: int, bends: int, block: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Places in plain-then-bends so that blocks of both come in turns, plain first, best first.

    The rest of the longer one last.
    """
    turn = np.concatenate([2 * (np.arange(plain) // block), 2 * (np.arange(bends) // block) + 1])
    return np.asarray(np.argsort(turn, kind="stable"))
