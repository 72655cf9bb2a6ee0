"""Moment kinship: whose samples are these? For generators that answer samples only, no latent can be sent.

Ours. What two generators of one recipe have learnt of the same data differs a little in every mean and covariance of
their samples, and a new generator trained on the samples of one inherits its differences. With y a sample in the first
whitened principal components of real held-out data, clipped to +-4, and

    phi(y) = (y_a, y_a y_b for a <= b),        M_j = mean of phi over owner j's samples,
    C = mean over owners of the covariance of phi within one owner's samples,

all moments are weighed by how well samples can tell them: in the coordinates of (C + shrink * mean eigenvalue)^-1/2 the
suspect's mean over its samples is put into one ridge regression on all owners' (`birthmark.scoring.mixture`). The
source's weight is ranked among its twins'. Plain moments, each scaled by its spread over owners, do worse
(docs/tasks.md).

Cost: the twins, and a few thousand samples of each, once. Use it when latents cannot be sent; otherwise kinship.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from birthmark.claim import Claim, Scores, Task
from birthmark.crafting.sampling import latents, requests
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.method import Method
from birthmark.scoring.mixture import attractors, owner_mixture
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Owner

LEAST = 20  # samples that a mean can be taken of
CLIP = 4.0  # standard deviations


@dataclass(frozen=True)
class Moments(Method):
    """Moment kinship with twins as placebos.

    Attributes:
        queries: samples asked of a suspect.
        placebos: number of twins; the smallest p is 1 / (placebos + 1).
        references: independent models that centre the scores and guard the verdict.
        components: principal components whose moments are compared.
        samples: drawn of each owner.
        shrink: share of the mean eigenvalue added to the covariance of the features.
        ridge: of the regression, in mean eigenvalues.
        centring: share of the references' mean score that is subtracted, 0 to 1.
    """

    name: ClassVar[str] = "moments"
    needs: ClassVar[Access] = Access.PROBS
    tasks: ClassVar[frozenset[str]] = frozenset({"values"})
    source_paper: ClassVar[str] = "ours"

    queries: int = 500
    placebos: int = 19
    references: int = 8
    components: int = 30
    samples: int = 6000
    shrink: float = 0.01
    ridge: float = 0.1
    centring: float = 0.5

    def __post_init__(self) -> None:
        if self.placebos < 2 or self.queries < LEAST or self.components < 1 or self.samples < LEAST or self.shrink <= 0:
            raise SettingError(
                f"expected at least 2 placebos, {LEAST} queries and samples, 1 component and a positive shrink, got "
                f"{self.placebos}, {self.queries}, {self.samples}, {self.components}, {self.shrink}"
            )

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
            for i, model in enumerate([owner.source, *owner.twins(self.placebos)])
        ]
        within = np.mean([np.cov(rows.T) for rows in features], axis=0)
        size = np.trace(within) / len(within)
        values, vectors = np.linalg.eigh(within + self.shrink * size * np.eye(len(within)))
        scale = vectors / np.sqrt(values)
        tensors = {
            "queries": requests(self.queries),
            "mean": mean,
            "basis": basis,
            "scale": scale,
            "owners": np.stack([rows.mean(axis=0) for rows in features]) @ scale,
        }
        if self.references:
            models = owner.references(self.references)
            tensors["references"] = np.stack(
                [outputs(m, latents(self.queries, width, seed=seed + 1000 + i)) for i, m in enumerate(models)]
            )
        task = Task((1,), owner.task.outputs, values=True)
        claim = Claim(self.name, asdict(self), task, seed, tensors)
        return Claim(
            self.name,
            asdict(self),
            task,
            seed,
            tensors,
            attractors([self._weights(claim, rows) for rows in claim.references]),
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        weights = self._weights(claim, answers)
        raw = float(weights[0])
        if len(claim.references) and self.centring:
            weights = weights - self.centring * np.mean(
                [self._weights(claim, rows[: len(answers)]) for rows in claim.references], axis=0
            )
        return Scores(float(weights[0]), tuple(float(w) for w in weights[1:]), raw)

    def _weights(self, claim: Claim, answers: Floats) -> Floats:
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
