"""Reading queries out of requests and answers out of responses, and writing marked answers back in their place.

One codec a dialect. Everything of a response that is not the answers themselves comes back unchanged.
"""

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
from birthmark.suspects import oip
from birthmark.suspects.dialect import field_of
from birthmark.types import Array, Floats

try:
    import orjson
except ImportError:
    raise SettingError("the gateway needs orjson; pip install 'birthmark[serve]'") from None


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
    write: Any = field(repr=False)  # (Floats) -> bytes


class Codec(ABC):
    """One dialect, for one model."""

    paths: re.Pattern[str]

    def __init__(self, wire: Wire, task: Task) -> None:
        self.wire, self.task = wire, task

    def predicts(self, method: str, path: str) -> bool:
        """Whether a request asks for predictions."""
        return method == "POST" and self.paths.fullmatch(path) is not None

    @abstractmethod
    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        """The inputs (n, *d) of a request, in the model's own units."""

    @abstractmethod
    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        """The answers to n queries."""

    def natural(self, values: Any) -> Array:
        """Values on the wire -> inputs (n, *d), channels first, in [0, 1] for images."""
        wire, shape = self.wire, self.task.shape
        try:
            x = np.asarray(values, dtype=np.float32)
        except (ValueError, TypeError):
            raise OracleError("the queries are no regular array of numbers") from None
        if wire.layout == "nhwc" and len(shape) == 3 and x.shape[1:] == (*shape[1:], shape[0]):
            x = x.transpose(0, 3, 1, 2)
        if x.shape[1:] != shape:
            size = prod(shape)
            if x.ndim < 1 or x.size % size or (x.ndim > 1 and prod(x.shape[1:]) != size):
                raise OracleError(f"the queries have shape {x.shape}, the key was made for {shape}")
            x = x.reshape(-1, *shape)
        for given, multiply in ((wire.std, True), (wire.mean, False)):
            if given:
                v = np.asarray(given, dtype=np.float32).reshape(-1, *[1] * (len(shape) - 1))
                x = x * v if multiply else x + v
        if (wire.low, wire.high) != (0.0, 1.0):
            x = (x - np.float32(wire.low)) / np.float32(wire.high - wire.low)
        if not isfinite(x.sum(dtype=np.float64)):
            raise OracleError("the queries hold NaN or infinity")
        return np.ascontiguousarray(x)

    def table(self, values: Any, n: int) -> Answer:
        """JSON rows -> an answer: nested lists, one flat list for one query, or objects of numbers by column."""
        if not isinstance(values, list) or not values:
            raise OracleError(f"expected a list of answers, got {type(values).__name__}")
        if isinstance(values[0], Mapping):
            return self._objects(values, n)
        flat = n == 1 and not isinstance(values[0], list)
        rows = self.checked([values] if flat else values, n)
        return Answer(rows, lambda marked: marked[0].tolist() if flat else marked.tolist())

    def _objects(self, values: list[Any], n: int) -> Answer:
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

    def checked(self, values: Any, n: int) -> Floats:
        """Rows (n, k) of finite numbers, on the simplex for classifiers.

        Raises:
            OracleError: says what came instead; what becomes of the answer is the policy's business.
        """
        try:
            rows = np.asarray(values, dtype=np.float64)
        except (ValueError, TypeError):
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
        if not n:
            return rows
        sums, least = _summary(rows)
        if not all(map(isfinite, sums)):
            raise OracleError("the answers hold NaN or infinity")
        if self.task.values:
            return rows
        if least < -1e-6 or max(sums) > 1.02 + 0.005 * k or min(sums) <= 0:
            raise OracleError("the answers are no probabilities: rows are negative or do not sum to one")
        return rows


class OpenInference(Codec):
    """Open Inference Protocol, JSON and binary."""

    paths = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer")

    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        cut = oip.head_length(headers, body, "inputs")
        tensors = oip.tensors(_read(body[:cut]), body, cut, "inputs", "inputs")
        return self.natural(_chosen(tensors, self.wire.input_name, "input"))

    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        cut = oip.head_length(headers, body, "outputs")
        head, dump = _kept(body[:cut])
        tensors = oip.tensors(head, body, cut, "outputs", "outputs")
        value = _chosen(tensors, self.wire.output_name, "output")
        name = next(key for key, tensor in tensors.items() if tensor is value)
        if value.dtype.kind != "f":
            raise OracleError(
                f"output {name[:40]!r} is no tensor of floats; labels without probabilities cannot be marked"
            )
        rows = self.checked(value.reshape(n, -1) if n and value.size % n == 0 else value, n)
        place = next(i for i, tensor in enumerate(head["outputs"]) if tensor["name"] == name)

        def write(marked: Floats) -> bytes:
            tensor = head["outputs"][place]
            if "data" in tensor:
                nested = bool(tensor["data"]) and isinstance(tensor["data"][0], list)
                tensor["data"] = marked.reshape(value.shape).tolist() if nested else marked.ravel().tolist()
                return dump(head) + body[cut:]
            start = cut + sum(t["parameters"]["binary_data_size"] for t in head["outputs"][:place] if "data" not in t)
            blob = marked.astype(value.dtype).tobytes()
            return body[:start] + blob + body[start + len(blob) :]

        return Answer(rows, write)


class TFServing(Codec):
    """TensorFlow Serving's REST API and its relatives, rows ("instances") or columns ("inputs")."""

    paths = re.compile(r".*:predict")

    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        value = _read(body)
        rows = value.get("instances", value.get("inputs")) if isinstance(value, Mapping) else None
        if isinstance(rows, Mapping):
            rows = _named(rows, self.wire.input_name)
        elif isinstance(rows, list) and rows and isinstance(rows[0], Mapping):
            rows = [_named(row, self.wire.input_name) for row in rows]
        if rows is None:
            raise OracleError('expected a request with "instances" or "inputs"')
        return self.natural(rows)

    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        value, dump = _kept(body)
        key = "predictions" if isinstance(value, Mapping) and "predictions" in value else "outputs"
        rows = _field(value, key)
        if isinstance(rows, Mapping):
            name = self.wire.output_name or next(iter(rows), "")
            inner = self.table(_field(rows, name), n)
            return Answer(inner.rows, lambda marked: dump({**value, key: {**rows, name: inner.write(marked)}}))
        inner = self.table(rows, n)
        return Answer(inner.rows, lambda marked: dump({**value, key: inner.write(marked)}))


class MLflow(Codec):
    """MLflow's scoring server.

    "inputs", "instances", "dataframe_split" or "dataframe_records" in, "predictions" out.
    """

    paths = re.compile(r".*/invocations")

    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        value = _read(body)
        if not isinstance(value, Mapping):
            raise OracleError("expected a JSON object")
        if "dataframe_split" in value:
            return self.natural(_field(value["dataframe_split"], "data"))
        if "dataframe_records" in value:
            return self.natural([list(row.values()) for row in value["dataframe_records"]])
        rows = value.get("inputs", value.get("instances"))
        if isinstance(rows, Mapping):
            rows = _named(rows, self.wire.input_name)
        if rows is None:
            raise OracleError("expected a request with inputs, instances, dataframe_split or dataframe_records")
        return self.natural(rows)

    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        value, dump = _kept(body)
        inner = self.table(_field(value, "predictions"), n)
        return Answer(inner.rows, lambda marked: dump({**value, "predictions": inner.write(marked)}))


class Generic(Codec):
    """Any JSON API: a path to the queries in requests, and one to the answers in responses."""

    def __init__(self, wire: Wire, task: Task) -> None:
        super().__init__(wire, task)
        try:
            self.paths = re.compile(wire.path)
        except re.error as error:
            raise SettingError(f"path {wire.path!r} is no regular expression ({error})") from None

    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        return self.natural(_get(_read(body), _steps(self.wire.inputs)))

    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        (value, dump), steps = _kept(body), _steps(self.wire.rows)
        inner = self.table(_get(value, steps), n)
        return Answer(inner.rows, lambda marked: dump(_put(value, steps, inner.write(marked))))


CODECS: Mapping[str, type[Codec]] = {"oip": OpenInference, "tfserving": TFServing, "mlflow": MLflow, "generic": Generic}


def codec(wire: Wire, task: Task) -> Codec:
    """The codec of a dialect.

    Raises:
        SettingError: no such dialect.
    """
    if wire.dialect not in CODECS:
        raise SettingError(f"expected a dialect among {', '.join(CODECS)}, got {wire.dialect!r}")
    return CODECS[wire.dialect](wire, task)


def _chosen(tensors: Mapping[str, np.ndarray[Any, Any]], name: str, kind: str) -> np.ndarray[Any, Any]:
    if name in tensors:
        return tensors[name]
    if name or len(tensors) != 1:
        raise OracleError(f"{len(tensors)} {kind} tensors and none named {name!r}; declare {kind}_name")
    return next(iter(tensors.values()))


def _summary(rows: Floats) -> tuple[list[float], float]:
    """Sums of the rows, and the least number; of few numbers faster without NumPy."""
    if rows.size <= FEW:
        lists: list[list[float]] = rows.tolist()
        return list(map(sum, lists)), min(map(min, lists))
    return rows.sum(axis=1).tolist(), float(rows.min())


def _read(body: bytes) -> Any:
    """A JSON body that is only read."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _exact(body)  # NaN and Infinity are none of JSON's, but some servers write them


def _kept(body: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """A JSON body that is written again with other answers in it, and what writes it.

    Only Python's own reader gives back NaN, Infinity and integers of more than 64 bits as they were.
    """
    if b"NaN" in body or b"Infinity" in body or _LONG.search(body):
        return _exact(body), lambda value: json.dumps(value, separators=(",", ":")).encode()
    return _read(body), orjson.dumps


def _exact(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise OracleError(f"expected JSON, got {len(body)} bytes of something else") from None


_LONG = re.compile(rb"[\[:,\s-]\d{19}")  # a number's start: this keeps the search out of every fraction


def _field(value: Any, key: str) -> Any:
    return field_of(value, key, "the model server")


def _named(row: Any, name: str) -> Any:
    if isinstance(row, Mapping) and (name in row or (not name and len(row) == 1)):
        return row[name] if name else next(iter(row.values()))
    raise OracleError("several inputs; declare input_name")


def _steps(path: str) -> list[str]:
    """ "results[*].scores" -> ["results", "*", "scores"]."""
    return [step for part in path.split(".") for step in part.replace("[*]", ".*").split(".") if step]


def _get(value: Any, steps: list[str]) -> Any:
    if not steps:
        return value
    if steps[0] == "*":
        if not isinstance(value, list):
            raise OracleError(f"expected a list, got {type(value).__name__}")
        return [_get(item, steps[1:]) for item in value]
    return _get(_field(value, steps[0]), steps[1:])


def _put(value: Any, steps: list[str], new: Any) -> Any:
    if not steps:
        return new
    if steps[0] == "*":
        return [_put(item, steps[1:], part) for item, part in zip(value, new, strict=True)]
    return {**value, steps[0]: _put(value[steps[0]], steps[1:], new)}
