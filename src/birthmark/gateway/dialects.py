"""Reading queries out of requests and answers out of responses, and writing marked answers back in their place.

One codec a dialect. Everything of a response that is not the answers themselves comes back unchanged.
"""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.gateway.codec import Answer, Codec, Json, Wire, asked, kept
from birthmark.suspects import oip
from birthmark.suspects.dialect import field_of
from birthmark.types import Array, Floats

Tensor = NDArray[np.generic]


class OpenInference(Codec):
    """Open Inference Protocol, JSON and binary."""

    paths = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer")
    reads = re.compile(r"/v2(/health/(live|ready)|/models/[^/]+(/versions/[^/]+)?(/ready|/config|/stats)?)?")

    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        cut = oip.head_length(headers, body, "inputs")
        tensors = oip.tensors(asked(body[:cut]), body, cut, "inputs", "inputs")
        return self.natural(_chosen(tensors, self.wire.input_name, "input"))

    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        cut = oip.head_length(headers, body, "outputs")
        head, dump = kept(body[:cut])
        tensors = oip.tensors(head, body, cut, "outputs", "outputs")
        value = _chosen(tensors, self.wire.output_name, "output")
        name = next(key for key, tensor in tensors.items() if tensor is value)
        if value.dtype.kind != "f":
            raise OracleError(
                f"output {name[:40]!r} is no tensor of floats; labels without probabilities cannot be marked"
            )
        rows = self.checked(value.reshape(n, -1) if n and value.size % n == 0 else value, n)
        place = next(i for i, tensor in enumerate(head["outputs"]) if str(tensor["name"]) == name)

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
    reads = re.compile(r"/v1/models/[^/:]+(/(versions|labels)/[^/:]+)?(/metadata)?")

    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        value = asked(body)
        _, rows = _only(value, ("instances", "inputs"))
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping):
            rows = [_named(row, self.wire.input_name) for row in rows]
        return self.natural(_named(rows, self.wire.input_name) if isinstance(rows, Mapping) else rows)

    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        value, dump = kept(body)
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
    reads = re.compile(r"/ping|/health|/version")

    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        value = asked(body)
        key, rows = _only(value, ("inputs", "instances", "dataframe_split", "dataframe_records"))
        if key == "dataframe_split":
            rows = _field(rows, "data")
        elif key == "dataframe_records":
            rows = [list(row.values()) for row in rows]
        return self.natural(_named(rows, self.wire.input_name) if isinstance(rows, Mapping) else rows)

    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        value, dump = kept(body)
        inner = self.table(_field(value, "predictions"), n)
        return Answer(inner.rows, lambda marked: dump({**value, "predictions": inner.write(marked)}))


class Generic(Codec):
    """Any JSON API: a path to the queries in requests, and one to the answers in responses."""

    def __init__(self, wire: Wire, task: Task) -> None:
        try:
            self.paths = re.compile(wire.path)
        except re.error as error:
            raise SettingError(f"path {wire.path!r} is no regular expression ({error})") from None
        super().__init__(wire, task)

    def queries(self, headers: Mapping[str, str], body: bytes) -> Array:
        return self.natural(_get(asked(body), _steps(self.wire.inputs)))

    def answer(self, headers: Mapping[str, str], body: bytes, n: int) -> Answer:
        (value, dump), steps = kept(body), _steps(self.wire.rows)
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


def _chosen(tensors: Mapping[str, Tensor], name: str, kind: str) -> Tensor:
    if name in tensors:
        return tensors[name]
    if name or len(tensors) != 1:
        raise OracleError(f"{len(tensors)} {kind} tensors and none named {name!r}; declare {kind}_name")
    return next(iter(tensors.values()))


def _field(value: Json, key: str) -> Json:
    return field_of(value, key, "the model server")


def _only(value: Json, names: tuple[str, ...]) -> tuple[str, Json]:
    """The one of these fields that a request has, and what it holds."""
    found = [name for name in names if name in value] if isinstance(value, Mapping) else []
    if len(found) != 1:
        raise OracleError(f"expected a request with one of {', '.join(names)}, got {len(found)} of them")
    return found[0], value[found[0]]


def _named(row: Json, name: str) -> Json:
    if isinstance(row, Mapping) and (name in row or (not name and len(row) == 1)):
        return row[name] if name else next(iter(row.values()))
    raise OracleError("several inputs; declare input_name")


def _steps(path: str) -> list[str]:
    """ "results[*].scores" -> ["results", "*", "scores"]."""
    return [step for part in path.split(".") for step in part.replace("[*]", ".*").split(".") if step]


def _get(value: Json, steps: list[str]) -> Json:
    if not steps:
        return value
    if steps[0] == "*":
        if not isinstance(value, list):
            raise OracleError(f"expected a list, got {type(value).__name__}")
        return [_get(item, steps[1:]) for item in value]
    return _get(_field(value, steps[0]), steps[1:])


def _put(value: Json, steps: list[str], new: Json) -> Json:
    if not steps:
        return new
    if steps[0] == "*":
        return [_put(item, steps[1:], part) for item, part in zip(value, new, strict=True)]
    return {**value, steps[0]: _put(value[steps[0]], steps[1:], new)}
