"""The words that are arrays: what oracles take and answer.

Axes have fixed letters everywhere: `n` inputs, `k` classes or output values, `*d` one input's own shape,
`m` owners (the source first, then its twins), `q` queries, `r` references.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birthmark.errors import ShapeError

Array = NDArray[np.float32]  # of inputs: these are int64, or strings, where `Form` says so
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Tensors = dict[str, NDArray[Any]]  # arrays by name, as claims and folders keep them
Settings = Mapping[str, Any]  # of a method, attack, watermark or training, by name
Plain = Mapping[str, Any]  # a JSON object: what jobs take and records hold


CHUNK = 4096  # rows that are read at once


class Access(IntEnum):
    """What an oracle grants, from least to most; regressors and generators answer at the level of PROBS."""

    LABELS = 1
    PROBS = 2
    WEIGHTS = 3


class Answers(StrEnum):
    """The kind of rows a model answers with.

    LOGITS are any real rows whose softmax is the prediction; PROBABILITIES lie on the simplex (top-k answers
    may sum to less than one); SIGMOID scores lie in [0, 1], each class against the rest, or one score a row for the
    second of two classes; LABELS are one-hot rows; VALUES are real outputs of a regressor or generator.
    """

    LABELS = "labels"
    PROBABILITIES = "probabilities"
    LOGITS = "logits"
    SIGMOID = "sigmoid"
    VALUES = "values"


class Form(StrEnum):
    """What one input is: numbers (float32, or int64 that stay so, as token ids do), a text, or a JSON record."""

    NUMBERS = "numbers"
    TEXT = "text"
    RECORDS = "records"


@dataclass(frozen=True)
class Samples:
    """Inputs (n, *d) of numbers, or (n,) of strings, with their targets: class numbers (n,) int64 (-1 where nobody
    knows), or real values (n, k) float32.

    Raises:
        ShapeError: unequal lengths, or inputs that are not finite.
    """

    inputs: Array
    targets: NDArray[np.generic]
    classes: int  # 0 for real-valued targets
    form: Form = Form.NUMBERS  # strings are texts unless it says records
    names: tuple[str, ...] = ()  # of classes, where they are known

    def __post_init__(self) -> None:
        strings = self.inputs.dtype.kind == "T"
        if strings and self.form is Form.NUMBERS:
            object.__setattr__(self, "form", Form.TEXT)
        if len(self.inputs) != len(self.targets):
            raise ShapeError(
                f"expected as many targets as inputs, got {len(self.inputs)} inputs and {len(self.targets)} targets"
            )
        if isinstance(self.inputs, np.ndarray) and not strings and not np.isfinite(self.inputs).all():
            raise ShapeError("expected finite inputs, got NaN or infinity; clean the data first")

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, which: slice | NDArray[np.integer] | NDArray[np.bool_]) -> "Samples":
        rows = self.inputs[which] if isinstance(self.inputs, np.ndarray) else self.inputs.part(which)
        return Samples(rows, self.targets[which], self.classes, self.form, self.names)

    @property
    def shape(self) -> tuple[int, ...]:
        """One input's own shape."""
        return self.inputs.shape[1:]

    @property
    def labelled(self) -> bool:
        """Whether the truth of all is known; -1 stands for a class, or a number of classes, that is not."""
        return self.classes >= 0 and bool((np.asarray(self.targets) >= (0 if self.classes else -np.inf)).all())

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of everything in it."""
        total = sha256(repr((self.inputs.shape, self.targets.shape, str(self.targets.dtype), self.classes)).encode())
        for array in (self.inputs, self.targets):
            for start in range(0, len(array), CHUNK):
                rows = array[start : start + CHUNK]
                strings = rows.dtype.kind == "T"
                total.update(json.dumps(rows.tolist()).encode() if strings else np.ascontiguousarray(rows).data)
        return total.hexdigest()

    @property
    def outputs(self) -> int:
        """Width of a model's answer: the number of classes, or of target values."""
        return self.classes or int(np.prod(self.targets.shape[1:], initial=1))
