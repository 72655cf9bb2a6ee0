"""The keyring: everything but the secret that a watermark's marks and claims need, made once by the owner.

It holds the whitening of the owner's inputs, held-out inputs with the source's unmarked answers, and the answers of the
owner's own unmarked models. Those check every key before it is used: a key that already leans on an unmarked model
would accuse honest ones together, so it is discarded and the next is derived. Placebo keys are screened by the same
rule, so that a client's key and its placebos stay exchangeable.

A keyring holds no secret, but it holds the source's answers; keep it with the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from birthmark.artifact import load_folder, save_folder, whole
from birthmark.claim import Task
from birthmark.errors import ArtifactError, SettingError, ShapeError
from birthmark.marks.field import Ground, Waves, Whitening, aligned, flattened
from birthmark.marks.keys import BYTES, Secret
from birthmark.types import Array, Floats

FORMAT = "birthmark/keyring/1"
TIE_SHARE = 0.05  # of the source's answers are near-ties at most: about half of them change, so 2.5 % of all answers
WAVES = 8  # a key
MOST_WAVES = 1024
OMEGA = 2.0  # their angular frequency, a unit of whitened coordinate
PASS = 0.65  # share of fair keys that the screening lets pass, however many unmarked models look at them
DRAWS = 400  # placebo keys that a model's z is standardised by
CHUNK = 128  # keys looked at side by side
LONGEST_SEARCH = 2000  # keys derived for one client before we say that something is wrong


def _require(inputs: Array, queries: Array, source: Floats, references: Floats) -> None:
    if len(inputs) < 50 or len(queries) < 20:
        raise SettingError(
            f"expected at least 50 of the owner's inputs and 20 held-out ones, got {len(inputs)} and {len(queries)}"
        )
    if source.shape[0] != len(queries) or references.shape[1:] != source.shape:
        raise ShapeError(
            f"expected answers to {len(queries)} queries, got the source's {source.shape} and the references' "
            f"{references.shape}"
        )


@dataclass(frozen=True, eq=False)
class Keyring:
    """Made by `Keyring.make`; see the module's head.

    Attributes:
        task: of the source.
        whitening: x -> whitened coordinates.
        queries: held-out inputs (q, *d).
        source: the source's unmarked answers (q, k) to them.
        references: unmarked models' answers (r, q, k) to them.
        spread: (k,) standard deviation of the source's values; ones for classifiers.
        waves, omega: of the fields: waves a key, and their angular frequency a unit of whitened coordinate.
        seed: of the placebo keys.
        placebos: numbers of the placebo keys that passed the screening.
        near: margin between the two largest probabilities below which TIE_SHARE of the source's answers lie, 0 to 1.
    """

    task: Task
    whitening: Whitening
    queries: Array
    source: Floats
    references: Floats
    spread: Floats
    waves: int
    omega: float
    seed: int
    placebos: tuple[int, ...]
    near: float

    @classmethod
    def make(
        cls,
        inputs: Array,
        queries: Array,
        source: Floats,
        references: Floats,
        *,
        seed: int,
        values: bool = False,
        placebos: int = 999,
    ) -> "Keyring":
        """Fit the whitening, and screen the placebo keys.

        Args:
            inputs: the owner's inputs (n, *d), at least 50, that the whitening is fitted to.
            queries: held-out inputs (q, *d) for claims and for screening.
            source: the source's unmarked answers (q, k) to them: probabilities, or values.
            references: (r, q, k): other unmarked models' answers; with r = 0 keys are not screened.

        Raises:
            SettingError: too few inputs, or a classifier with fewer than two columns.
            ShapeError: arrays that do not fit together.
        """
        _require(inputs, queries, source, references)
        if not values and source.shape[1] < 2:
            raise SettingError(
                "expected a probability for each of two or more classes; let the model answer both of two classes"
            )
        spread = np.maximum(source.std(axis=0), 1e-12) if values else np.ones(source.shape[1])
        whitening = Whitening.fit(inputs)
        ring = cls(
            Task(queries.shape[1:], source.shape[1], values),
            whitening,
            np.asarray(queries, np.float32),
            source,
            references,
            spread,
            WAVES,
            OMEGA,
            seed,
            (),
            0.0 if values else _near(source),
        )
        return replace(ring, placebos=ring.screened(placebos))

    def screened(self, n: int) -> tuple[int, ...]:
        """Numbers of the first `n` placebo keys that lean on no reference.

        Raises:
            SettingError: nearly all do.
        """
        kept: list[int] = []
        start, limit = 0, lenient(len(self.references))
        while len(kept) < n:
            numbers = range(start, start + CHUNK)
            lean = self.lean([self.placebo(i) for i in numbers])
            kept += [i for i, z in zip(numbers, lean, strict=True) if z <= limit]
            start += CHUNK
            if start > 100 * n + 10_000:
                raise SettingError(
                    "nearly every key leans on one of the owner's unmarked models; give more held-out queries, or "
                    "other references"
                )
        return tuple(kept[:n])

    def placebo(self, number: int) -> Secret:
        """A placebo key: nobody's, and known to all."""
        return Secret(sha256(f"birthmark/placebo/1/{self.seed}/{number}".encode()).digest())

    def expand(self, secrets: list[Secret]) -> Waves:
        """Secrets -> waves."""
        return Waves.of(secrets, self.waves, self.whitening.axes.shape[1], self.task.outputs)

    def lean(self, secrets: list[Secret]) -> Floats:
        """The largest z (m,) of each key over the owner's unmarked models; -inf without any."""
        if not len(self.references):
            return np.full(len(secrets), -np.inf)
        ground, residuals, means, sds = self._check
        found = aligned(ground, residuals, self.expand(secrets), self.omega)  # (r, m)
        return np.asarray(((found - means[:, None]) / sds[:, None]).max(axis=0))

    @cached_property
    def _check(self) -> tuple[Ground, Floats, Floats, Floats]:
        ground = self.ground(self.queries, self.source, self.references)
        residuals = ground.left_out
        free = aligned(ground, residuals, self.expand([self.placebo(-1 - i) for i in range(DRAWS)]), self.omega)
        return ground, residuals, free.mean(axis=1), np.maximum(free.std(axis=1), 1e-12)

    def ground(self, queries: Array, source: Floats, others: Floats) -> Ground:
        """What answers to these queries are compared on."""
        return Ground(self.whitening(queries), source, others, self.task.values)

    def client(self, master: Secret, name: str) -> "ClientKey":
        """The key of one client: the first derived from the master key that leans on no unmarked model.

        Raises:
            SettingError: no name, or no such key among many.
        """
        if not name:
            raise SettingError("expected a client's name, got an empty one")
        limit = lenient(len(self.references))
        for number in range(LONGEST_SEARCH):
            secret = master.derive("client", name, number)
            if self.lean([secret])[0] <= limit:
                return ClientKey(name, secret, self)
        raise SettingError(
            f"{LONGEST_SEARCH} keys derived for client {name!r} all lean on the owner's unmarked models; make a new "
            "keyring"
        )

    def save(self, folder: Path) -> str:
        """Write the keyring as a folder; returns its digest."""
        data = {
            "task": {"shape": self.task.shape, "outputs": self.task.outputs, "values": self.task.values},
            "waves": self.waves,
            "omega": self.omega,
            "seed": self.seed,
            "placebos": self.placebos,
            "near": self.near,
        }
        tensors: dict[str, np.ndarray[Any, Any]] = {
            "mean": self.whitening.mean,
            "axes": self.whitening.axes,
            "queries": self.queries,
            "source": self.source,
            "references": self.references,
            "spread": self.spread,
        }
        return save_folder(folder, FORMAT, data, tensors)

    @classmethod
    def load(cls, folder: Path) -> "Keyring":
        """Read a keyring.

        Raises:
            ArtifactError: missing, truncated, edited, or made by a newer version.
        """
        artifact = load_folder(folder, FORMAT)
        try:
            data: Mapping[str, Any] = artifact.data
            tensors = artifact.tensors
            ring = cls(
                Task.read(data["task"]),
                Whitening(tensors["mean"], tensors["axes"]),
                tensors["queries"],
                tensors["source"],
                tensors["references"],
                tensors["spread"],
                data["waves"],
                data["omega"],
                whole(data["seed"]),
                tuple(data["placebos"]),
                float(data["near"]),
            )
            ring._check_fit()
            return ring
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ArtifactError(f"{folder}: the keyring lacks {error}; it was not written by birthmark") from None

    def _check_fit(self) -> None:
        """Raise ValueError for what `make` never makes."""
        white, (q, k) = self.whitening, (len(self.queries), self.task.outputs)
        shapes = (self.source.shape, self.references.shape, self.spread.shape, self.queries.shape)
        if shapes != ((q, k), (len(self.references), q, k), (k,), (q, *self.task.shape)):
            raise ValueError(f"arrays that fit together, having {shapes}")
        d = flattened(self.queries[:1]).shape[1]
        if white.axes.ndim != 2 or (*white.mean.shape, len(white.axes)) != (d, d) or not 0 < white.axes.shape[1] <= d:
            raise ValueError(f"a whitening of {d} values, having {white.mean.shape} and {white.axes.shape}")
        self._check_numbers()

    def _check_numbers(self) -> None:
        white = self.whitening
        arrays = (white.mean, white.axes, self.queries, self.source, self.references, self.spread)
        finite = all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays)
        if not finite or not (self.spread > 0).all():
            raise ValueError("finite real numbers, and spreads above 0")
        numbers = (self.waves, self.seed, *self.placebos)
        if any(type(n) is not int for n in numbers) or not 0 < self.waves <= MOST_WAVES:
            raise ValueError("whole numbers of waves, seed and placebos")
        if type(self.omega) not in (int, float) or not (0 < self.omega < 1e6 and 0 <= self.near <= 1):
            raise ValueError("a frequency, or the margin of near-ties")


@dataclass(frozen=True, eq=False)
class ClientKey:
    """One client's secret and the keyring it goes with."""

    client: str
    secret: Secret
    ring: Keyring = field(repr=False)

    def __post_init__(self) -> None:
        assert len(self.secret.value) == BYTES

    @cached_property
    def waves(self) -> Waves:
        return self.ring.expand([self.secret])

    def field(self, inputs: Array) -> Floats:
        """The keyed field (n, k) at inputs (n, *d)."""
        return np.asarray(self.waves.at(self.ring.whitening(inputs), self.ring.omega)[0])


def lenient(models: int) -> float:
    """The largest z that a key may have on any of so many unmarked models: a share PASS of fair keys passes."""
    return NormalDist().inv_cdf(PASS ** (1 / models)) if models else float("inf")


def _near(source: Floats) -> float:
    top = np.sort(source, axis=1)[:, -2:]
    return float(np.quantile(top[:, 1] - top[:, 0], TIE_SHARE))


def logged(key: ClientKey, inputs: Array, source: Floats, references: Floats) -> ClientKey:
    """The same key over inputs (n, *d) that its client asked, with unmarked answers (n, k) and (r, n, k)."""
    return replace(
        key, ring=replace(key.ring, queries=np.asarray(inputs, np.float32), source=source, references=references)
    )
