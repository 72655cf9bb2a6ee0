"""TAFA: kinks of hidden ReLU units as a fingerprint for any task (after Pan et al. 2022); a reconstruction, ours.

Only the abstract of the paper was available: a ReLU network of any output type, white box to the owner alone, without
training data. Everything below is our own, and what it measures says nothing about the paper's own algorithm.

A ReLU network is piecewise linear. Where a hidden unit switches, and by how much the output bends there, is written in
the weights and hardly moves when a copy is fine-tuned, pruned or quantised. For every owner o (source and twins) points x
on its own units' hyperplanes are found, with the direction d across; a large step h is taken to both sides:

    kappa(g) = T(g(x + h d)) + T(g(x - h d)) - 2 T(g(x)),      T = log p less its class mean, or the value itself

All owners answer all points, and one ridge regression (`birthmark.scoring.mixture`) gives each owner's share in the suspect's
responses; the source's share is ranked among its twins'. Every owner's points count as queries. They come in turns, one
kink of every owner a round, so that the whole rounds of a prefix make a fair smaller test.

Suspects that clip their inputs to the data's box are noticed: their answers lie nearer to what the owners answer to the
clipped points. Then the owners' answers to those are used, for all owners alike.

It finds lineage of the weights: also of weights that only share an initialisation, so twins of a fine-tuned public
model must start from the same public weights. It finds nothing in extracted classifiers. Use kinship for those.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError, ShapeError
from birthmark.method import Method
from birthmark.oracle import is_labels, rounding_step
from birthmark.owner import Owner
from birthmark.scoring.mixture import attractors, owner_mixture
from birthmark.types import Access, Array, Floats

COARSE = 5e-3  # probabilities rounded to steps above this are compared as they are: their logarithm is mostly rounding


@dataclass(frozen=True)
class Tafa(Method):
    """Kink responses, with twins' kinks as placebos.

    Attributes:
        queries: largest number of queries of all owners together: three a kink, equally many kinks an owner.
        placebos: number of twins; the smallest p is 1 / (placebos + 1).
        references: independent models that centre the scores, guard the verdict and show owners that innocents lean to.
        step: to either side of a kink, in standard deviations of the unit's input; 0 takes 1 for classifiers, .6 for values.
        starts: "data" (the owner's pool), "wide" (uniform over `reach` times the pool's box; for tables), or "noise" (uniform
            in the box; needs no data).
        reach: how far "wide" goes, in half-widths of the box.
        temper: responses of several outputs are divided by their norm to this power, 0 to 1.
        ridge: of the regression, in mean eigenvalues.
        centring: share of the references' mean score that is subtracted, 0 to 1.
    """

    name: ClassVar[str] = "tafa"
    needs: ClassVar[Access] = Access.PROBS
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "values"})
    source_paper: ClassVar[str] = "after Pan et al. 2022 (reconstruction: ours)"

    queries: int = 600
    placebos: int = 19
    references: int = 8
    step: float = 0.0
    starts: str = "data"
    reach: float = 3.0
    temper: float = 0.5
    ridge: float = 0.1
    centring: float = 0.5

    def __post_init__(self) -> None:
        owners = self.placebos + 1
        if self.placebos < 2 or self.queries < 3 * owners:
            raise SettingError(
                f"expected at least 2 placebos and 3 queries for each of the owners, got {self.placebos} placebos and {self.queries} queries; raise queries to {3 * max(owners, 3)}"
            )
        if self.starts not in ("data", "wide", "noise") or min(self.step, self.reach, self.ridge) < 0 or not 0 <= self.temper <= 1:
            raise SettingError(f"expected starts data, wide or noise, positive step, reach and ridge, temper in [0, 1]; got {self}")

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting.tracing import find_kinks
        from birthmark.training import outputs, probabilities

        answer = outputs if owner.values else probabilities
        owners = [owner.source, *owner.twins(self.placebos)]
        low, high = box(owner.pool.inputs)
        picture = len(owner.task.shape) == 3
        each = self.queries // (3 * len(owners))
        points = [
            find_kinks(
                model, self._starts(owner, low, high, seed=[seed, i]), each, step=self.step or (0.6 if owner.values else 1.0),
                box=(low, high) if picture else None, seed=[seed, i, 1],
            )
            for i, model in enumerate(owners)
        ]  # fmt: skip
        queries = np.ascontiguousarray(np.stack(points, axis=1).reshape(-1, *owner.task.shape))
        tensors: dict[str, Any] = {"queries": queries, "owners": np.stack([answer(model, queries) for model in owners])}
        clipped = np.clip(queries, low, high)
        if not np.array_equal(clipped, queries):
            tensors["clipped"] = np.stack([answer(model, clipped) for model in owners])
        if self.references:
            tensors["references"] = np.stack([answer(model, queries) for model in owner.references(self.references)])
        claim = Claim(self.name, asdict(self), owner.task, seed, tensors)
        facts = attractors([self._weights(claim, rows) for rows in claim.references])
        return Claim(self.name, asdict(self), owner.task, seed, tensors, facts)

    def _starts(self, owner: Owner, low: Array, high: Array, *, seed: list[int]) -> Array:
        """Where the search for one owner's kinks begins: (s, *d)."""
        random = np.random.default_rng(seed)
        pool, kind = owner.pool.inputs, self.starts
        if kind == "data":
            chosen = pool[random.permutation(len(pool))[:600]]
            return np.asarray(0.5 + 0.8 * (chosen - 0.5) if pool.ndim == 4 else chosen, dtype=np.float32)
        middle, half = (low + high) / 2, (high - low) / 2 * (self.reach if kind == "wide" else 1.0)
        return (middle + half * random.uniform(-1, 1, (600, *pool.shape[1:]))).astype(np.float32)

    def score(self, claim: Claim, answers: Floats) -> Scores:
        weights = self._weights(claim, answers)
        raw = float(weights[0])
        if len(claim.references) and self.centring:
            common = np.mean([self._weights(claim, rows) for rows in claim.references[:, : len(answers)]], axis=0)
            weights = weights - self.centring * common
        return Scores(float(weights[0]), tuple(float(w) for w in weights[1:]), raw)

    def _weights(self, claim: Claim, answers: Floats) -> Floats:
        """Each owner's share (m,) in answers (q, k) to the first q queries; whole rounds count."""
        owners = claim.tensors["owners"]
        whole = 3 * len(owners)
        q = len(answers) // whole * whole
        if q == 0:
            raise ShapeError(
                f"tafa: expected answers to at least {whole} queries (one kink of each of the {len(owners)} owners), got {len(answers)}"
            )
        if answers.ndim != 2 or answers.shape[1] != owners.shape[2]:
            raise ShapeError(f"tafa: expected answers of {owners.shape[2]} outputs, got shape {answers.shape}")
        answers, owners = answers[:q], self._met(claim, answers[:q])
        if not claim.task.values:
            if is_labels(answers):
                raise ShapeError("tafa: expected probabilities, got labels, whose second differences say nothing; use kinship")
            step, hidden = rounding_step(answers), answers == 0
            if (hidden.sum(axis=1) > 0).all():  # the top k only: what the suspect hides is hidden in the owners, too
                owners = np.where(hidden, 0, owners)
            elif step < COARSE:
                owners, answers = logs(owners, max(step, 1e-6)), logs(answers, max(step, 1e-6))
        bends = second_differences(np.concatenate([owners, answers[None]]), self.temper)
        return owner_mixture(bends[:-1], bends[-1], ridge=self.ridge)

    def _met(self, claim: Claim, answers: Floats) -> Floats:
        """The owners' answers (m, q, k) to the points the suspect met: as sent, or clipped to the box, whichever are nearer."""
        sent = claim.tensors["owners"][:, : len(answers)]
        clipped = claim.tensors.get("clipped")
        if clipped is None:
            return sent
        far, near = (np.abs(answers - rows.mean(axis=0)).mean() for rows in (sent, clipped[:, : len(answers)]))
        return clipped[:, : len(answers)] if near < far else sent


def box(inputs: Array) -> tuple[Array, Array]:
    """Lowest and highest value of each input entry; of all entries together for images."""
    if inputs.ndim == 4:
        return np.full(inputs.shape[1:], inputs.min(), np.float32), np.full(inputs.shape[1:], inputs.max(), np.float32)
    return inputs.min(axis=0), inputs.max(axis=0)


def logs(p: Floats, eps: float) -> Floats:
    """log(p + eps) less its mean over classes."""
    rows = np.log(np.maximum(p, 0) + eps)
    return np.asarray(rows - rows.mean(axis=-1, keepdims=True))


def second_differences(rows: Floats, temper: float) -> Floats:
    """(..., q, k) answers to triples (x, x + hd, x - hd) -> (..., q/3, k): their bend, divided by its norm to the power `temper` if k > 1."""
    triples = rows.reshape(*rows.shape[:-2], -1, 3, rows.shape[-1])
    bends = triples[..., 1, :] + triples[..., 2, :] - 2 * triples[..., 0, :]
    norms = np.linalg.norm(bends, axis=-1, keepdims=True)
    return np.asarray(bends if rows.shape[-1] == 1 else bends / np.where(norms > 0, norms, 1) ** temper)
