"""Keyed smooth fields on whitened coordinates of the input, for watermarks that students can learn.

A key is J waves: unit directions v_j in the space of whitened coordinates psi(x), phases phi_j, and codes a_j that
say which outputs a wave lifts (+1) or lowers (-1):

    h(x)_c = sqrt(2 / J) sum_j a_jc cos(omega <v_j, psi(x)> + phi_j)

of unit variance, the same at every place and time for the same input and key. Axis `m` counts keys: placebos are
computed side by side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from birthmark.answers import as_labels
from birthmark.errors import ShapeError
from birthmark.types import Array, Floats

if TYPE_CHECKING:
    from birthmark.marks.keys import Secret

LARGEST_INPUT = 4096  # values; larger images are averaged down to a grid before their coordinates are taken
GRID = 32  # pixels a side of that grid
FLOOR = -12.0  # of log-probabilities: a looser one lets fine-tuning's noise in, a tighter one cuts the mark off
RIDGE = 1e-3  # of the regression on unmarked answers, in units of their mean square
CHUNK = 64  # keys whose fields are held in memory at once
FARTHEST = 6.0  # whitened coordinates are clipped here, so that no input makes a field NaN


@dataclass(frozen=True, eq=False)
class Whitening:
    """x -> psi(x): the first principal coordinates of the owner's inputs, each with variance one.

    Attributes:
        mean: (d,) of the flattened inputs.
        axes: (d, D), principal axes divided by the standard deviation along them.
    """

    mean: Floats
    axes: Floats

    @classmethod
    def fit(cls, inputs: Array, coordinates: int = 16) -> "Whitening":
        """Fit to inputs (n, *d); tabular columns are brought to one scale first. D = min(coordinates, d, n - 1)."""
        flat = flattened(inputs)
        mean = flat.mean(axis=0)
        centred = flat - mean
        scale = np.maximum(centred.std(axis=0), 1e-6) if inputs.ndim == 2 else np.ones(flat.shape[1])
        variances, axes = np.linalg.eigh((centred / scale).T @ (centred / scale) / len(flat))
        keep = min(coordinates, flat.shape[1], len(flat) - 1)
        largest = np.argsort(variances)[::-1][:keep]
        largest = largest[variances[largest] > 1e-9 * variances.max()]
        return cls(mean, axes[:, largest] / np.sqrt(variances[largest]) / scale[:, None])

    def __call__(self, inputs: Array) -> Floats:
        """Coordinates (n, D), rounded so that a batch of one and a batch of many agree.

        Raises:
            ShapeError: inputs of another size than the key was made for.
        """
        flat = flattened(inputs)
        if flat.shape[1] != len(self.mean):
            raise ShapeError(
                f"expected inputs of {len(self.mean)} values as the key was made for, got shape {inputs.shape[1:]}"
            )
        return np.asarray(np.minimum(np.maximum(flat @ self.axes - self._origin, -FARTHEST), FARTHEST).round(6))

    @cached_property
    def _origin(self) -> Floats:
        return self.mean @ self.axes


def flattened(inputs: Array) -> Floats:
    """Inputs (n, *d) as float64 rows; large images are averaged down to a grid of at most 32 x 32 first."""
    x = np.asarray(inputs, dtype=np.float64)
    if x.ndim == 4 and x[0].size > LARGEST_INPUT:
        for axis in (2, 3):
            edges = np.linspace(0, x.shape[axis], min(GRID, x.shape[axis]) + 1).astype(int)
            x = np.add.reduceat(x, edges[:-1], axis=axis) / np.diff(edges).reshape(
                [-1 if a == axis else 1 for a in range(4)]
            )
    return x.reshape(len(x), -1)


@dataclass(frozen=True, eq=False)
class Waves:
    """m keys: directions (m, J, D) of unit length, phases (m, J), codes (m, J, k) of -1 and +1."""

    directions: Floats
    phases: Floats
    codes: Floats

    @classmethod
    def of(cls, secrets: "Sequence[Secret]", waves: int, coordinates: int, outputs: int) -> "Waves":
        """Expand secrets; codes are balanced (as many outputs lifted as lowered, but for an odd one)."""
        normals = waves * coordinates
        draws = np.stack([secret.uniforms(2 * normals + waves + waves * outputs) for secret in secrets])
        radius = np.sqrt(-2 * np.log1p(-draws[:, :normals]))
        gauss = (radius * np.cos(2 * np.pi * draws[:, normals : 2 * normals])).reshape(-1, waves, coordinates)
        phases = 2 * np.pi * draws[:, 2 * normals : 2 * normals + waves]
        ranks = draws[:, 2 * normals + waves :].reshape(-1, waves, outputs).argsort(axis=2).argsort(axis=2)
        codes = np.where(ranks < (outputs + 1) // 2, 1.0, -1.0)
        if outputs % 2:  # the odd output's side is the key's choice too
            codes *= np.where(phases > np.pi, 1.0, -1.0)[:, :, None]
        return cls(gauss / np.linalg.norm(gauss, axis=2, keepdims=True), phases, codes)

    def __len__(self) -> int:
        return len(self.phases)

    def at(self, psi: Floats, omega: float) -> Floats:
        """The fields (m, n, k) at whitened coordinates (n, D)."""
        m, waves = self.phases.shape
        axes, phases, codes = self._flat
        ripples = np.cos((omega * psi) @ axes + phases)
        return np.asarray(ripples.reshape(len(psi), m, waves).transpose(1, 0, 2) @ codes)

    @cached_property
    def _flat(self) -> tuple[Floats, Floats, Floats]:
        """Directions (D, m J) and phases (m J,) of all keys side by side; codes (m, J, k) scaled to unit variance."""
        axes = np.ascontiguousarray(self.directions.reshape(self.phases.size, -1).T)
        return axes, self.phases.reshape(-1), math.sqrt(2 / self.phases.shape[1]) * self.codes


@dataclass(frozen=True, eq=False)
class Ground:
    """What a suspect's answers are compared on: inputs, the source's unmarked answers and other unmarked models' ones.

    Attributes:
        psi: whitened coordinates (q, D) of the inputs.
        source: unmarked answers (q, k), probabilities or values.
        others: answers (r, q, k) of unmarked models; r may be 0.
        values: whether answers are real values.
    """

    psi: Floats
    source: Floats
    others: Floats
    values: bool = False

    def centred(self, rows: Floats) -> Floats:
        """Rows (..., q, k) without what every key sees alike.

        For classes the source's top one is hidden (0), each row is centred over the others (where there are several),
        and each (top class, class) cell over its inputs; for values each output is centred.
        """
        if self.values:
            return np.asarray(rows - rows.mean(axis=-2, keepdims=True))
        rows = rows * self._shown
        if rows.shape[-1] > 2:  # of two classes one is left: its level is all there is
            rows = (rows - rows.sum(axis=-1, keepdims=True) / (rows.shape[-1] - 1)) * self._shown
        means = (self._cells.T @ rows) / np.maximum(self._cells.sum(axis=0), 1)[:, None]
        return np.asarray(rows - (self._cells @ means) * self._shown)

    def residual(self, answers: Floats) -> Floats:
        """What is left of a suspect's answers (q, k) once the unmarked models' are regressed out, output by output.

        Log-probabilities for classes; inputs where the suspect's top class is not the source's count nothing, and
        what lies beyond 3 standard deviations is drawn in.
        """
        target = self.centred(answers if self.values else logs(answers))
        rest = target - self._explained(target)
        if not self.values:
            rest = rest * (answers.argmax(axis=1) == self.source.argmax(axis=1))[:, None]
        limit = 3 * np.sqrt((rest**2).sum() / max((rest != 0).sum(), 1))
        return self.centred(np.clip(rest, -limit, limit))

    @cached_property
    def left_out(self) -> Floats:
        """The residuals (r, q, k) of the unmarked models, each left out of what is regressed out of it."""
        return np.stack(
            [
                replace(self, others=np.delete(self.others, i, axis=0)).residual(rows)
                for i, rows in enumerate(self.others)
            ]
        )

    def _explained(self, target: Floats) -> Floats:
        solve = self._regressors
        return np.asarray(
            np.einsum("kqr,krp,kpt,tk->qk", solve[0], solve[1], solve[0].transpose(0, 2, 1), target, optimize=True)
        )

    @cached_property
    def _regressors(self) -> tuple[Floats, Floats]:
        """(k, q, 1 + r) centred unmarked answers and the inverse (k, 1 + r, 1 + r) of their ridged Gram matrices."""
        unmarked = np.concatenate([self.source[None], self.others]) if len(self.others) else self.source[None]
        x = self.centred(unmarked if self.values else logs(unmarked)).transpose(2, 1, 0)
        gram = x.transpose(0, 2, 1) @ x
        size = np.trace(gram, axis1=1, axis2=2)[:, None, None] / len(unmarked)
        return x, np.linalg.inv(gram + (RIDGE * size + 1e-12) * np.eye(len(unmarked)))

    @cached_property
    def _cells(self) -> Floats:
        """(q, k): one-hot top class of the source."""
        return as_labels(self.source)

    @cached_property
    def _shown(self) -> Floats:
        return 1 - self._cells


def logs(probabilities: Floats) -> Floats:
    """Natural logarithms, at least FLOOR."""
    return np.maximum(np.log(np.maximum(probabilities, 1e-300)), FLOOR)


def aligned(ground: Ground, residuals: Floats, waves: Waves, omega: float) -> Floats:
    """Correlations (r, m) of residuals (r, q, k) with the centred fields of m keys, -1 to 1."""
    flat = residuals.reshape(len(residuals), -1)
    size = np.maximum(np.linalg.norm(flat, axis=1), 1e-300)
    found = np.empty((len(residuals), len(waves)))
    for start in range(0, len(waves), CHUNK):
        part = Waves(*(a[start : start + CHUNK] for a in (waves.directions, waves.phases, waves.codes)))
        h = ground.centred(part.at(ground.psi, omega)).reshape(len(part), -1)
        found[:, start : start + CHUNK] = flat @ h.T / np.maximum(np.linalg.norm(h, axis=1), 1e-300) / size[:, None]
    return found
