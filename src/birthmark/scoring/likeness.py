"""Which owner do plain answers resemble? What `kinship` and `lineage` score answers to shared queries by.

Ours. See `birthmark.methods.kinship`.
"""

from typing import Any

import numpy as np

from birthmark.answers import as_labels, is_labels, rounding_step
from birthmark.claim import Claim
from birthmark.scoring.mixture import owner_mixture
from birthmark.types import Floats

EQUATIONS = (
    10  # answered numbers a regressor; with fewer, treated references take more from the owners than they explain
)
Rows = slice | np.ndarray[Any, np.dtype[Any]]


def closeness(
    owners: Floats,
    answers: Floats,
    values: bool,
    *,
    eps: float,
    ridge: float,
    affine: bool = False,
    others: Floats | None = None,
) -> Floats:
    """Scores (m,) of answers (q, k) for each owner (m, q, k), uncentred: the owner mixture of comparable answers.

    Args:
        others: answers (r, q, k) of independent models, regressed out; of labels they are not, which gained nothing.
        values: whether answers are real values; else they are probabilities, top-k probabilities or one-hot labels.
        eps: floor of probabilities in the logarithm; raised to the rounding step of the answers.
        ridge: of the regression, in mean eigenvalues.
        affine: of values: whether a shift and stretch of the family's answers is taken out; of probabilities it gained
            nothing.
    """
    if values:
        return owner_mixture(owners, answers, others=others, ridge=ridge, affine=affine)
    if is_labels(answers) or visible(answers).sum(axis=1).max() == 1:
        return owner_mixture(owners, as_labels(answers), ridge=ridge, scaled=False)
    eps, seen = max(eps, rounding_step(answers)), visible(answers)
    known = None if others is None else log_centred(others, eps, seen)
    return owner_mixture(
        log_centred(owners, eps, seen), log_centred(answers, eps, seen), others=known, ridge=ridge, scaled=False
    )


def centred_closeness(
    claim: Claim,
    answers: Floats,
    rows: Rows = slice(None),
    *,
    eps: float,
    ridge: float,
    centring: float,
    regress: bool,
    affine: bool,
) -> tuple[Floats, Floats]:
    """The owners' scores for answers (q, k) to plain queries, less what references have in common with each owner, and
    uncentred.

    Of probabilities and values that common part is regressed out: references and treated references are regressors
    beside the owners, the treated ones from EQUATIONS answered numbers a regressor on. Of labels, or without `regress`,
    it is a share `centring` of the references' mean score on each owner.

    Args:
        claim: with "owners" (m, q, k), "references" and "treated".
        rows: the queries among the claim's that were answered.
    """
    values = claim.task.values
    owners, references = claim.tensors["owners"][:, rows], claim.references[:, rows]
    labels = not values and is_labels(answers)
    if labels:
        references = as_labels(references)
    if regress and not labels:
        treated = claim.treated[:, :, rows].reshape(-1, *references.shape[1:])
        enough = answers.size >= EQUATIONS * (len(owners) + len(references) + len(treated))
        others = np.concatenate([references, treated]) if enough else references
        scores = closeness(owners, answers, values, eps=eps, ridge=ridge, affine=affine, others=others)
        return scores, scores
    first = closeness(owners, answers, values, eps=eps, ridge=ridge, affine=affine)
    if not len(references) or not centring:
        return first, first
    common = [closeness(owners, theirs, values, eps=eps, ridge=ridge, affine=affine) for theirs in references]
    return first - centring * np.mean(common, axis=0), first


def disagreement(owners: Floats) -> Floats:
    """How much owners' answers (m, n, k) differ on each input (n,); unchanged by any relabelling of the owners."""
    return np.asarray(((owners - owners.mean(axis=0)) ** 2).sum(axis=(0, 2)))


def log_centred(p: Floats, eps: float, seen: np.ndarray[Any, np.dtype[np.bool_]] | None = None) -> Floats:
    """log(p + eps) less its mean over the classes that are `seen` (default all); 0 for the others."""
    logs = np.log(np.maximum(p, 0) + eps)
    if seen is None:
        return np.asarray(logs - logs.mean(axis=-1, keepdims=True))
    mean = (logs * seen).sum(axis=-1, keepdims=True) / np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    return np.asarray((logs - mean) * seen)


def visible(answers: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which classes the suspect shows: all, unless it answers only the top k, the same number of them in every row."""
    shown = answers > 0
    counts = shown.sum(axis=1)
    top_k = counts.max() < answers.shape[1] and (answers.sum(axis=1) < 1 - 1e-6).mean() > 0.5
    return shown if top_k else np.ones_like(shown)
