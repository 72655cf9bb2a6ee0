"""The scores of kinship, lineage, tafa and sac, one suspect at a time, each regression from its own answers.

Slow and obvious: the measure of what `birthmark.scoring` finds at once, by shared inner products.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from birthmark import registry, stats
from birthmark.answers import is_labels, rounding_step
from birthmark.claim import Claim, Scores
from birthmark.methods.kinship import CENTRING_FROM
from birthmark.methods.lineage import Lineage
from birthmark.scoring.correlation import correlation, features
from birthmark.scoring.kinks import COARSE, others_rows, second_differences
from birthmark.scoring.likeness import EQUATIONS, How
from birthmark.scoring.mixture import LEAST_AFFINE
from birthmark.types import Floats

Weigh = Callable[[Claim, Floats], Floats]


def mixture(
    owners: Floats,
    suspect: Floats,
    *,
    others: Floats | None = None,
    ridge: float = 0.1,
    floor: float = 0.02,
    scaled: bool = True,
    affine: bool = False,
) -> Floats:
    """The owners' weights (m,) in a suspect's answers (q, k)."""
    mean = owners.mean(axis=0)
    residuals = owners - mean
    spread = np.sqrt((residuals**2).mean(axis=0))
    scale = np.maximum(spread, floor * np.median(spread)) if scaled else (np.ptp(owners, axis=0) > 0).astype(float)
    alive = scale > 0
    if not alive.any():
        return np.zeros(len(owners))
    unit = alive / np.where(alive, scale, 1)
    fixed = basis(mean * unit, unit) if affine and len(mean) >= LEAST_AFFINE else []

    def rows(answers: Floats) -> Floats:
        rest = (answers - mean) * unit
        for column in fixed:
            rest = rest - column * (rest * column).sum(axis=-2, keepdims=True)
        return np.asarray(rest.reshape(*rest.shape[:-2], -1))

    m = len(owners)
    x = rows(owners) if others is None or not len(others) else np.concatenate([rows(owners), rows(others)])
    gram = x @ x.T
    penalty = ridge * np.trace(gram[:m, :m]) / m
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(len(x)), x @ rows(suspect))[:m])


def basis(mean: Floats, constant: Floats) -> list[Floats]:
    """Columns (q, k), orthonormal in each output, that span a constant and the mean."""
    first = constant / np.maximum(np.linalg.norm(constant, axis=0), 1e-300)
    second = mean - first * (mean * first).sum(axis=0)
    size = np.linalg.norm(second, axis=0)
    return [first, np.where(size > 1e-9 * np.linalg.norm(mean, axis=0), second / np.maximum(size, 1e-300), 0.0)]


def labelled(rows: Floats) -> Floats:
    """One-hot rows of the top class."""
    return np.eye(rows.shape[-1])[rows.argmax(axis=-1)]


def visible(answers: Floats) -> Any:
    """Which classes the suspect shows."""
    shown = answers > 0
    top_k = shown.sum(axis=1).max() < answers.shape[1] and (answers.sum(axis=1) < 1 - 1e-6).mean() > 0.5
    return shown if top_k else np.ones_like(shown)


def log_centred(p: Floats, eps: float, seen: Any = None) -> Floats:
    """log(p + eps) less its mean over the classes that are `seen` (default all); 0 for the others."""
    logs = np.log(np.maximum(p, 0) + eps)
    if seen is None:
        return np.asarray(logs - logs.mean(axis=-1, keepdims=True))
    mean = (logs * seen).sum(axis=-1, keepdims=True) / np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    return np.asarray((logs - mean) * seen)


def closeness(owners: Floats, answers: Floats, values: bool, how: How, others: Floats | None = None) -> Floats:
    """The owners' weights in answers as they are comparable."""
    if values:
        return mixture(owners, answers, others=others, ridge=how.ridge, affine=how.affine)
    if is_labels(answers) or visible(answers).sum(axis=1).max() == 1:
        return mixture(owners, labelled(answers), ridge=how.ridge, scaled=False)
    eps, seen = max(how.eps, rounding_step(answers)), visible(answers)
    known = None if others is None else log_centred(others, eps, seen)
    mine, theirs = log_centred(owners, eps, seen), log_centred(answers, eps, seen)
    return mixture(mine, theirs, others=known, ridge=how.ridge, scaled=False)


def centred_closeness(claim: Claim, answers: Floats, places: Any, how: How) -> tuple[Floats, Floats]:
    """The owners' scores, less what references have of them, and uncentred."""
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
    known = labelled(references) if labels else references
    return first - how.centring * np.mean([closeness(owners, rows, values, how) for rows in known], axis=0), first


def met(owners: Floats, clipped: Floats | None, answers: Floats) -> Floats:
    """The owners' answers to the points the suspect met, whichever are nearer."""
    if clipped is None:
        return owners
    far, near = (np.abs(answers - rows.mean(axis=0)).mean() for rows in (owners, clipped))
    return clipped if near < far else owners


def bend_weights(owners: Floats, answers: Floats, values: bool, temper: float, ridge: float) -> Floats:
    """The owners' weights in answers to whole triples."""
    if not values:
        step, hidden = rounding_step(answers), answers == 0
        if (hidden.sum(axis=1) > 0).all():
            owners = np.where(hidden, 0, owners)
        elif step < COARSE:
            owners, answers = (log_centred(rows, max(step, 1e-6)) for rows in (owners, answers))
    bends = second_differences(np.concatenate([owners, answers[None]]), temper)
    return mixture(bends[:-1], bends[-1], ridge=ridge)


def tafa_weights(claim: Claim, answers: Floats) -> Floats:
    """The owners' weights in answers to kinks."""
    method: Any = registry.scorer(claim)
    owners = claim.tensors["owners"]
    q = len(answers) // (3 * len(owners)) * 3 * len(owners)
    clipped = claim.tensors["clipped"][:, :q] if "clipped" in claim.tensors else None
    points = met(owners[:, :q], clipped, answers[:q])
    return bend_weights(points, answers[:q], claim.task.values, method.temper, method.ridge)


def sac_weights(claim: Claim, answers: Floats) -> Floats:
    """How close the answers' correlations are to each owner's."""
    method: Any = registry.scorer(claim)
    belongs, found = claim.tensors["belongs"][:, : len(answers)], []
    least = int(belongs.sum(axis=1).min())
    for rows, own in zip(claim.tensors["owners"], belongs, strict=True):
        mine, theirs = rows[: len(answers)][own][:least], answers[own][:least]
        mine = labelled(mine) if is_labels(theirs) else mine
        gap = correlation(features(theirs, method.outputs), method.kernel) - correlation(
            features(mine, method.outputs), method.kernel
        )
        found.append(-np.abs(gap).mean())
    return np.array(found)


def less_common(claim: Claim, answers: Floats, weigh: Weigh, share: float, shown: Callable[[Floats], Floats]) -> Scores:
    """Scores of weights less a share of the references' mean."""
    plain = weigh(claim, answers)
    if not len(claim.references) or not share:
        return scores_of(plain, plain[0])
    known = shown(claim.references[:, : len(answers)])
    return scores_of(plain - share * np.mean([weigh(claim, rows) for rows in known], axis=0), plain[0])


def scores_of(scores: Floats, raw: float) -> Scores:
    """Of all owners, the source's first."""
    return Scores(float(scores[0]), tuple(map(float, scores[1:])), float(raw))


def score(claim: Claim, answers: Floats) -> Scores:
    """What the claim's method says of a suspect's answers."""
    method: Any = registry.scorer(claim)
    if claim.method == "kinship":
        how = method.how if len(answers) >= CENTRING_FROM else replace(method.how, centring=0.0)
        scores, plain = centred_closeness(claim, answers, slice(len(answers)), how)
        return scores_of(scores, plain[0])
    if claim.method == "lineage":
        return lineage(claim, answers, method)
    if claim.method == "tafa":
        return less_common(claim, answers, tafa_weights, method.centring, lambda rows: rows)
    return less_common(
        claim, answers, sac_weights, method.centring, labelled if is_labels(answers) else lambda rows: rows
    )


def lineage(claim: Claim, answers: Floats, method: Lineage) -> Scores:
    """Plain answers and kinks, each standardised over the owners."""
    m, kink, parts = len(claim.tensors["owners"]), claim.tensors["kink"][: len(answers)].astype(bool), []
    if (~kink).any():
        parts.append(centred_closeness(claim, answers[~kink], np.flatnonzero(~kink), method.how))
    whole = int(kink.sum()) // (3 * m) * 3 * m
    if whole and (claim.task.values or not is_labels(answers)):
        places = np.flatnonzero(kink)[:whole]
        clipped = claim.tensors["clipped"][:, :whole] if "clipped" in claim.tensors else None

        def weigh(_: Claim, rows: Floats) -> Floats:
            points = met(claim.tensors["owners"][:, places], clipped, rows[places])
            return bend_weights(points, rows[places], claim.task.values, method.temper, method.ridge)

        plain = weigh(claim, answers)
        common = np.mean([weigh(claim, rows) for rows in claim.references], axis=0) if len(claim.references) else 0.0
        parts.append((plain - 0.5 * common, plain))
    scores = np.sum([(w - w.mean()) / max(float(w.std()), 1e-12) for w, _ in parts], axis=0)
    return scores_of(scores, sum(plain[0] for _, plain in parts))


def shown_as(rows: Floats, answers: Floats, values: bool) -> Floats:
    """Rows as the suspect shows its answers."""
    if values:
        return rows
    if is_labels(answers):
        return labelled(rows)
    shown = int((answers > 0).sum(axis=1).max())
    if shown < answers.shape[1]:
        rows = np.where(rows >= np.sort(rows, axis=1)[:, -shown][:, None], rows, 0.0)
    step = rounding_step(answers)
    return np.round(rows, round(-np.log10(step))) if step else rows


def left_out(claim: Claim, place: int, q: int) -> tuple[Claim, Floats]:
    """What the claim would be without a twin, and that twin's answers to what is left of its first q queries."""
    owners, m = claim.tensors["owners"], len(claim.tensors["owners"])
    kept = np.arange(q)
    if claim.method == "tafa":
        kept = bends = others_rows(q, m, place + 1)
    if claim.method == "lineage":
        kink = claim.tensors["kink"].astype(bool)
        bends = others_rows(int(kink[:q].sum()), m, place + 1)
        kept = np.sort(np.concatenate([np.flatnonzero(~kink[:q]), np.flatnonzero(kink)[bends]]))
    rest = {key: rows[kept] for key, rows in claim.tensors.items() if key in ("queries", "kink")}
    rest |= {"references": claim.references[:, kept], "treated": claim.treated[:, :, kept]}
    rest["owners"] = np.delete(owners, place + 1, axis=0)[:, kept]
    if "clipped" in claim.tensors:
        rest["clipped"] = np.delete(claim.tensors["clipped"], place + 1, axis=0)[:, bends]
    return replace(claim, tensors=rest), owners[place + 1, kept]


def innocents(claim: Claim, answers: Floats) -> tuple[list[Scores], list[Scores], list[float]]:
    """Scores of references, of what was made of them, and z of each left-out twin."""
    q, values = len(answers), claim.task.values
    alone = [claim.without(i) for i in range(len(claim.references))]
    references = [score(rest, shown_as(claim.references[i][:q], answers, values)) for i, rest in enumerate(alone)]
    made = claim.treated
    treated = [score(rest, shown_as(rows[:q], answers, values)) for i, rest in enumerate(alone) for rows in made[i]]
    twins = []
    for place in range(len(claim.tensors["owners"]) - 1 if claim.method[:3] != "sac" else 0):
        rest, rows = left_out(claim, place, q)
        found = score(rest, shown_as(rows, answers, values))
        twins.append(stats.standardised(found.source, found.placebos))
    return references, treated, twins
