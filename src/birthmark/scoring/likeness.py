"""Which owner do plain answers resemble? What `kinship` and `lineage` score answers to shared queries by.

Ours. See `birthmark.methods.kinship`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birthmark.answers import as_labels, is_labels, rounding_step
from birthmark.claim import Claim
from birthmark.scoring.mixture import owner_mixture
from birthmark.types import Floats

# answered numbers a regressor; with fewer, treated references take more from the owners than they explain
EQUATIONS = 10
Places = slice | NDArray[np.int64]


CENTRING = 0.5  # share of the references' mean score that is subtracted where they are not regressed out


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


def closeness(owners: Floats, answers: Floats, values: bool, how: How, others: Floats | None = None) -> Floats:
    """Scores (m,) of answers (q, k) for each owner (m, q, k), uncentred: the owner mixture of comparable answers.

    Args:
        values: whether answers are real values; else they are probabilities, top-k probabilities or one-hot labels.
        others: answers (r, q, k) of independent models, regressed out.
    """
    if values:
        return owner_mixture(owners, answers, others=others, ridge=how.ridge, affine=how.affine)
    if is_labels(answers) or visible(answers).sum(axis=1).max() == 1:
        return owner_mixture(owners, as_labels(answers), ridge=how.ridge, scaled=False)
    eps, seen = max(how.eps, rounding_step(answers)), visible(answers)
    known = None if others is None else log_centred(others, eps, seen)
    mine, theirs = log_centred(owners, eps, seen), log_centred(answers, eps, seen)
    return owner_mixture(mine, theirs, others=known, ridge=how.ridge, scaled=False)


def centred_closeness(claim: Claim, answers: Floats, places: Places, how: How) -> tuple[Floats, Floats]:
    """The owners' scores for answers (q, k) to plain queries, less what references have in common with each owner, and
    uncentred.

    Of probabilities and values that common part is regressed out: references and treated references are regressors
    beside the owners, the treated ones from EQUATIONS answered numbers a regressor on. Of labels it is a share of the
    references' mean score on each owner.

    Args:
        claim: with "owners" (m, q, k), "references" and "treated".
        places: of the queries among the claim's that were answered.
    """
    values = claim.task.values
    owners, references = claim.tensors["owners"][:, places], claim.references[:, places]
    labels = not values and is_labels(answers)
    if how.regress and not labels:
        treated = claim.treated[:, :, places].reshape(-1, *references.shape[1:])
        enough = answers.size >= EQUATIONS * (len(owners) + len(references) + len(treated))
        others = np.concatenate([references, treated]) if enough else references
        scores = closeness(owners, answers, values, how, others)
        return scores, scores
    first = closeness(owners, answers, values, how)
    if not len(references) or not how.centring:
        return first, first
    known = as_labels(references) if labels else references
    return first - how.centring * np.mean([closeness(owners, rows, values, how) for rows in known], axis=0), first


def disagreement(owners: Floats) -> Floats:
    """How much owners' answers (m, n, k) differ on each input (n,); unchanged by any relabelling of the owners."""
    return np.asarray(((owners - owners.mean(axis=0)) ** 2).sum(axis=(0, 2)))


def log_centred(p: Floats, eps: float, seen: NDArray[np.bool_] | None = None) -> Floats:
    """log(p + eps) less its mean over the classes that are `seen` (default all); 0 for the others."""
    logs = np.log(np.maximum(p, 0) + eps)
    if seen is None:
        return np.asarray(logs - logs.mean(axis=-1, keepdims=True))
    mean = (logs * seen).sum(axis=-1, keepdims=True) / np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    return np.asarray((logs - mean) * seen)


def visible(answers: Floats) -> NDArray[np.bool_]:
    """Which classes the suspect shows: all, unless it answers only the top k, the same number of them in every row."""
    shown = answers > 0
    counts = shown.sum(axis=1)
    top_k = counts.max() < answers.shape[1] and (answers.sum(axis=1) < 1 - 1e-6).mean() > 0.5
    return shown if top_k else np.ones_like(shown)
