"""Whatever answers as an oracle: functions, arrays of answers, estimators, networks."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birthmark.answers import ENOUGH, one_hot
from birthmark.errors import OracleError, SettingError
from birthmark.inputs import given, query_digest
from birthmark.oracle import Function, Oracle
from birthmark.types import Access, Answers, Array, Floats, Form

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class Estimator(Protocol):
    """A classifier of scikit-learn's kind."""

    def predict_proba(self, inputs: Array, /) -> ArrayLike: ...


Model = Oracle | Estimator | Callable[[Array], ArrayLike] | ArrayLike


class Predict(Function):
    """A function (inputs -> probabilities, class numbers or values) as an oracle; it gets a copy of its inputs: texts
    are a list, records a list of dicts.

    Raises:
        SettingError: class numbers, and nobody knows of how many classes.
    """

    def __init__(
        self, function: Callable[[Array], ArrayLike], name: str, first: Array, outputs: int, kind: str, form: Form
    ) -> None:
        self.form = form
        rows = rows_of(function(cast("Array", given(first[:ENOUGH], form))), name)
        super().__init__(function, kind_of(rows, name, kind), name)
        self.outputs = classes_of(self.answers, outputs, name)

    def __call__(self, inputs: Array) -> Floats:
        return as_rows(
            rows_of(self.function(cast("Array", given(inputs, self.form))), self.name), self.outputs, self.name
        )


class Known(Oracle):
    """Answers (n, k), or class numbers (n,), that are known already, to these inputs (n, *d) and to no others."""

    def __init__(self, answers: ArrayLike, name: str, inputs: Array, outputs: int, kind: str) -> None:
        rows = rows_of(answers, name)
        if len(rows) != len(inputs):
            raise SettingError(f"{name}: expected answers to {len(inputs)} inputs, got {len(rows)}")
        self.name, self.answers = name, kind_of(rows, name, kind)
        self.access = Access.LABELS if self.answers is Answers.LABELS else Access.PROBS
        self.rows, self.outputs = rows, classes_of(self.answers, outputs, name)  # perhaps mapped: read when asked
        self.inputs = Same(inputs)

    def __call__(self, inputs: Array) -> Floats:
        known = _places(self.inputs)
        places = [known.get(query_digest(row), -1) for row in inputs]
        if -1 in places:
            raise SettingError(
                f"{self.name}: answers to the pool's inputs are known, and {places.count(-1)} of {len(inputs)} queries "
                "are others; give a function in place of an array, or use kinship, akh or random-queries"
            )
        return as_rows(self.rows[places], self.outputs, self.name)


class Same(NamedTuple):
    """Inputs by identity: what is computed of them once serves all models that answer them."""

    inputs: Array

    def __hash__(self) -> int:
        return id(self.inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.inputs is other.inputs


@lru_cache(maxsize=2)
def _places(known: Same) -> dict[str, int]:
    return {query_digest(row): place for place, row in enumerate(known.inputs)}


def oracle_of(
    model: Model, name: str, inputs: Array, *, outputs: int = 0, kind: str = "", form: Form = Form.NUMBERS
) -> Oracle:
    """A model as an oracle.

    Args:
        model: an oracle, an estimator with `predict_proba`, a network, a function, or answers to all of `inputs`.
        inputs: some that it is asked first, to see what it answers.
        outputs: number of classes, if it is known.
        kind: "values" for regressors and generators.
        form: of the inputs.

    Raises:
        SettingError: answers of another length, or of no kind that is known.
    """
    if isinstance(model, Oracle):
        return model
    if kind != "values" and isinstance(model, Estimator):
        return Predict(model.predict_proba, name, inputs, outputs, kind, form)
    if hasattr(model, "state_dict"):
        from birthmark.workshop.whitebox import Open

        return Open(cast("nn.Module", model), Answers(kind or "logits"), name)
    if callable(model):
        return Predict(model, name, inputs, outputs, kind, form)
    return Known(cast("ArrayLike", model), name, inputs, outputs, kind)


def rows_of(answers: ArrayLike, name: str) -> NDArray[np.generic]:
    """What a function returned, as an array.

    Raises:
        OracleError: no numbers.
    """
    if callable(detach := getattr(answers, "detach", None)):
        answers = detach().cpu()
    try:
        rows = np.asarray(answers)
    except ValueError as error:
        raise OracleError(f"{name}: expected one row of numbers an input, got {error}") from None
    if rows.dtype.kind not in "biuf" or rows.ndim not in (1, 2):
        raise OracleError(
            f"{name}: expected probabilities (n, k), or class numbers (n,), got {rows.dtype} of shape {rows.shape}"
        )
    return rows


def kind_of(rows: NDArray[np.generic], name: str, kind: str) -> Answers:
    """What rows are: values if that is said, class numbers if there is one whole number a row, else probabilities.

    Raises:
        SettingError: one real number a row.
    """
    if kind:
        return Answers(kind)
    if rows.ndim == 2:
        return Answers.PROBABILITIES
    if rows.dtype.kind in "biu":
        return Answers.LABELS
    raise SettingError(
        f"{name}: expected the probability of every class (n, k), or class numbers, got one real number an input; of "
        "two classes give both"
    )


def classes_of(answers: Answers, outputs: int, name: str) -> int:
    """How many classes numbers stand for; 0 where answers are rows."""
    if answers is not Answers.LABELS:
        return 0
    if not outputs:
        raise SettingError(
            f"{name}: answers class numbers, and of how many classes nobody says; give the pool as "
            "birthmark.Samples(inputs, targets, classes)"
        )
    return outputs


def as_rows(rows: NDArray[np.generic], outputs: int, name: str) -> Floats:
    """Rows as they are (n, k), one value a row as a column, class numbers of `outputs` classes as one-hot rows.

    Raises:
        OracleError: a number that is no class.
    """
    if not outputs or rows.ndim == 2:
        return np.asarray(rows.reshape(len(rows), -1), dtype=np.float64)
    labels = rows.astype(np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < outputs:
        raise OracleError(f"{name}: expected classes 0 to {outputs - 1}, got {labels.min()} to {labels.max()}")
    return one_hot(labels, outputs)
