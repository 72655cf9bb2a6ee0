"""Models that are there, of any framework, as whom a claim is made of; and what a pool of inputs must be."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from birthmark.answers import ENOUGH, Coarseness, coarseness, coarsest
from birthmark.claim import Task
from birthmark.errors import BirthmarkError, SettingError, ShapeError
from birthmark.inputs import plain, query_digest, texts
from birthmark.oracle import Oracle, Probabilities
from birthmark.parties import Parties
from birthmark.types import Answers, Array, Floats, Samples
from birthmark.workshop.reruns import same_models

BATCH = 1000  # inputs in one call


@dataclass(frozen=True)
class Answered(Parties):
    """Models that are there: whatever answers is asked, nothing is trained.

    All are read as coarsely as the coarsest of source and twins: a source that shows labels, the top classes or three
    digits would be told from its twins by that alone.

    Attributes:
        treated: of every reference its copies and students, equally many.
    """

    source: Oracle
    twins: tuple[Oracle, ...]
    references: tuple[Oracle, ...]
    treated: tuple[tuple[Oracle, ...], ...]
    pool: Samples
    outputs: int
    values: bool = False

    @property
    def task(self) -> Task:
        names = self.pool.names if len(self.pool.names) == self.outputs else ()
        return Task(self.pool.shape, self.outputs, self.values, self.pool.form, names)

    @property
    def everybody(self) -> tuple[Oracle, ...]:
        """All of them, the source first."""
        return (self.source, *self.twins, *self.references, *(one for row in self.treated for one in row))

    @property
    def numbers(self) -> dict[str, int]:
        """How many there are, by the names that methods have for them."""
        each = len(self.treated[0]) if self.treated else 0
        return {"placebos": len(self.twins), "references": len(self.references), "treated": each}

    @cached_property
    def coarseness(self) -> Coarseness:
        """How coarsely source and twins answer; all are read so."""
        some = self.pool.inputs[: 4 * ENOUGH]
        return coarsest([coarseness(self._rows(one, some)) for one in (self.source, *self.twins)])

    @cached_property
    def _on_pool(self) -> Floats:
        """The owners' answers to the whole pool, asked once."""
        return self._said([self.source, *self.twins], self.pool.inputs)

    def owners_say(self, inputs: Array, twins: int) -> Floats:
        """As `Parties.owners_say`.

        Raises:
            SettingError: more twins than were given.
        """
        enough("twins", twins, self.twins)
        if inputs is self.pool.inputs:
            return self._on_pool[: 1 + twins]
        return self._said([self.source, *self.twins[:twins]], inputs)

    def references_say(self, inputs: Array, n: int) -> Floats:
        """As `Parties.references_say`.

        Raises:
            SettingError: more references than were given.
        """
        enough("references", n, self.references)
        return self._said(self.references[:n], inputs)

    def treated_say(self, inputs: Array, references: int, each: int) -> Floats:
        """As `Parties.treated_say`.

        Raises:
            SettingError: more than were given.
        """
        enough("treated references", references, self.treated)
        return np.stack([self._said(row[:each], inputs) for row in self.treated[:references]])

    def _said(self, oracles: Sequence[Oracle], inputs: Array) -> Floats:
        rows = np.empty((len(oracles), len(inputs), self.outputs))
        for place, oracle in enumerate(oracles):
            found = self._rows(oracle, inputs)
            rows[place] = found if self.values else self.coarseness.show(found)
        return rows

    def _rows(self, oracle: Oracle, inputs: Array) -> Floats:
        """One model's answers (n, k), checked.

        Raises:
            SettingError: rows of another width than the source's.
        """
        read = Probabilities(oracle)
        rows = np.concatenate([read(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)])
        if rows.shape != (len(inputs), self.outputs):
            raise SettingError(
                f"{oracle.name}: expected answers of shape ({len(inputs)}, {self.outputs}) as the source's are, got "
                f"{rows.shape}; all models must answer one task, their classes in one order"
            )
        return rows


def enough(kind: str, wanted: int, given: Sequence[object]) -> None:
    """Raise SettingError unless so many were given."""
    if wanted > len(given):
        raise SettingError(f"expected {wanted} {kind}, got {len(given)}")


def answered(oracles: Sequence[Oracle], twins: int, references: int, pool: Samples) -> Answered:
    """The parties, of oracles in order: the source, twins, references, and what was made of these.

    Raises:
        SettingError: treated ones that do not share out equally among the references.
    """
    own, rest = oracles[: 1 + twins + references], oracles[1 + twins + references :]
    each = len(rest) // references if references else 0
    if each * references != len(rest):
        raise SettingError(
            f"expected equally many treated models of each of {references} references, the first one's first, got "
            f"{len(rest)}"
        )
    width = own[0](pool.inputs[:1]).shape[1]
    if pool.classes > width > 1:
        raise ShapeError(
            f"the source answers {width} outputs, the pool has {pool.classes} classes; give the data it was trained on"
        )
    return Answered(
        own[0],
        tuple(own[1 : 1 + twins]),
        tuple(own[1 + twins :]),
        tuple(tuple(rest[i * each : (i + 1) * each]) for i in range(references if each else 0)),
        pool,
        max(2, width) if own[0].answers is Answers.SIGMOID else width,
        own[0].answers is Answers.VALUES,
    )


def distinct(pool: Samples) -> tuple[Samples, list[str]]:
    """The pool without copies, and a note if there were any.

    Raises:
        SettingError: fewer than two different inputs.
    """
    first = dict[str, int]()
    for place, row in enumerate(pool.inputs):
        first.setdefault(query_digest(row), place)
    copies = len(pool) - len(first)
    if len(first) < 2:
        raise SettingError(f"expected a pool of different inputs, got {len(pool)} of which {len(first)} differ")
    if not copies:
        return pool, []
    return pool[np.array(list(first.values()))], [f"{copies} of {len(pool)} inputs of the pool are copies: left out"]


def unlabelled(inputs: Array) -> Samples:
    """Inputs (n, *d) of which nobody says what is true."""
    if inputs.ndim < 1 or not len(inputs):
        raise SettingError(f"expected a pool of inputs (n, ...), got shape {inputs.shape}")
    x = texts(map(str, inputs.tolist())) if inputs.dtype.kind in "US" else plain(inputs)
    return Samples(x, np.full(len(x), -1), -1)


def named(twins: int, references: int, treated: int) -> list[str]:
    """Names of models that have none."""
    several = (("twin", twins), ("reference", references), ("treated", treated))
    return ["source", *(f"{kind} {i + 1}" for kind, n in several for i in range(n))]


def check_different(rows: Floats, names: Sequence[str]) -> None:
    """Raise BirthmarkError if two models' answers (m, n, k) are the same, or one is a copy of the other."""
    if same := same_models(rows):
        one, other = (names[place] for place in same)
        raise BirthmarkError(
            f"claim refused: source, twins and references are not all different models: {one} and {other} answer all "
            f"{rows.shape[1]} inputs alike. Each must be trained under a seed of its own; if they were, take a larger "
            "or harder pool"
        )


def coarse(parties: Answered) -> list[str]:
    """A note if all models are read as coarsely as one of them answers."""
    if parties.values:
        return []
    labels, shown, step = parties.coarseness
    if labels:
        return ["source or a twin shows labels alone, so that all models are read as labels"]
    top = [f"the top {shown} classes"] if shown < parties.outputs else []
    said = [*top, *([f"multiples of {step:g}"] if step else [])]
    return [f"source or a twin answers {' in '.join(said)}, so that all models are read so"] if said else []
