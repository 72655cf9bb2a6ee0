"""The soft claim of a key: what it holds, and how a suspect's answers are ranked against the placebo keys'.

What is left of the suspect's log-probabilities (or values), once those of unmarked models are regressed out, is
correlated with the key's field and with every placebo key's.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Claim, Scores
from birthmark.errors import ShapeError
from birthmark.marks.field import Ground, Waves, aligned
from birthmark.marks.keyring import ClientKey, lenient
from birthmark.marks.ties import Ties, surprise
from birthmark.types import Floats, Plain

LEAST = 20  # queries that a correlation takes
Tensors = Mapping[str, NDArray[np.generic]]


def claim(method: str, settings: Plain, key: ClientKey, placebos: int) -> Claim:
    """The claim on all held-out inputs of the key's keyring.

    It holds the secret: keep it as you keep the key.
    """
    ring = key.ring
    tensors = {
        **secret_tensors(key, placebos),
        "queries": ring.queries,
        "source": ring.source,
        "references": ring.references,
    }
    return Claim(method, settings, ring.task, ring.seed, tensors, facts(key))


def secret_tensors(key: ClientKey, placebos: int) -> dict[str, NDArray[np.generic]]:
    """The key's waves, then the placebos': whoever reads them can undo the mark."""
    waves = key.ring.expand([key.secret, *(key.ring.placebo(i) for i in key.ring.placebos[:placebos])])
    return {
        "directions": waves.directions,
        "phases": waves.phases,
        "codes": waves.codes.astype(np.int8),
        "coordinates": key.ring.whitening(key.ring.queries),
        "omega": np.array([key.ring.omega]),
    }


def facts(key: ClientKey) -> dict[str, object]:
    """What may be known of a claim's key."""
    return {
        "client": key.client,
        "key": key.secret.fingerprint,
        "screened_by": len(key.ring.references),
        "screened_at_z": round(lenient(len(key.ring.references)), 3),
        "secret": "this claim holds a client's secret key: publish its digest, not its content",
    }


def score(claim: Claim, answers: Floats) -> Scores:
    """The correlations of answers (n, k) to the first n queries with the key's field and every placebo key's.

    Raises:
        ShapeError: fewer than 20 answers, or of another width.
    """
    n = len(answers)
    if n < LEAST:
        raise ShapeError(f"{claim.method} needs answers to at least {LEAST} queries, got {n}")
    if answers.shape[1] != claim.task.outputs:
        raise ShapeError(f"expected answers of width {claim.task.outputs}, got {answers.shape[1]}")
    tensors = claim.tensors
    ground = Ground(tensors["coordinates"][:n], tensors["source"][:n], claim.references[:, :n], claim.task.values)
    residual = ground.residual(answers)[None]
    return ranked(aligned(ground, residual, waves_of(claim), float(tensors["omega"][0]))[0])


def score_ties(claim: Claim, answers: Floats) -> Scores:
    """How far answers (n, k) to near-ties lean to the side of the key, and of each placebo key, beyond what unmarked
    models foretell.

    Raises:
        ShapeError: fewer than 20 answers.
    """
    n = len(answers)
    if n < LEAST:
        raise ShapeError(f"{claim.method} needs answers to at least {LEAST} near-ties, got {n}")
    source = claim.tensors["source"][:n]
    ties = Ties.of(source, 2.0)
    unmarked = np.stack([ties.leaning(rows) for rows in (source, *claim.references[:, :n])])
    sides = ties.sides(claim.tensors["coordinates"][:n], waves_of(claim), float(claim.tensors["omega"][0]))
    return ranked(sides @ surprise(ties.leaning(answers), unmarked) / np.sqrt(n))


def waves_of(claim: Claim) -> Waves:
    """The waves of the key and its placebos."""
    return Waves(claim.tensors["directions"], claim.tensors["phases"], claim.tensors["codes"].astype(np.float64))


def ranked(found: Floats) -> Scores:
    """Scores of the key (first) among its placebos'."""
    return Scores(float(found[0]), tuple(float(value) for value in found[1:]), float(found[0]))
