"""Open Inference Protocol (KServe V2): Triton, MLServer, KServe, OpenVINO Model Server, Seldon.

`POST /v2/models/{model}[/versions/{version}]/infer` with JSON tensors, or with Triton's binary extension (a JSON head
and raw little-endian tensors), which is 20 times faster and exact. Triton's classification extension (`top`) answers
strings "score:index[:label]". An `id` is always sent: some servers fail without one.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.secrets import printable
from birthmark.suspects.description import DATATYPES, SuspectSpec, encoded, layout_of
from birthmark.suspects.dialect import Dialect, Found, Get, Request, Response, field_of, json_request
from birthmark.types import Array

HEAD = "inference-header-content-length"


class OpenInference(Dialect):
    """Tensors by name, in JSON or binary."""

    name: ClassVar[str] = "oip"
    order: ClassVar[int] = 10

    @classmethod
    def split(cls, path: str, spec: SuspectSpec) -> tuple[str, SuspectSpec] | None:
        match = re.fullmatch(r"(.*?)/v2(?:/models/([^/]+)(?:/versions/([^/]+))?(?:/infer)?)?/?", path)
        return (match[1], spec.completed(model=match[2] or "", version=match[3] or "")) if match else None

    @classmethod
    def probe(cls, get: Get, spec: SuspectSpec, task: Task) -> Found | None:
        response = get("/v2")
        server = _object(response)
        if server is None or not isinstance(server.get("extensions", []), list):
            return None
        lines = [f"Open Inference Protocol, server {server.get('name', 'unnamed')} {server.get('version', '')}".strip()]
        if "binary_tensor_data" in server.get("extensions", []):
            spec = spec.completed(encoding="binary")
        if not spec.model:
            raise SettingError(f"{lines[0]}: declare model, or give the URL of the model, .../v2/models/NAME")
        path = model_path(spec)
        about = _object(get(path))
        if about is None:
            raise SettingError(f"{lines[0]}: no model {spec.model!r} there")
        wanted = _chosen(about.get("inputs") or [], spec.input_name, "input")
        if wanted:
            spec = spec.completed(input_name=str(wanted["name"]), datatype=str(wanted.get("datatype", "")))
            shape = [int(v) for v in wanted.get("shape", [])]
            lines.append(f"input {wanted['name']} {wanted.get('datatype')} {shape}")
            if not spec.layout and shape:
                spec = spec.completed(layout=layout_of(shape[1:], task) or _undeclared(shape))
        answer = _chosen(about.get("outputs") or [], spec.output_name, "output")
        if answer:
            spec = spec.completed(output_name=str(answer["name"]))
            lines.append(f"output {answer['name']} {answer.get('datatype')} {answer.get('shape')}")
        config = _object(get(f"{path}/config")) or {}
        most = config.get("max_batch_size")
        if isinstance(most, int) and most > 0:
            spec = spec.completed(batch=min(most, cls.batch))
            lines.append(f"at most {most} inputs a request")
        return Found(spec, tuple(lines))

    def request(self, inputs: Array) -> Request:
        x = encoded(inputs, self.spec)
        path = f"{model_path(self.spec)}/infer"
        tensor: dict[str, Any] = {
            "name": self.spec.input_name or "input",
            "shape": list(x.shape),
            "datatype": self.spec.datatype or "FP32",
        }
        body: dict[str, Any] = {"id": "birthmark", "inputs": [tensor]}
        if self.spec.output_name or self.spec.top:
            wanted: dict[str, Any] = {"name": self.spec.output_name or "output"}
            if self.spec.top:
                wanted["parameters"] = {"classification": self.spec.top}
            body["outputs"] = [wanted]
        if self.spec.encoding != "binary":
            tensor["data"] = x.ravel().tolist()
            return json_request(path, body)
        blob = x.tobytes()
        tensor["parameters"] = {"binary_data_size": len(blob)}
        if self.spec.output_name and not self.spec.top:
            body["outputs"][0]["parameters"] = {"binary_data": True}
        elif not self.spec.top:
            body["parameters"] = {"binary_data_output": True}
        head = json.dumps(body).encode()
        return Request("POST", path, head + blob, {"Content-Type": "application/octet-stream", HEAD: str(len(head))})

    def answers(self, response: Response, n: int, name: str) -> Any:
        outputs = decoded(response, name)
        if self.spec.output_name and self.spec.output_name in outputs:
            value = outputs[self.spec.output_name]
        elif len(outputs) == 1:
            value = next(iter(outputs.values()))
        else:
            raise OracleError(f"{name}: answers {', '.join(outputs) or 'nothing'}; declare output_name")
        if value.dtype.kind not in "OUS":
            return value.reshape(len(value), -1) if value.ndim > 1 and len(value) else np.atleast_1d(value)
        texts = [[_str(v) for v in np.atleast_1d(row)] for row in np.atleast_1d(value)]
        if self.spec.top:
            return [{_ranked(text, name)[1]: _ranked(text, name)[0] for text in row} for row in texts]
        return [row[0] if len(row) == 1 else row for row in texts]


def model_path(spec: SuspectSpec) -> str:
    """/v2/models/NAME[/versions/VERSION]"""
    return f"/v2/models/{spec.model}" + (f"/versions/{spec.version}" if spec.version else "")


def decoded(response: Response, name: str, part: str = "outputs") -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of an answer by name, JSON or binary; those of a request, if `part` is "inputs".

    Raises:
        OracleError: shapes, sizes or datatypes that do not hold together.
    """
    cut = head_length(response.headers, response.body, name)
    return tensors(
        Response(response.status, response.headers, response.body[:cut]).json(name), response.body, cut, name, part
    )


def head_length(headers: Mapping[str, str], body: bytes, name: str) -> int:
    """Bytes of a body that are JSON: all, unless binary data follow.

    Raises:
        OracleError: a header that cannot be true.
    """
    length = headers.get(HEAD)
    if length is not None and (not length.isdigit() or int(length) > len(body)):
        raise OracleError(f"{name}: its header {HEAD} is {printable(length, 20)!r} for a body of {len(body)} bytes")
    return len(body) if length is None else int(length)


def tensors(head: Any, body: bytes, at: int, name: str, part: str) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors that a parsed head tells of, by name; binary ones lie in the body from `at` on.

    Raises:
        OracleError: as `decoded`.
    """
    found = {}
    for tensor in field_of(head, part, name):
        label, shape, kind = (
            field_of(tensor, "name", name),
            field_of(tensor, "shape", name),
            field_of(tensor, "datatype", name),
        )
        about = tensor.get("parameters")
        size = about.get("binary_data_size") if isinstance(about, Mapping) else None
        try:
            if size is not None:
                found[str(label)] = _from_bytes(body[at : at + size], kind).reshape(shape)
                at += size
            else:
                data = field_of(tensor, "data", name)
                found[str(label)] = np.asarray(
                    data, dtype=object if kind == "BYTES" else DATATYPES.get(kind, np.float64)
                ).reshape(shape)
        except (ValueError, TypeError, OverflowError, KeyError) as error:
            raise OracleError(
                f"{name}: {part[:-1]} {printable(label, 40)!r} does not fit its shape {printable(shape, 40)} and "
                f"datatype {printable(kind, 10)} ({printable(error, 80)})"
            ) from None
    return found


def _from_bytes(blob: bytes, kind: str) -> np.ndarray[Any, Any]:
    if kind != "BYTES":
        return np.frombuffer(blob, dtype=np.dtype(DATATYPES[kind]).newbyteorder("<"))
    texts, at = [], 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "little")
        texts.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    return np.array(texts, dtype=object)


def _str(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _ranked(text: str, name: str) -> tuple[float, Any]:
    """ "score:index[:label]" of the classification extension."""
    parts = text.split(":", 2)
    try:
        return float(parts[0]), parts[2] if len(parts) > 2 else int(parts[1])
    except (ValueError, IndexError):
        raise OracleError(f"{name}: expected 'score:index', got {printable(text, 40)!r}") from None


def _object(response: Response | None) -> dict[str, Any] | None:
    if response is None:
        return None
    try:
        value = response.json("probe")
    except OracleError:
        return None
    return value if isinstance(value, dict) else None


def _chosen(tensors: Any, name: str, kind: str) -> Mapping[str, Any] | None:
    known = {str(t.get("name")): t for t in tensors if isinstance(t, Mapping)}
    if name:
        if known and name not in known:
            raise SettingError(f"no {kind} {name!r}; the model has {', '.join(known)}")
        return known.get(name)
    if len(known) > 1:
        raise SettingError(f"the model has {len(known)} {kind}s: {', '.join(known)}; declare {kind}_name")
    return next(iter(known.values()), None)


def _undeclared(shape: list[int]) -> str:
    raise SettingError(f"the model's input {shape} fits nchw and nhwc; declare layout")
