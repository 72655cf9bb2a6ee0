"""The only way to a suspect: something that answers inputs, and wrappers that are oracles themselves.

`Metered(HardLabels(model), budget=100)` is an oracle that answers a hundred inputs with labels. Arrays are
NumPy's on both sides, so that remote suspects, files and replays need no torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from birthmark.answers import ENOUGH, as_labels, as_probabilities, checked
from birthmark.errors import BudgetError, ShapeError
from birthmark.types import Access, Answers, Array, Floats, Labels

if TYPE_CHECKING:
    from torch import nn


class Part(NamedTuple):
    """Some of the answers to a call: `rows` (m, k) answer the inputs at `places` (m,)."""

    places: Labels
    rows: Floats


class Oracle(ABC):
    """Answers inputs (n, *d) with rows (n, k): labels as one-hot rows, probabilities, logits or values.

    Attributes:
        access: what it grants.
        answers: the kind of its rows, as declared or probed.
        name: how evidence and messages call it; never holds a secret.
        batch: how many inputs are best asked in one call.
        identity: what it is, apart from its name: digest of its file, or address and declaration; set by who opens it.
        sent: for remote oracles, queries sent so far, those sent again after failures included; None for others.
        leaving: called by remote oracles with the number of queries before each request leaves, and with its negative
            if no connection took them.
    """

    access: Access
    answers: Answers
    name: str = "oracle"
    batch: int = 100
    identity: Mapping[str, str] | None = None
    sent: int | None = None
    leaving: Callable[[int], None] | None = None

    @abstractmethod
    def __call__(self, inputs: Array) -> Floats:
        """Answer inputs (n, *d) with float64 rows (n, k)."""

    def parts(self, inputs: Array) -> Iterator[Part]:
        """The same answers in parts, in any order, each as soon as it is there; what came before a failure is kept."""
        yield Part(np.arange(len(inputs)), self(inputs))

    def identify(self) -> Mapping[str, str]:
        """Everything that decides its answers, as text; a transcript is used for nothing else.

        The entry "place" says where it was found, and "sha256" the digest of its bits.
        """
        return self.identity or {"name": self.name}

    def remarks(self) -> tuple[str, ...]:
        """What a reader of the evidence must know: what was probed, how often queries had to be sent again."""
        return ()


class WhiteBox(Oracle):
    """An oracle that grants its weights.

    Attributes:
        module: the network itself, in evaluation mode; takes tensors (n, *d) and answers (n, k).
    """

    access = Access.WEIGHTS
    module: "nn.Module"


class Function(Oracle):
    """Any function of arrays as an oracle: tests, other libraries' models, in-process services."""

    def __init__(self, function: Callable[[Array], Any], answers: Answers | str, name: str = "function") -> None:
        self.function = function
        self.answers = Answers(answers)
        self.access = Access.LABELS if self.answers is Answers.LABELS else Access.PROBS
        self.name = name

    def __call__(self, inputs: Array) -> Floats:
        return np.asarray(self.function(np.array(inputs)), dtype=np.float64)  # one that changes them changes a copy


class Wrapper(Oracle):
    """An oracle around an oracle: grants and answers what the inner one does, unless a subclass says less."""

    def __init__(self, inner: Oracle) -> None:
        self.inner = inner
        self.access = min(inner.access, Access.PROBS)
        self.answers = inner.answers
        self.name = inner.name
        self.batch = inner.batch

    def __call__(self, inputs: Array) -> Floats:
        return self.inner(inputs)

    @property
    def shows(self) -> str:
        """In a word, what it makes of the inner oracle's answers; empty if nothing."""
        return type(self).__name__

    def identify(self) -> Mapping[str, str]:
        inner = self.inner.identify()
        shown = f"{inner.get('shown', '')} {self.shows}".strip()
        return self.identity or ({**inner, "shown": shown} if shown else inner)

    def remarks(self) -> tuple[str, ...]:
        return self.inner.remarks()


class Probabilities(Wrapper):
    """An inner oracle's logits or sigmoid scores as probabilities; other kinds pass, checked against what they are.

    Every suspect is read through it, whether a file or a server: `birthmark.answers` says what is refused.

    Raises:
        OracleError: rows that are not what the inner oracle is declared to answer.
    """

    def __init__(self, inner: Oracle) -> None:
        super().__init__(inner)
        if inner.answers in (Answers.LOGITS, Answers.SIGMOID):
            self.answers = Answers.PROBABILITIES
        self._last: Floats = np.empty((0, 0))  # rows before these: servers may answer one at a time

    def __call__(self, inputs: Array) -> Floats:
        return self.read(self.inner(inputs))

    def parts(self, inputs: Array) -> Iterator[Part]:
        for part in self.inner.parts(inputs):
            yield Part(part.places, self.read(part.rows))

    def read(self, rows: Floats) -> Floats:
        """Rows (n, k) of the inner oracle as this one answers them."""
        seen = np.concatenate([self._last, rows]) if rows.shape[1:] == self._last.shape[1:] else rows
        self._last = checked(seen, len(seen), None, self.inner.answers, self.name)[-ENOUGH:]
        return as_probabilities(rows, self.inner.answers)


class HardLabels(Wrapper):
    """One-hot rows of the top class."""

    def __init__(self, inner: Oracle) -> None:
        super().__init__(Probabilities(inner) if inner.answers is Answers.SIGMOID else inner)
        if inner.answers is Answers.VALUES:
            raise ShapeError("expected a classifier to answer labels, got an oracle of real values")
        self.access, self.answers = Access.LABELS, Answers.LABELS

    def __call__(self, inputs: Array) -> Floats:
        rows = self.inner(inputs)
        return as_labels(rows)


class TopK(Wrapper):
    """Only the `k` largest probabilities; the others are answered as 0, so rows may sum to less than one."""

    def __init__(self, inner: Oracle, k: int) -> None:
        super().__init__(Probabilities(inner))
        self.k = k

    @property
    def shows(self) -> str:
        return f"TopK({self.k})"

    def __call__(self, inputs: Array) -> Floats:
        rows = self.inner(inputs)
        floor = np.sort(rows, axis=1)[:, -min(self.k, rows.shape[1])][:, None]
        return np.where(rows >= floor, rows, 0.0)


class Rounded(Wrapper):
    """Answers rounded to `digits` decimals."""

    def __init__(self, inner: Oracle, digits: int) -> None:
        super().__init__(Probabilities(inner))
        self.digits = digits

    @property
    def shows(self) -> str:
        return f"Rounded({self.digits})"

    def __call__(self, inputs: Array) -> Floats:
        return np.round(self.inner(inputs), self.digits)


class Metered(Wrapper):
    """Counts every input sent, and refuses a batch that would overspend `budget` before sending any of it.

    Raises:
        BudgetError: on the call that would overspend.
    """

    def __init__(self, inner: Oracle, budget: int | None = None) -> None:
        super().__init__(inner)
        self.budget = budget
        self.spent = 0

    @property
    def shows(self) -> str:
        return ""

    @property
    def left(self) -> int | None:
        """Queries left, or None without a budget."""
        return None if self.budget is None else self.budget - self.spent

    def __call__(self, inputs: Array) -> Floats:
        if self.budget is not None and self.spent + len(inputs) > self.budget:
            raise BudgetError(
                f"{self.name}: {len(inputs)} more queries would overspend the budget of {self.budget} ({self.spent} "
                "spent); raise --budget or ask for fewer"
            )
        self.spent += len(inputs)
        return self.inner(inputs)

    def parts(self, inputs: Array) -> Iterator[Part]:
        if self.budget is None or self.spent + len(inputs) <= self.budget:
            self.spent += len(inputs)
            yield from self.inner.parts(inputs)
        else:
            self(inputs)
