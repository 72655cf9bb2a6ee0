"""What a theft is: something that turns access to a model into a model of the thief's own."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from birthmark.errors import AccessError, SettingError
from birthmark.oracle import Oracle
from birthmark.settings import Configured
from birthmark.types import Access, Answers, Samples

if TYPE_CHECKING:
    from torch import nn


class Attack(Configured, ABC):
    """A frozen dataclass whose fields are its settings, nothing else.

    Class attributes:
        name: as on the command line and in cards.
        needs: the least access to the target.
        source_paper: where it comes from, one line.
        classifier: whether only classifiers can be stolen this way.
        truth: whether the thief's data must have class labels.
    """

    needs: ClassVar[Access]
    source_paper: ClassVar[str]
    classifier: ClassVar[bool] = False
    truth: ClassVar[bool] = False

    @abstractmethod
    def steal(self, target: Oracle, data: Samples, *, seed: int) -> "nn.Module":
        """Make a derived model; the target is left untouched, and every query to it goes through the oracle.

        Args:
            target: grants at least `needs`; a `WhiteBox` where that is WEIGHTS.
            data: what the thief has: inputs with true labels (extraction uses the inputs only).

        Raises:
            AccessError: the target grants less than `needs`.
            SettingError: the target or the data are of a kind that this attack has no use for.
        """

    def view(self, samples: Samples) -> Samples:
        """Samples as the stolen model labels them: the same, unless the attack takes the model to another task."""
        return samples

    def check(self, target: Oracle, data: Samples | None = None) -> None:
        """Raise AccessError or SettingError unless target and data are what this attack needs."""
        if target.access < self.needs:
            raise AccessError(
                f"{self.name} needs {self.needs.name} access, but {target.name} grants {target.access.name}; use the "
                "model's file, or choose an attack that needs less (birthmark list attacks)"
            )
        if self.classifier and target.answers is Answers.VALUES:
            raise SettingError(
                f"{self.name}: expected a classifier, got a target of real values; use distill, ftal or mixed"
            )
        if self.truth and data is not None and not data.classes:
            raise SettingError(f"{self.name}: expected data with class labels, got real values; use ftal or mixed")
