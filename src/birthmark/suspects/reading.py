"""How a suspect's decoded answers become rows (n, k) in the source's class order, as declared."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from birthmark.answers import as_labels, one_hot
from birthmark.claim import Task
from birthmark.errors import OracleError
from birthmark.secrets import printable
from birthmark.suspects.writing import STRICT, Line
from birthmark.types import Answers, Floats

if TYPE_CHECKING:
    from birthmark.claim import Task

KINDS = {
    "labels": Answers.LABELS,
    "topk": Answers.PROBABILITIES,
    "probabilities": Answers.PROBABILITIES,
    "logits": Answers.LOGITS,
    "sigmoid": Answers.SIGMOID,
    "log-odds": Answers.LOGITS,
    "values": Answers.VALUES,
}
ONE_NUMBER = ("values", "sigmoid", "log-odds")  # kinds that may be one number a query


def _names(value: object) -> object:
    """Names of classes; whole numbers are names too."""
    if not isinstance(value, (list, tuple)):
        return value
    return [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in value]


@dataclass(frozen=True, config=STRICT)
class Reading:
    """How answers are read.

    Attributes:
        output_name: of the tensor, where a model has several.
        answers: "labels", "topk", "probabilities", "logits", "sigmoid" (a score in [0, 1] of its own for each class,
            or one number p of two classes, which means 1 - p and p), "log-odds" (one number of two classes, before the
            sigmoid) or "values"; "" means probabilities of a classifier, values of others.
        scale: what the suspect writes for 1: 100 for percent.
        top: how many classes to ask for, for dialects that let the caller say; 0 for all.
        order: for each of the source's classes, its column in the suspect's rows; other columns are left out.
        labels: for each of the source's classes, the suspect's name for it.
        rows: of `generic`: JMESPath of the answers.
    """

    output_name: Line = ""
    answers: Literal["", "labels", "topk", "probabilities", "logits", "sigmoid", "log-odds", "values"] = ""
    scale: Annotated[float, Field(gt=0)] = 1.0
    top: Annotated[int, Field(ge=0)] = 0
    order: Annotated[tuple[Annotated[int, Field(ge=0, lt=1 << 24)], ...], Field(strict=False)] = ()
    labels: Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_names)] = ()
    rows: Line = ""

    def __post_init__(self) -> None:
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"expected order to name every column once, got {list(self.order)}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("expected each of labels once; two of the source's classes cannot share a name")
        if self.order and self.labels:
            raise ValueError("expected order (columns of rows) or labels (names of classes), got both")

    @property
    def kind(self) -> Answers | None:
        """Kind of rows, if declared."""
        return KINDS[self.answers] if self.answers else None


def rows(value: object, n: int, said: Reading, task: "Task", name: str) -> Floats:
    """A suspect's decoded answers to n queries as rows (n, k) in the source's class order.

    Takes numbers (n, k); one label a query, by number or by name; {name: score} or [{"label", "score"}] a query.
    Classes that a top-k answer leaves out are 0.

    Raises:
        OracleError: other shapes, unknown labels, or fewer classes than declared.
    """
    answers = _counted(value, n, name)
    if n == 0:
        return np.zeros((0, task.outputs))
    first = answers[0]
    if isinstance(first, (list, tuple)) and first and isinstance(first[0], Mapping):
        return _each(lambda row: _named(_pairs(row, name), said, task, name), answers, said, name)
    if isinstance(first, Mapping):
        if first.keys() >= {"label", "score"}:
            answers = [_pairs([item], name) for item in answers]
        return _each(lambda row: _named(row, said, task, name), answers, said, name)
    if said.answers == "labels" and (labels := _labels(answers)):
        return one_hot([_place(label, said, task, name) for label in labels], task.outputs)
    return matrix(numbers(answers, n, said, name), said, task, name)


def _labels(answers: Sequence[object]) -> list[object]:
    """One label a query; empty where queries have rows of several numbers."""
    row = (list, tuple, np.ndarray)
    flat = [item[0] if isinstance(item, row) and len(item) == 1 else item for item in answers]
    return [] if isinstance(flat[0], row) else flat


def matrix(array: Floats, said: Reading, task: "Task | None", name: str) -> Floats:
    """Rows of numbers (n, w) as rows in the source's class order; without a task they are taken to have its width.

    Raises:
        OracleError: other columns than declared, or one number where two classes must be told apart.
    """
    if array.shape[1] == 1 and task is not None and task.outputs > 1 and said.answers not in ONE_NUMBER:
        raise _one_number(said, name)
    return _meant(_ordered(array, said, name), said, name)


def _swapped(array: Floats, said: Reading) -> Floats:
    """One number a query that stands for the first of two classes, as it would for the second."""
    return np.asarray(-array if said.answers == "log-odds" else said.scale - array)


def _one_number(said: Reading, name: str) -> OracleError:
    return OracleError(
        f"{name}: expected rows of {said.answers}, got one number a query; declare answers labels if it is a class, "
        "sigmoid if it is the probability of the second of two, log-odds if it is that before its sigmoid"
    )


def _counted(value: object, n: int, name: str) -> Sequence[object]:
    if isinstance(value, Mapping):
        names = printable(", ".join(list(map(str, value))[:5]), 200)
        raise OracleError(f"{name}: expected {n} answers, got one object with {names}; declare output_name or rows")
    if not isinstance(value, (list, tuple, np.ndarray)) or (isinstance(value, np.ndarray) and not value.ndim):
        raise OracleError(f"{name}: expected {n} answers, got {printable(value, 60)!r}")
    if len(value) != n:
        raise OracleError(f"{name}: expected {n} answers, got {len(value)}")
    return value  # type: ignore[return-value]


def numbers(value: Sequence[object], n: int, said: Reading, name: str) -> Floats:
    """Nested lists as rows of float64 (n, -1); null and text become an error, NaN stays to be reported by its name."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        first = value[0]
        sample = json.dumps(first.tolist() if isinstance(first, (np.ndarray, np.generic)) else first, default=str)
        raise OracleError(
            f"{name}: expected {n} rows of equal length with numbers, got for example {printable(sample, 80)}; declare "
            "answers, output_name or labels"
        ) from None
    if array.ndim < 2 and said.answers not in ONE_NUMBER:
        raise _one_number(said, name)
    return array.reshape(n, -1)


def _ordered(array: Floats, said: Reading, name: str) -> Floats:
    """The columns that `order` names; probabilities of the source's classes alone, where the suspect has others too."""
    if said.labels:
        raise OracleError(
            f"{name}: answers rows of numbers, to which labels says nothing; declare order, each class's column"
        )
    if not said.order:
        return array
    if array.shape[1] == 1 and said.order == (1, 0) and said.answers in ONE_NUMBER:
        return _swapped(array, said)
    if array.shape[1] <= max(said.order):
        raise OracleError(
            f"{name}: expected rows of at least {max(said.order) + 1} as order says, got {array.shape[1]}"
        )
    chosen = np.asarray(array[:, list(said.order)])
    return _among_chosen(chosen, array.sum(axis=1)) if said.answers == "probabilities" else chosen


def _among_chosen(chosen: Floats, total: Floats) -> Floats:
    """Probabilities given that the class is one of the chosen; rows whose chosen classes have none stay as they are."""
    part = chosen.sum(axis=-1)
    with np.errstate(all="ignore"):
        share = np.where((part > 0) & np.isfinite(total) & (part < total), total / part, 1.0)
    return np.asarray(chosen * share[..., None])


def _meant(array: Floats, said: Reading, name: str) -> Floats:
    """Rows in units of 1; log-odds of two classes as their logits.

    Raises:
        OracleError: rows where one number was declared.
    """
    array = array / said.scale
    if said.answers != "log-odds":
        return array
    if array.shape[1] != 1:
        raise OracleError(f"{name}: expected one number a query, the log-odds of two classes, got {array.shape[1]}")
    return np.hstack([np.zeros_like(array), array])


def _pairs(row: object, name: str) -> dict[str, object]:
    """[{"label", "score"}, ...] as {label: score}."""
    if not isinstance(row, (list, tuple)):
        raise OracleError(f"{name}: expected objects with label and score, got {printable(row, 80)}")
    pairs = dict[str, object]()
    for item in row:
        if not isinstance(item, Mapping) or "label" not in item:
            raise OracleError(f"{name}: expected objects with label and score, got {printable(item, 80)}")
        pairs[str(item["label"])] = item.get("score")
    return pairs


def _place(label: object, said: Reading, task: "Task", name: str) -> int:
    """The source's class that a suspect's label, number or name, stands for."""
    known = said.labels or (() if said.order else task.names)
    if str(label) in known:
        return known.index(str(label))
    if said.labels:
        raise OracleError(
            f"{name}: answers a label {printable(str(label), 40)!r} that labels does not hold; labels: "
            f"{', '.join(said.labels)[:200]}"
        )
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, (int, np.integer)) or isinstance(label, bool):
        raise OracleError(
            f"{name}: answers with class names such as {printable(label, 40)!r}; declare labels, the suspect's name "
            f"for each of the source's {task.outputs} classes"
        )
    return _column(int(label), said, task, name)


def _column(number: int, said: Reading, task: Task, name: str) -> int:
    """The source's class that a suspect's class number stands for."""
    if said.order and number in said.order:
        return said.order.index(number)
    if not said.order and 0 <= number < task.outputs:
        return number
    why = "order does not name it" if said.order else f"the source has classes 0 to {task.outputs - 1}"
    raise OracleError(f"{name}: answers class {number}; {why}")


def _each(
    read: Callable[[Mapping[str, object]], Floats], answers: Sequence[object], said: Reading, name: str
) -> Floats:
    found = []
    for row in answers:
        if not isinstance(row, (Mapping, list, tuple)):
            raise OracleError(
                f"{name}: expected every answer to be of one form, got {printable(row, 80)!r} among others"
            )
        found.append(read(row))  # type: ignore[arg-type]
    array = np.stack(found)
    return array if said.answers == "labels" else _meant(array, said, name)


def _named(scores: Mapping[str, object], said: Reading, task: "Task", name: str) -> Floats:
    """One query's {name: score}; names beyond the source's classes are left out where all of these are there."""
    if not isinstance(scores, Mapping):
        raise OracleError(f"{name}: expected answers of one form, got {printable(scores, 80)!r}")
    if said.answers in ("sigmoid", "log-odds") and len(scores) == 1 and task.outputs == 2:
        ((label, score),) = scores.items()
        one = np.array([_number(score, label, name)])
        return one if _place(label, said, task, name) else _swapped(one, said)
    row, total = _placed(scores, said, task, name)
    if len(scores) < task.outputs and said.answers not in ("topk", "labels"):
        raise OracleError(
            f"{name}: answers {len(scores)} of {task.outputs} classes where {said.answers} were declared; declare "
            "answers topk if it shows the top classes only"
        )
    if said.answers == "labels":
        return as_labels(row)
    return _among_chosen(row, np.asarray(total)) if said.answers == "probabilities" else row


def _placed(scores: Mapping[str, object], said: Reading, task: "Task", name: str) -> tuple[Floats, float]:
    """One query's scores in the source's class order; their sum, if the source lacks some of its classes."""
    row = np.zeros(task.outputs)
    known = [label for label in scores if label in said.labels]
    others = len(known) == task.outputs and said.answers != "labels"
    for label in known if others else _shared(scores, said):
        row[_place(label, said, task, name)] = _number(scores[label], label, name)
    return row, sum(_number(score, label, name) for label, score in scores.items()) if others else 0.0


def _shared(scores: Mapping[str, object], said: Reading) -> list[str]:
    """Labels but for those numbers, among the top classes, that stand for classes which the source does not have."""
    if said.answers != "topk" or not said.order:
        return list(scores)
    return [label for label in scores if not isinstance(label, int) or label in said.order]


def _number(score: object, label: str, name: str) -> float:
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise OracleError(f"{name}: expected a number for class {printable(label, 40)!r}, got {printable(score, 40)!r}")
    try:
        return float(score)
    except OverflowError:
        return float("inf")  # reported as such
