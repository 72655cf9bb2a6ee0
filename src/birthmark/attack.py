"""What a theft is: something that turns access to a model into a model of the thief's own."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from birthmark.errors import AccessError
from birthmark.oracle import Oracle
from birthmark.types import Access, Samples

if TYPE_CHECKING:
    from torch import nn


class Attack(ABC):
    """A frozen dataclass whose fields are its settings, nothing else.

    Class attributes:
        name: as on the command line and in cards.
        needs: the least access to the target.
        source_paper: where it comes from, one line.
    """

    name: ClassVar[str]
    needs: ClassVar[Access]
    source_paper: ClassVar[str]

    @abstractmethod
    def steal(self, target: Oracle, data: Samples, *, seed: int) -> "nn.Module":
        """Make a derived model; the target is left untouched, and every query to it goes through the oracle.

        Args:
            target: grants at least `needs`; a `WhiteBox` where that is WEIGHTS.
            data: what the thief has: inputs with true labels (extraction uses the inputs only).

        Raises:
            AccessError: the target grants less than `needs`.
        """

    def view(self, samples: Samples) -> Samples:
        """Samples as the stolen model labels them: the same, unless the attack takes the model to another task."""
        return samples

    def check(self, target: Oracle) -> None:
        """Raise AccessError unless the target grants what this attack needs."""
        if target.access < self.needs:
            raise AccessError(
                f"{self.name} needs {self.needs.name} access, but {target.name} grants {target.access.name}; use the "
                "model's file, or choose an attack that needs less (birthmark list attacks)"
            )
