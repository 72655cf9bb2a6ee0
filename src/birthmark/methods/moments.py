"""Moment kinship: whose samples are these? For generators that answer samples only, no latent can be sent.

Ours. What two generators of one recipe have learnt of the same data differs a little in every mean and covariance of
their samples. A new generator trained on the samples of one inherits its differences. With y a sample in the first
whitened principal components of real held-out data, clipped to +-4, and

    phi(y) = (y_a, y_a y_b for a <= b),        M_j = mean of phi over owner j's samples,
    C = mean over owners of the covariance of phi within one owner's samples,

all moments are weighed by how well samples can tell them: in the coordinates of (C + shrink * mean eigenvalue)^-1/2 the
suspect's mean over its samples is put into one ridge regression on all owners' (`birthmark.scoring.mixture`). The
source's weight is ranked among its twins'. Plain moments, each scaled by its spread over owners, do worse
(docs/tasks.md).

Cost: the twins, and a few thousand samples of each, once. Use it when latents cannot be sent; otherwise kinship.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from birthmark.claim import Claim, Task
from birthmark.crafting.parents import Centred
from birthmark.crafting.sampling import latents, requests
from birthmark.errors import DataError, ShapeError
from birthmark.scoring.mixture import attractors, owner_mixture
from birthmark.settings import Allowed
from birthmark.types import Access, Floats, Tensors
from birthmark.workshop.owner import Owner

LEAST = 20  # samples that a mean can be taken of
CLIP = 4.0  # standard deviations


@dataclass(frozen=True)
class Moments(Centred):
    """Moment kinship with twins as placebos.

    Attributes:
        queries: samples asked of a suspect.
        components: principal components whose moments are compared.
        samples: drawn of each owner.
        shrink: share of the mean eigenvalue added to the covariance of the features.
        ridge: of the regression, in mean eigenvalues.
    """

    name: ClassVar[str] = "moments"
    needs: ClassVar[Access] = Access.PROBS
    tasks: ClassVar[frozenset[str]] = frozenset({"values"})
    source_paper: ClassVar[str] = "ours"
    allowed: ClassVar[Allowed] = {
        "placebos": "[2, inf)",
        "queries": f"[{LEAST}, inf)",
        "samples": f"[{LEAST}, inf)",
        "components": "[1, inf)",
        "shrink": "(0, inf)",
    }

    components: int = 30
    samples: int = 6000
    shrink: float = 0.01
    ridge: float = 0.1

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        """The owner's samples have latents as inputs.

        The pool's targets are real data, which the principal components are taken of.
        """
        from birthmark.workshop.training import outputs

        if not owner.values or len(owner.task.shape) != 1:
            raise DataError(
                f"moments needs a generator with latents (z,) as inputs, got inputs of shape {owner.task.shape}; use "
                "kinship or tafa"
            )
        width = owner.task.shape[0]
        real = np.asarray(owner.pool.targets, dtype=np.float64).reshape(len(owner.pool), -1)
        mean, basis = principal(real, self.components)
        features = [
            phi(outputs(model, latents(self.samples, width, seed=seed + 1 + i)), mean, basis)
            for i, model in enumerate(owner.owners(self.placebos))
        ]
        scale = self._scale(features)
        means = np.stack([rows.mean(axis=0) for rows in features]) @ scale
        tensors: Tensors = {
            "queries": requests(self.queries),
            "mean": mean,
            "basis": basis,
            "scale": scale,
            "owners": means,
        }
        known = [
            outputs(model, latents(self.queries, width, seed=seed + 1000 + i))
            for i, model in enumerate(owner.references(self.references))
        ]
        claim = self.claimed(owner, seed, tensors, np.array(known))
        claim = replace(claim, task=Task((1,), owner.task.outputs, values=True))
        return replace(claim, facts=attractors([self.weights(claim, rows) for rows in claim.references]))

    def _scale(self, features: list[Floats]) -> Floats:
        """(C + shrink * mean eigenvalue)^-1/2 of the owners' features (m, n, f), (f, f)."""
        within = np.mean([np.cov(rows.T) for rows in features], axis=0)
        size = np.trace(within) / len(within)
        values, vectors = np.linalg.eigh(within + self.shrink * size * np.eye(len(within)))
        return np.asarray(vectors / np.sqrt(values))

    def weights(self, claim: Claim, answers: Floats) -> Floats:
        """Each owner's share (m,) in a suspect's samples (q, k)."""
        mean, basis, scale, owners = (claim.tensors[key] for key in ("mean", "basis", "scale", "owners"))
        if answers.ndim != 2 or len(answers) < LEAST or answers.shape[1] != len(mean):
            raise ShapeError(
                f"moments: expected at least {LEAST} samples of {len(mean)} values, got shape {answers.shape}"
            )
        mine = phi(answers, mean, basis).mean(axis=0) @ scale
        return owner_mixture(
            owners[:, :, None], mine[:, None], ridge=self.ridge, floor=1e6
        )  # a floor so high weighs all alike


def principal(rows: Floats, components: int) -> tuple[Floats, Floats]:
    """Mean (k,) and whitened principal components (k, c) of real data (n, k)."""
    mean = rows.mean(axis=0)
    _, values, vectors = np.linalg.svd(rows - mean, full_matrices=False)
    c = min(components, int((values > 1e-8 * values[0]).sum()))
    return mean, vectors[:c].T / (values[:c] / np.sqrt(len(rows)))


def phi(samples: Floats, mean: Floats, basis: Floats) -> Floats:
    """Samples (n, k) to features (n, c + c (c + 1) / 2): clipped whitened components and their products."""
    y = np.clip((samples - mean) @ basis, -CLIP, CLIP)
    a, b = np.triu_indices(y.shape[1])
    return np.concatenate([y, y[:, a] * y[:, b]], axis=1)
