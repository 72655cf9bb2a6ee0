"""Open Inference Protocol (KServe V2): Triton, MLServer, KServe, OpenVINO Model Server, Seldon.

`POST /v2/models/{model}[/versions/{version}]/infer` with JSON tensors, or with Triton's binary extension (a JSON head
and raw little-endian tensors), which is 20 times faster and exact. Triton's classification extension (`top`) answers
strings "score:index[:label]". An `id` is always sent: some servers fail without one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.secrets import printable
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.dialect import Dialect, Found, Get, Request, Response, field_of, json_request, probed
from birthmark.suspects.writing import DATATYPES, Inputs, datatype_for, datatype_of, encoded, layout_of
from birthmark.types import Array, Form

HEAD = "inference-header-content-length"
Tensors = dict[str, NDArray[np.generic]]


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
        server = probed(get("/v2"))
        extensions = server.get("extensions", [])
        if not server or not isinstance(extensions, list):
            return None
        lines = [
            printable(
                f"Open Inference Protocol, server {server.get('name', 'unnamed')} {server.get('version', '')}".strip(),
                200,
            )
        ]
        if "binary_tensor_data" in extensions:
            spec = spec.completed(encoding="binary")
        if not spec.transport.model:
            raise SettingError(f"{lines[0]}: declare model, or give the URL of the model, .../v2/models/NAME")
        path = model_path(spec)
        about = probed(get(path))
        if not about:
            raise SettingError(f"{lines[0]}: no model {spec.transport.model!r} there")
        wanted = _chosen(about.get("inputs"), spec.writing.input_name, "input")
        if wanted:
            spec, line = _input(wanted, spec, task)
            lines.append(line)
        answer = _chosen(about.get("outputs"), spec.reading.output_name, "output")
        if answer:
            spec = spec.completed(output_name=answer["name"])
            lines.append(printable(f"output {answer['name']} {answer.get('datatype')} {answer.get('shape')}", 200))
        most = probed(get(f"{path}/config")).get("max_batch_size")
        if isinstance(most, int) and most > 0:
            spec = spec.completed(batch=min(most, cls.batch))
            lines.append(f"at most {most} inputs a request")
        return Found(spec, tuple(lines))

    def request(self, inputs: Array) -> Request:
        x = encoded(inputs, self.writing)
        path = f"{model_path(self.spec)}/infer"
        kind = datatype_for(inputs, self.writing)
        tensor: dict[str, object] = {
            "name": self.writing.input_name or "input",
            "shape": list(x.shape),
            "datatype": kind,
        }
        body = {"id": "birthmark", "inputs": [tensor], **self._wanted()}
        if self.writing.encoding != "binary":
            tensor["data"] = x.ravel().tolist()
            return json_request(path, body)
        blob = to_bytes(x, kind)
        tensor["parameters"] = {"binary_data_size": len(blob)}
        head = json.dumps(body).encode()
        return Request("POST", path, head + blob, {"Content-Type": "application/octet-stream", HEAD: str(len(head))})

    def _wanted(self) -> dict[str, object]:
        """What a request says of the answer."""
        binary, output, top = self.writing.encoding == "binary", self.reading.output_name, self.reading.top
        if not output and not top:
            return {"parameters": {"binary_data_output": True}} if binary else {}
        shown: dict[str, object] = {"classification": top} if top else {"binary_data": True} if binary else {}
        return {"outputs": [{"name": output or "output", **({"parameters": shown} if shown else {})}]}

    def answers(self, response: Response, n: int, name: str) -> object:
        value = _output(decoded(response, name), self.reading.output_name, name)
        if value.dtype.kind not in "OUS":
            return value.reshape(len(value), -1) if value.ndim > 1 and len(value) else np.atleast_1d(value)
        texts = [[_str(v) for v in np.atleast_1d(row)] for row in np.atleast_1d(value)]
        if self.reading.top:
            return [dict(_ranked(text, name) for text in row) for row in texts]
        return [row[0] if len(row) == 1 else row for row in texts]


def model_path(spec: SuspectSpec) -> str:
    """/v2/models/NAME[/versions/VERSION]"""
    return f"/v2/models/{spec.transport.model}" + (
        f"/versions/{spec.transport.version}" if spec.transport.version else ""
    )


def decoded(response: Response, name: str, part: str = "outputs") -> Tensors:
    """The tensors of an answer by name, JSON or binary; those of a request, if `part` is "inputs".

    Raises:
        OracleError: shapes, sizes or datatypes that do not hold together.
    """
    cut = head_length(response.headers, response.body, name)
    return tensors(replace(response, body=response.body[:cut]).json(name), response.body, cut, name, part)


def head_length(headers: Mapping[str, str], body: bytes, name: str) -> int:
    """Bytes of a body that are JSON: all, unless binary data follow.

    Raises:
        OracleError: a header that cannot be true.
    """
    length = headers.get(HEAD)
    if length is not None and (not re.fullmatch("[0-9]{1,15}", length) or int(length) > len(body)):
        raise OracleError(f"{name}: its header {HEAD} is {printable(length, 20)!r} for a body of {len(body)} bytes")
    return len(body) if length is None else int(length)


def tensors(head: object, body: bytes, at: int, name: str, part: str) -> Tensors:
    """The tensors that a parsed head tells of, by name; binary ones lie in the body from `at` on.

    Raises:
        OracleError: as `decoded`.
    """
    found: Tensors = {}
    listed = field_of(head, part, name)
    if not isinstance(listed, list):
        raise OracleError(f"{name}: expected {part} to be a list of tensors, got {printable(str(listed), 40)!r}")
    for tensor in listed:
        label, shape, kind = (field_of(tensor, key, name) for key in ("name", "shape", "datatype"))
        try:
            kind = kind if kind == "BYTES" else datatype_of(kind)
            value, at = _value(tensor, kind, body, at, name)
            if str(label) in found:
                raise ValueError("it is named twice")
            found[str(label)] = value.reshape(_sides(shape))
        except (ValueError, TypeError, OverflowError) as error:
            raise OracleError(
                f"{name}: {part[:-1]} {printable(str(label), 40)!r} does not fit its shape {str(shape)[:40]} and "
                f"datatype {printable(str(kind), 10)} ({printable(str(error), 80)})"
            ) from None
    return found


def _value(tensor: Mapping[str, object], kind: str, body: bytes, at: int, name: str) -> tuple[NDArray[np.generic], int]:
    """One tensor's numbers, from its JSON or from the body, and where the next one's begin there."""
    about = tensor.get("parameters")
    size = about.get("binary_data_size") if isinstance(about, Mapping) else None
    if size is None:
        data = field_of(tensor, "data", name)
        return np.asarray(data, dtype=object if kind == "BYTES" else DATATYPES[kind]), at
    if not isinstance(size, int) or not 0 <= size <= len(body) - at:
        raise ValueError(f"binary_data_size {size!r} of {len(body) - at} bytes")
    return _from_bytes(body[at : at + size], kind), at + size


def _sides(shape: object) -> list[int]:
    sides = [v for v in shape if type(v) is int and v >= 0] if isinstance(shape, list) else []
    if not isinstance(shape, list) or len(sides) != len(shape):
        raise ValueError("expected a list of sizes")
    return sides


def to_bytes(x: Inputs, kind: str) -> bytes:
    """A tensor's raw little-endian bytes; BF16 is the upper half of float32, rounded to even."""
    if kind == "BYTES":
        blobs = [str(text).encode("utf-8") for text in x.ravel()]
        return b"".join(len(blob).to_bytes(4, "little") + blob for blob in blobs)
    if kind != "BF16":
        return x.astype(x.dtype.newbyteorder("<"), copy=False).tobytes()
    bits = x.astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def _from_bytes(blob: bytes, kind: str) -> NDArray[np.generic]:
    if kind == "BF16":
        return (np.frombuffer(blob, "<u2").astype("<u4") << 16).view("<f4")
    if kind != "BYTES":
        return np.frombuffer(blob, dtype=np.dtype(DATATYPES[kind]).newbyteorder("<"))
    texts, at = [], 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "little")
        texts.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    return np.array(texts, dtype=object)


def _str(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _output(outputs: Tensors, wanted: str, name: str) -> NDArray[np.generic]:
    if wanted and wanted in outputs:
        return outputs[wanted]
    if len(outputs) != 1:
        raise OracleError(f"{name}: answers {', '.join(outputs) or 'nothing'}; declare output_name")
    return next(iter(outputs.values()))


def _ranked(text: str, name: str) -> tuple[str | int, float]:
    """ "score:index[:label]" of the classification extension."""
    parts = text.split(":", 2)
    try:
        return parts[2] if len(parts) > 2 else int(parts[1]), float(parts[0])
    except (ValueError, IndexError):
        raise OracleError(f"{name}: expected 'score:index', got {printable(text, 40)!r}") from None


def _input(about: Mapping[str, object], spec: SuspectSpec, task: Task) -> tuple[SuspectSpec, str]:
    """The spec completed by what the server says of its input, and that in words.

    Raises:
        SettingError: something must be declared: a datatype that numbers cannot be sent in, a shape that fits twice.
    """
    said, shape = about.get("datatype", ""), about.get("shape")
    line = printable(f"input {about['name']} {said} {shape}", 200)
    spec = spec.completed(input_name=about["name"], datatype=spec.writing.datatype or _datatype(said, task, line))
    return spec if spec.writing.layout else spec.completed(layout=_layout(shape, task, line)), line


def _datatype(said: object, task: Task, line: str) -> str:
    strings = task.form is not Form.NUMBERS
    if said and strings != (said == "BYTES"):
        raise SettingError(f"the model's {line}: the claim's queries are {task.form}; it was made for another task")
    try:
        return datatype_of(said) if said and not strings else ""
    except ValueError as error:
        raise SettingError(f"the model's {line}: its datatype is not understood; declare datatype ({error})") from None


def _layout(shape: object, task: Task, line: str) -> str:
    if not isinstance(shape, list) or not all(v is None or type(v) is int for v in shape):
        raise SettingError(f"the model's {line}: its shape is not understood; declare layout (nchw, nhwc or flat)")
    layout = layout_of([-1 if v is None or v < 1 else v for v in shape[1:]], task.shape)
    if not layout and len(shape) > 1:
        raise SettingError(f"the model's input {str(shape)[:100]} fits nchw and nhwc; declare layout")
    return layout


def _chosen(tensors: object, name: str, kind: str) -> Mapping[str, object] | None:
    listed = tensors if isinstance(tensors, list) else []
    known = {t["name"]: t for t in listed if isinstance(t, Mapping) and isinstance(t.get("name"), str)}
    names = printable(", ".join(known), 200)
    if name:
        if known and name not in known:
            raise SettingError(f"no {kind} {name!r}; the model has {names}")
        return known.get(name)
    if len(known) > 1:
        raise SettingError(f"the model has {len(known)} {kind}s: {names}; declare {kind}_name")
    return next(iter(known.values()), None)
