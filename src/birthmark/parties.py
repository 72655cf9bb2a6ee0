"""Whom a claim is made of: the source, its twins, and independent models, as far as they answer.

Fingerprints of answers need nothing else. `birthmark.answered` holds models that are there, in any framework; an
owner's recipe (`birthmark.workshop.owner`) trains them first.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from birthmark.claim import Task
    from birthmark.types import Array, Floats, Samples


class Parties(ABC):
    """Source, twins, references, and what was made of references.

    Attributes:
        pool: held-out inputs that queries are chosen from.
    """

    pool: "Samples"

    @property
    @abstractmethod
    def task(self) -> "Task":
        """What all of them answer."""

    @abstractmethod
    def owners_say(self, inputs: "Array", twins: int) -> "Floats":
        """Probabilities or values (1 + twins, n, k) of the source and so many twins."""

    @abstractmethod
    def references_say(self, inputs: "Array", n: int) -> "Floats":
        """The same (r, n, k) of independent models."""

    @abstractmethod
    def treated_say(self, inputs: "Array", references: int, each: int) -> "Floats":
        """The same (r, t, n, k) of copies and students of each reference."""

    def independents(self, inputs: "Array", references: int, treated: int) -> "dict[str, Floats]":
        """A claim's "references" (r, n, k) and "treated" (r, t, n, k), where there are any."""
        found = {"references": self.references_say(inputs, references)} if references else {}
        return {**found, "treated": self.treated_say(inputs, references, treated)} if references and treated else found
