"""Which owner do plain answers resemble? What `kinship` and `lineage` score answers to shared queries by.

Ours. See `birthmark.methods.kinship`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from birthmark.answers import as_labels, is_labels, rounding_step
from birthmark.claim import Candidate, Claim
from birthmark.scoring.mixture import products, scaled_products
from birthmark.types import Floats, Labels

# answered numbers a regressor; with fewer, treated references take more from the owners than they explain
EQUATIONS = 10
CENTRING = 0.5  # share of the references' mean score that is subtracted where they are not regressed out
CHUNK = 1 << 18  # numbers compared at a time: about what a processor's cache holds


@dataclass(frozen=True)
class How:
    """How likeness is measured.

    Attributes:
        eps: floor of probabilities in the logarithm; raised to the rounding step of the answers.
        ridge: of the regression, in mean eigenvalues.
        centring: of labels, or without `regress`: share of the references' mean score that is subtracted, 0 to 1.
        regress: whether references and treated references are regressors beside the owners; of labels they never are,
            which gained nothing.
        affine: of values: whether a shift and stretch of the family's answers is taken out; of probabilities it gained
            nothing.
    """

    eps: float = 0.01
    ridge: float = 0.1
    centring: float = CENTRING
    regress: bool = True
    affine: bool = True


class _View(NamedTuple):
    """How answers are compared: values and labels as they are, probabilities by their logarithms.

    Attributes:
        kind: "values", "labels" (one-hot), "top" (the first class alone) or "logs".
        eps: floor of probabilities.
        seen: which classes (q, k) the suspect shows; None for all.
    """

    kind: str
    eps: float = 0.0
    seen: NDArray[np.bool_] | None = None


class _Question(NamedTuple):
    """One regression: how much of each owner is in answers (q, k)?

    Attributes:
        row: the place of these very answers among the claim's own, owners first; None for others.
        twin: the owner left out.
        others: regressors beside the owners, by number among references and treated references.
        independents: how many of those may be regressors: none, the references, or the treated ones, too.
    """

    view: _View
    answers: Floats
    row: int | None = None
    twin: int | None = None
    others: Sequence[int] = ()
    independents: int = 0

    @property
    def company(self) -> tuple[object, ...]:
        """Questions of equal company share their inner products."""
        twin = self.twin if self.view.kind == "values" else None  # values are scaled by the owners that there are
        return self.view.kind, self.view.eps, id(self.view.seen), self.independents, twin


def centred_closeness(
    claim: Claim, candidates: Sequence[Candidate], places: Labels, how: How
) -> list[tuple[Floats, Floats]]:
    """Of each candidate the owners' scores for its answers to plain queries, less what references have in common with
    each owner, and uncentred.

    Of probabilities and values that common part is regressed out: references and treated references are regressors
    beside the owners, the treated ones from EQUATIONS answered numbers a regressor on. Of labels it is a share of the
    references' mean score on each owner.

    Args:
        claim: with "owners" (m, q, k), "references" and "treated".
        places: of the queries among the claim's that are compared.
    """

    @cache
    def known(labels: bool) -> list[_Question]:
        shown = as_labels(claim.references) if labels else claim.references
        return [_Question(_view(rows[places], claim.task.values, how), rows) for rows in shown]

    groups = [_questions(claim, c, places, how, known) for c in candidates]
    weights = iter(_weights(claim, list(chain(*groups)), places, how))
    return [_less([next(weights) for _ in group], how.centring) for group in groups]


def _questions(
    claim: Claim, c: Candidate, places: Labels, how: How, known: Callable[[bool], list[_Question]]
) -> list[_Question]:
    """A candidate's question, and those of the references that centre it, all without the same twin."""
    view = _view(c.answers[places], claim.task.values, how)
    labels = view.kind == "labels"
    if view.kind == "top":
        c, view = replace(c, answers=as_labels(c.answers), row=None), _View("labels")
    if how.regress and not labels:
        return [_regressing(claim, c, view, len(places))]
    others = [one for i, one in enumerate(known(labels)) if i != c.reference] if how.centring else []
    return [one._replace(twin=c.twin) for one in (_Question(view, c.answers), *others)]


def _less(weights: Sequence[Floats], share: float) -> tuple[Floats, Floats]:
    """The first of the weights less a share of the others' mean, and the first."""
    first, *others = weights
    return (first - share * np.mean(others, axis=0) if others else first), first


def _regressing(claim: Claim, c: Candidate, view: _View, q: int) -> _Question:
    """The question that regresses references out, and what was made of them where answers hold enough numbers."""
    if view.kind == "labels":
        return _Question(view, c.answers, twin=c.twin)
    r, t = claim.treated.shape[:2]
    kept = [i for i in range(r) if i != c.reference]
    made = [r + i * t + s for i in kept for s in range(t)]
    owners = len(claim.tensors["owners"]) - (c.twin is not None)
    if q * claim.task.outputs < EQUATIONS * (owners + len(kept) + len(made)):
        return _Question(view, c.answers, c.row, c.twin, kept, r)
    return _Question(view, c.answers, c.row, c.twin, kept + made, r + r * t)


def _weights(claim: Claim, questions: Sequence[_Question], places: Labels, how: How) -> list[Floats]:
    """The owners' weights for each question."""
    companies: dict[tuple[object, ...], list[int]] = {}
    for i, question in enumerate(questions):
        companies.setdefault(question.company, []).append(i)
    found: dict[int, Floats] = {}
    for numbers in companies.values():
        own = [questions[i] for i in numbers]
        answer = _of_values if own[0].view.kind == "values" else _of_shares
        found |= zip(numbers, answer(claim, own, places, how), strict=True)
    return [found[i] for i in range(len(questions))]


def _of_values(claim: Claim, questions: Sequence[_Question], places: Labels, how: How) -> Iterator[Floats]:
    """Weights in real values, for questions that leave out the same owner."""
    twin, owners = questions[0].twin, claim.tensors["owners"][:, places]
    owners = owners if twin is None else np.delete(owners, twin, axis=0)
    others = [rows[places] for rows in _independents(claim)[: questions[0].independents]]
    sums = scaled_products(owners, others, [one.answers[places] for one in questions], affine=how.affine)
    for column, one in enumerate(questions, len(owners) + len(others)):
        yield sums.weights(column, how.ridge, others=[len(owners) + i for i in one.others])


def _of_shares(claim: Claim, questions: Sequence[_Question], places: Labels, how: How) -> Iterator[Floats]:
    """Weights in probabilities or labels; the claim's own answers are compared with no copy of theirs."""
    own = [*claim.tensors["owners"], *_independents(claim)[: questions[0].independents]]
    m, n = len(claim.tensors["owners"]), len(own)
    columns: dict[int, Floats] = {}
    for one in questions:
        if one.row is None or one.row >= n:
            columns.setdefault(id(one.answers), one.answers)
    place = {key: n + i for i, key in enumerate(columns)}
    sums = products(_chunks([*own, *columns.values()], n, questions[0].view, places), m, n)
    for one in questions:
        column = place[id(one.answers)] if one.row is None or one.row >= n else one.row
        yield sums.weights(column, how.ridge, twin=one.twin, others=[m + i for i in one.others])


def _independents(claim: Claim) -> list[Floats]:
    return [*claim.references, *chain(*claim.treated)]


def _chunks(rows: Sequence[Floats], n: int, view: _View, places: Labels) -> Iterator[Floats]:
    """Answers (q, k) of all as they are compared, (rows, entries), some queries at a time.

    How many depends on the `n` regressors alone, so that sums do not depend on what else is compared.
    """
    size = max(1, CHUNK // (n * rows[0].shape[1]))
    for start in range(0, len(places), size):
        here = places[start : start + size]
        if view.seen is None:
            part = np.stack([row[here] for row in rows], dtype=np.float64)
            yield (log_centred(part, view.eps) if view.eps else part).reshape(len(rows), -1)
        elif (seen := view.seen[start : start + size]).any():
            queries, classes = np.nonzero(seen)
            yield _shown(np.stack([row[here[queries], classes] for row in rows], dtype=np.float64), view.eps, queries)


def log_centred(p: Floats, eps: float) -> Floats:
    """log(p + eps) less its mean over classes; p is overwritten."""
    np.maximum(p, 0, out=p)
    p += eps
    np.log(p, out=p)
    p -= p.mean(axis=-1, keepdims=True)
    return p


def _shown(p: Floats, eps: float, queries: Labels) -> Floats:
    """log(p + eps) less its mean over the entries (rows, entries) of the same query."""
    logs = np.log(np.maximum(p, 0) + eps)
    _, first, sizes = np.unique(queries, return_index=True, return_counts=True)
    return np.asarray(logs - np.repeat(np.add.reduceat(logs, first, axis=1) / sizes, sizes, axis=1))


def disagreement(owners: Floats) -> Floats:
    """How much owners' answers (m, n, k) differ on each input (n,); unchanged by any relabelling of the owners."""
    size = max(1, CHUNK // (len(owners) * owners.shape[2]))
    parts = (np.asarray(owners[:, i : i + size], dtype=np.float64) for i in range(0, owners.shape[1], size))
    return np.concatenate([((rows - rows.mean(axis=0)) ** 2).sum(axis=(0, 2)) for rows in parts])


def _view(answers: Floats, values: bool, how: How) -> _View:
    """How answers (q, k) are compared: all classes, unless the suspect answers only the top k, the same number of them
    in every row.
    """
    if values:
        return _View("values")
    if is_labels(answers):
        return _View("labels")
    eps = max(how.eps, rounding_step(answers))
    if (answers[0] > 0).all():
        return _View("logs", eps)
    seen = answers > 0
    most = seen.sum(axis=1).max()
    if most == answers.shape[1] or (answers.sum(axis=1) < 1 - 1e-6).mean() <= 0.5:
        return _View("logs", eps)
    return _View("logs", eps, seen) if most > 1 else _View("top")
