"""What every dialect's codec shares: JSON read in one way, arrays in the model's units, answers checked."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any

import numpy as np

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.marks.rule import FEW
from birthmark.types import Array, Floats

try:
    import orjson
except ImportError:
    raise SettingError("the gateway needs orjson; pip install 'birthmark[serve]'") from None

Json = Any  # what a JSON reader gives; looked at where it is used


@dataclass(frozen=True)
class Wire:
    """How queries and answers lie in the upstream's messages.

    Attributes:
        dialect: "oip", "tfserving", "mlflow" or "generic".
        input_name, output_name: of the tensors or columns, where there are several.
        layout: of images: "nchw", "nhwc" or "flat".
        low, high, mean, std: values on the wire are ((x in [0, 1]) * (high - low) + low - mean) / std, one for all or
            one a channel.
        path: of `generic`: regular expression of the paths that predict.
        inputs, rows: of `generic`: where queries and answers lie, such as "data.images" or "results[*].scores"; "" is
            the whole body.
    """

    dialect: str = "oip"
    input_name: str = ""
    output_name: str = ""
    layout: str = "nchw"
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    path: str = "/predict"
    inputs: str = "inputs"
    rows: str = ""


@dataclass
class Answer:
    """A readable answer: its rows (n, k), and the bytes with other rows in their place."""

    rows: Floats
    write: Callable[[Floats], Json] = field(repr=False)  # bytes, or a part of them


class Codec(ABC):
    """One dialect, for one model.

    Attributes:
        paths: that predict, for POST. reads: that say what the server is, for GET and HEAD.
    """

    paths: re.Pattern[str]
    reads: re.Pattern[str] = re.compile("(?!)")

    def __init__(self, wire: Wire, task: Task) -> None:
        self.wire, self.task = wire, task
        self._any_case = re.compile(self.paths.pattern, re.IGNORECASE)

    def predicts(self, method: str, path: str) -> bool:
        """Whether a request asks for predictions."""
        return method == "POST" and self.paths.fullmatch(path) is not None

    def near(self, path: str) -> bool:
        """Whether a server that cares little for case and trailing slashes would predict at a path."""
        return self._any_case.fullmatch(path.rstrip("/")) is not None

    @abstractmethod
    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        """The inputs (n, *d) of a request, in the model's own units."""

    @abstractmethod
    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        """The answers to n queries."""

    def natural(self, values: Json) -> Array:
        """Values on the wire -> inputs (n, *d), channels first, in [0, 1] for images."""
        wire, shape = self.wire, self.task.shape
        try:
            x = np.asarray(values, dtype=np.float32)
        except (ValueError, TypeError, OverflowError):
            raise OracleError("the queries are no regular array of numbers") from None
        if wire.layout == "nhwc" and len(shape) == 3 and x.shape[1:] == (*shape[1:], shape[0]):
            x = x.transpose(0, 3, 1, 2)
        x = _unscaled(_shaped(x, shape), wire)
        if not isfinite(x.sum(dtype=np.float64)):
            raise OracleError("the queries hold NaN or infinity")
        return np.ascontiguousarray(x)

    def table(self, values: Json, n: int) -> Answer:
        """JSON rows -> an answer: nested lists, one flat list for one query, or objects of numbers by column."""
        if not isinstance(values, list) or not values:
            raise OracleError(f"expected a list of answers, got {type(values).__name__}")
        if isinstance(values[0], Mapping):
            return self._objects(values, n)
        flat = n == 1 and not isinstance(values[0], list)
        rows = self.checked([values] if flat else values, n)
        return Answer(rows, lambda marked: marked[0].tolist() if flat else marked.tolist())

    def _objects(self, values: list[Json], n: int) -> Answer:
        name = self.wire.output_name
        try:
            if name:
                return Answer(
                    self.checked([row[name] for row in values], n),
                    lambda marked: [{**row, name: new} for row, new in zip(values, marked.tolist(), strict=True)],
                )
            columns = list(values[0])
            rows = self.checked([[row[c] for c in columns] for row in values], n)
        except (KeyError, TypeError):
            raise OracleError(
                "the answers are objects without the declared output_name, or of unequal columns"
            ) from None
        return Answer(rows, lambda marked: [dict(zip(columns, new, strict=True)) for new in marked.tolist()])

    def checked(self, values: Json, n: int) -> Floats:
        """Rows (n, k) of finite numbers, on the simplex for classifiers.

        Raises:
            OracleError: says what came instead; what becomes of the answer is the policy's business.
        """
        try:
            rows = np.asarray(values, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            raise OracleError(
                "the answers are no regular array of numbers; labels without probabilities cannot be marked"
            ) from None
        k = self.task.outputs
        if rows.ndim == 1 and k == 1:
            rows = rows[:, None]
        if rows.shape != (n, k):
            raise OracleError(
                f"expected {n} answers of {k} numbers, got shape {rows.shape}; labels without probabilities cannot be "
                "marked"
            )
        return self._sound(rows) if n else rows

    def _sound(self, rows: Floats) -> Floats:
        """The rows, if they are finite and, of a classifier, on the simplex."""
        sums, least = _summary(rows)
        if not all(map(isfinite, sums)):
            raise OracleError("the answers hold NaN or infinity")
        if self.task.values:
            return rows
        k = self.task.outputs
        if least < -1e-6 or max(sums) > 1.02 + 0.005 * k or min(sums) <= 0:
            raise OracleError("the answers are no probabilities: rows are negative or do not sum to one")
        return rows


def _unscaled(x: Array, wire: Wire) -> Array:
    """Inputs (n, *d) on the wire -> in the model's own units."""
    for given, undo in ((wire.std, np.multiply), (wire.mean, np.add)):
        if given:
            x = undo(x, np.asarray(given, dtype=np.float32).reshape(-1, *[1] * (x.ndim - 2)))
    if (wire.low, wire.high) != (0.0, 1.0):
        x = (x - np.float32(wire.low)) / np.float32(wire.high - wire.low)
    return x


def _shaped(x: Array, shape: tuple[int, ...]) -> Array:
    """Inputs (n, *shape), however their numbers are nested."""
    if x.shape[1:] == shape:
        return x
    size = prod(shape)
    if x.ndim < 1 or x.size % size or (x.ndim > 1 and prod(x.shape[1:]) != size):
        raise OracleError(f"the queries have shape {x.shape}, the key was made for {shape}")
    return x.reshape(-1, *shape)


def _summary(rows: Floats) -> tuple[list[float], float]:
    """Sums of the rows, and the least number; of few numbers faster without NumPy."""
    if rows.size <= FEW:
        lists: list[list[float]] = rows.tolist()
        return list(map(sum, lists)), min(map(min, lists))
    return rows.sum(axis=1).tolist(), float(rows.min())


def asked(body: bytes) -> Json:
    """A request's JSON body.

    Raises:
        OracleError: no JSON, or an object that names a field twice: the model server might take the other one.
    """
    if body.count(b'"') > 2:  # more than one field
        keys = _KEYS.findall(body)
        if len(set(keys)) < len(keys) or any(b"\\" in key for key in keys):
            return _exact(body, _once)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _exact(body, _once)


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    if len(found := dict(pairs)) < len(pairs):
        raise OracleError("the request names a field twice")
    return found


def _read(body: bytes) -> Json:
    """A JSON body that is only read."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _exact(body)  # NaN and Infinity are none of JSON's, but some servers write them


def kept(body: bytes) -> tuple[Json, Callable[[Json], bytes]]:
    """A JSON body that is written again with other answers in it, and what writes it.

    Only Python's own reader gives back NaN, Infinity and integers of more than 64 bits as they were.
    """
    if b"NaN" in body or b"Infinity" in body or _LONG.search(body):
        return _exact(body), _spelt
    return _read(body), _dumped


def _spelt(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _dumped(value: Json) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # half a character, which `_read` left to Python's own reader
        return _spelt(value)


def _exact(body: bytes, pairs: Callable[[list[tuple[str, Json]]], dict[str, Json]] | None = None) -> Json:
    try:
        return json.loads(body, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise OracleError(f"expected JSON, got {len(body)} bytes of something else") from None


_KEYS = re.compile(rb'"((?:[^"\\]++|\\.)*+)"\s*:')
_LONG = re.compile(rb"[\[:,\s-]\d{19}")  # a number's start: this keeps the search out of every fraction
