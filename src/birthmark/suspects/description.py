"""How a suspect wants to be asked and how its answers read: declared, or probed and checked, never guessed.

A claim's queries are float arrays (n, *d), images channels-first in [0, 1]; its answers are rows in the source's own
class order. A suspect elsewhere may want pixels 0..255, channels last, normalised, as PNG files, and may answer with
label names, other class order or the top three only. `SuspectSpec` says so; `encoded` and `rows` translate.
"""

import base64
import io
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.oracle import Oracle, Wrapper
from birthmark.secrets import printable
from birthmark.types import Access, Answers, Array, Floats

KINDS = {
    "labels": Answers.LABELS,
    "topk": Answers.PROBABILITIES,
    "probabilities": Answers.PROBABILITIES,
    "logits": Answers.LOGITS,
    "values": Answers.VALUES,
}
LAYOUTS = ("nchw", "nhwc", "flat")
ENCODINGS = ("json", "binary", "png", "jpeg")


@dataclass(frozen=True)
class SuspectSpec:
    """What is declared of a suspect; empty fields are read from its own metadata where it has any.

    Attributes:
        url: where it answers, for suspects described by a TOML file.
        dialect: "oip", "tfserving", "mlflow", "hf", "torchserve", "generic", or "" to probe.
        model, version: name and version of the model on its server.
        input_name, output_name: of the tensors, where a model has several.
        datatype: of the input tensor, Open Inference Protocol names (FP32, FP64, UINT8, ...).
        layout: "nchw" (as the claim's queries are; also for inputs that are no images), "nhwc", or "flat".
        low, high: value range that the claim's [0, 1] is mapped to.
        mean, std: subtracted and divided by after that, one for all or one a channel.
        encoding: "json", "binary" (Open Inference Protocol), or a file a query: "png", "jpeg" (with `quality`, 1 to
            100).
        answers: "labels", "topk", "probabilities", "logits" or "values"; "" means probabilities of a classifier, values
            of others.
        top: how many classes to ask for, for dialects that let the caller say; 0 for all.
        order: for each of the source's classes, its column in the suspect's rows.
        labels: for each of the source's classes, the suspect's name for it.
        body, headers, rows: of `generic`: request body with placeholders, request headers, JMESPath of the answers.
        batch: most queries in one request; 0 for the dialect's default, or what the server says.
        concurrency: requests under way at once.
        rate: requests a second to one host; 0 for no limit, below 0 for the default (10; none on this machine).
        timeout: seconds one request may take in all, from connecting to the answer's last byte.
        retries: how often a request is sent again that the server put off.
        largest: bytes of the largest answer that is read.
        auth: "env:NAME" or "file:PATH" of a secret; sent as header `auth_header: auth_prefix + secret`.
        ca: file of the certificates to trust, for servers with a private authority.
        proxy: URL of a proxy; the environment's proxies are not used.
        architecture, shape, classes: of a safetensors file whose card does not say.
    """

    url: str = ""
    dialect: str = ""
    model: str = ""
    version: str = ""
    input_name: str = ""
    output_name: str = ""
    datatype: str = ""
    layout: str = ""
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    encoding: str = ""
    quality: int = 95
    answers: str = ""
    top: int = 0
    order: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: str = ""
    batch: int = 0
    concurrency: int = 2
    rate: float = -1.0
    timeout: float = 30.0
    retries: int = 6
    largest: int = 64 << 20
    auth: str = ""
    auth_header: str = "Authorization"
    auth_prefix: str = "Bearer "
    ca: str = ""
    proxy: str = ""
    architecture: str = ""
    shape: tuple[int, ...] = ()
    classes: int = 0

    def __post_init__(self) -> None:
        _among("answers", self.answers, KINDS)
        _among("layout", self.layout, LAYOUTS)
        _among("encoding", self.encoding, ENCODINGS)
        if self.order and sorted(self.order) != list(range(len(self.order))):
            raise SettingError(
                f"expected order to hold every column from 0 to {len(self.order) - 1} once, got {list(self.order)}"
            )
        if len(set(self.labels)) != len(self.labels):
            raise SettingError("expected each of labels once; two of the source's classes cannot share a name")
        if self.order and self.labels:
            raise SettingError("expected order (columns of rows) or labels (names of classes), got both")
        if not self.high > self.low or any(s <= 0 for s in self.std):
            raise SettingError(f"expected low < high and std > 0, got {self.low:g}, {self.high:g} and {list(self.std)}")
        if self.timeout <= 0 or self.concurrency < 1 or self.retries < 0 or self.batch < 0 or self.largest < 1:
            raise SettingError("expected timeout > 0, concurrency >= 1, retries >= 0, batch >= 0 and largest >= 1")
        if self.auth and self.auth.partition(":")[0] not in ("env", "file"):
            raise SettingError(
                "expected auth as env:NAME or file:PATH, so that the secret itself is never in a command line or a "
                "file of settings"
            )

    @classmethod
    def read(cls, path: Path) -> "SuspectSpec":
        """Read a TOML file of these fields; `labels` may name a text file with one name a line.

        Raises:
            SettingError: unreadable, not TOML, an unknown key or a value of the wrong kind.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingError(f"{path}: not a TOML file that can be read ({error})") from None
        if isinstance(table.get("labels"), str):
            table["labels"] = (path.parent / table["labels"]).read_text(encoding="utf-8").splitlines()
        return cls.make(table, str(path))

    @classmethod
    def make(cls, table: Mapping[str, Any], where: str = "suspect") -> "SuspectSpec":
        """From plain data: lists become tuples, kinds are checked."""
        kinds = {f.name: f.default for f in fields(cls)}
        unknown = set(table) - set(kinds)
        if unknown:
            raise SettingError(f"{where}: unknown key {', '.join(sorted(unknown))}; known are {', '.join(kinds)}")
        clean: dict[str, Any] = {}
        for key, value in table.items():
            wanted = kinds[key]
            if isinstance(wanted, tuple) and isinstance(value, (list, tuple)):
                value = tuple(str(v) for v in value) if key == "labels" else tuple(value)
            elif isinstance(wanted, float) and isinstance(value, int):
                value = float(value)
            fits = key in ("body", "headers") or (isinstance(value, type(wanted)) and not isinstance(value, bool))
            if not fits or (key == "headers" and not isinstance(value, Mapping)):
                raise SettingError(f"{where}: expected {key} to be a {type(wanted).__name__}, got {value!r}")
            clean[key] = value
        return cls(**clean)

    @property
    def kind(self) -> Answers | None:
        """Kind of rows, if declared."""
        return KINDS[self.answers] if self.answers else None

    def completed(self, **found: Any) -> "SuspectSpec":
        """This spec with what was found in the fields that nobody declared."""
        return replace(self, **{key: value for key, value in found.items() if value and not getattr(self, key)})

    def says(self) -> str:
        """The declaration in a few words; part of the suspect's name in transcripts and evidence."""
        parts = [self.answers, self.layout, self.encoding + (f"{self.quality}" if self.encoding == "jpeg" else "")]
        if (self.low, self.high) != (0, 1):
            parts.append(f"{self.low:g}..{self.high:g}")
        for key in ("mean", "std", "order", "labels"):
            if value := getattr(self, key):
                text = json.dumps(value)
                parts.append(f"{key} {text if len(text) < 60 else 'sha256:' + sha256(text.encode()).hexdigest()[:12]}")
        return ", ".join(part for part in parts if part)


def _among(key: str, value: str, known: Sequence[str] | Mapping[str, Any]) -> None:
    if value and value not in known:
        raise SettingError(f"expected {key} to be {', '.join(known)}, got {value!r}")


def declared(spec: SuspectSpec, task: Task) -> SuspectSpec:
    """The spec with the default kind of answers of the task, checked against it.

    Raises:
        SettingError: an order or labels of another number of classes, or answers that such a task does not have.
    """
    spec = replace(spec, answers=spec.answers or ("values" if task.values else "probabilities"))
    for key in ("order", "labels"):
        if getattr(spec, key) and len(getattr(spec, key)) != task.outputs:
            raise SettingError(f"expected {key} for {task.outputs} classes, got {len(getattr(spec, key))}")
    if (spec.answers == "values") != task.values:
        raise SettingError(
            f"the claim is about {'values' if task.values else 'classes'}, the suspect is declared to answer "
            f"{spec.answers}"
        )
    return spec


def access(spec: SuspectSpec) -> Access:
    """What the declared answers grant."""
    return Access.LABELS if spec.answers == "labels" else Access.PROBS


def encoded(inputs: Array, spec: SuspectSpec) -> np.ndarray[Any, np.dtype[Any]]:
    """Inputs (n, *d) as numbers in the suspect's range, normalisation, layout and datatype.

    Raises:
        SettingError: per-channel normalisation or channels-last for inputs that are no images.
    """
    x = np.asarray(inputs, dtype=np.float32)
    if (spec.low, spec.high) != (0.0, 1.0):
        x = x * np.float32(spec.high - spec.low) + np.float32(spec.low)
    for values, divide in ((spec.mean, False), (spec.std, True)):
        if values:
            if len(values) > 1 and (x.ndim != 4 or x.shape[1] != len(values)):
                raise SettingError(
                    f"expected one mean and std a channel, got {len(values)} for inputs of shape {x.shape[1:]}"
                )
            v = np.asarray(values, dtype=np.float32).reshape(-1, *[1] * (x.ndim - 2))
            x = x / v if divide else x - v
    if spec.layout == "nhwc":
        if x.ndim != 4:
            raise SettingError(f"layout nhwc is for images; these inputs have shape {x.shape[1:]}")
        x = x.transpose(0, 2, 3, 1)
    elif spec.layout == "flat":
        x = x.reshape(len(x), -1)
    kind = DATATYPES[spec.datatype or "FP32"]
    if np.issubdtype(kind, np.integer):
        bounds = np.iinfo(kind)
        x = np.clip(np.round(x), bounds.min, bounds.max)
    return np.ascontiguousarray(x, dtype=kind)


DATATYPES: Mapping[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}


def picture(row: Array, spec: SuspectSpec) -> bytes:
    """One image (c, h, w) in [0, 1] as a PNG or JPEG file of 8-bit pixels.

    Raises:
        SettingError: not a grey or an RGB image.
    """
    from PIL import Image

    if row.ndim != 3 or row.shape[0] not in (1, 3):
        raise SettingError(f"encoding {spec.encoding} is for grey or RGB images, got inputs of shape {row.shape}")
    pixels = np.round(np.clip(row, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    if spec.encoding == "jpeg":
        image.save(file, "JPEG", quality=spec.quality)
    else:
        image.save(file, "PNG")
    return file.getvalue()


def base64_text(blob: bytes) -> str:
    """Base64 as text, for JSON bodies."""
    return base64.b64encode(blob).decode("ascii")


def layout_of(wanted: Sequence[int], task: Task) -> str:
    """The layout that a server's own input shape (without the batch; -1 for any size) implies, or "" if it says
    nothing.

    Raises:
        SettingError: no layout of the claim's inputs fits that shape.
    """
    d = task.shape
    candidates = {"nchw": d, "nhwc": (*d[1:], d[0]) if len(d) == 3 else (), "flat": (int(np.prod(d)),)}
    fits = [
        name
        for name, shape in candidates.items()
        if len(shape) == len(wanted) and all(w in (-1, s) for w, s in zip(wanted, shape, strict=True))
    ]
    if not wanted:
        return ""
    if not fits:
        raise SettingError(
            f"the suspect wants inputs of shape {list(wanted)}, the claim's are {list(d)}: it was made for another task"
        )
    if "nchw" in fits and "nhwc" in fits and any(w == -1 for w in wanted):
        return ""  # free sizes fit both: to be declared
    return fits[0]


def rows(value: Any, n: int, spec: SuspectSpec, task: Task, name: str) -> Floats:
    """A suspect's decoded answers to n queries as rows (n, k) in the source's class order.

    Takes numbers (n, k); one label a query, by number or by name; {name: score} or [{"label", "score"}] a query.
    Classes that a top-k answer leaves out are 0.

    Raises:
        OracleError: other shapes, unknown labels, or fewer classes than declared.
    """
    if isinstance(value, Mapping):
        raise OracleError(
            f"{name}: expected {n} answers, got one object with {', '.join(list(map(str, value))[:5])}; declare "
            "output_name or rows"
        )
    try:
        count = len(value)
    except TypeError:
        raise OracleError(f"{name}: expected {n} answers, got {printable(value, 60)!r}") from None
    if count != n:
        raise OracleError(f"{name}: expected {n} answers, got {count}")
    if n == 0:
        return np.zeros((0, task.outputs))
    first = value[0]
    if isinstance(first, (list, tuple)) and first and isinstance(first[0], Mapping):
        return np.stack(
            [_named({_text(item, "label", name): item.get("score") for item in row}, spec, task, name) for row in value]
        )
    if isinstance(first, Mapping):
        if "label" in first and "score" in first:
            value = [{_text(item, "label", name): item.get("score")} for item in value]
        return np.stack([_named(row, spec, task, name) for row in value])
    if spec.answers == "labels":
        flat = [item[0] if isinstance(item, (list, tuple, np.ndarray)) and len(item) == 1 else item for item in value]
        if not isinstance(flat[0], (list, tuple, np.ndarray)):
            return np.stack([_one_hot(item, spec, task, name) for item in flat])
    return _ordered(numbers(value, n, spec, name), spec, task, name)


def numbers(value: Any, n: int, spec: SuspectSpec, name: str) -> Floats:
    """Nested lists as rows of float64 (n, -1); null and text become an error, NaN stays to be reported by its name."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        sample = json.dumps(value[0] if not isinstance(value, np.ndarray) else value[0].tolist(), default=str)
        raise OracleError(
            f"{name}: expected {n} rows of equal length with numbers, got for example {printable(sample, 80)}; declare "
            "answers, output_name or labels"
        ) from None
    if array.ndim < 2 and spec.answers != "values":
        raise OracleError(f"{name}: expected rows of {spec.answers}, got one number a query; declare answers labels")
    return array.reshape(n, -1)


def _ordered(array: Floats, spec: SuspectSpec, task: Task, name: str) -> Floats:
    if spec.labels:
        raise OracleError(
            f"{name}: answers rows of numbers, to which labels says nothing; declare order, each class's column"
        )
    if not spec.order:
        return array
    if array.shape[1] != len(spec.order):
        raise OracleError(f"{name}: expected rows of {len(spec.order)} as order says, got {array.shape[1]}")
    return np.asarray(array[:, list(spec.order)])


def _text(item: Any, key: str, name: str) -> str:
    if not isinstance(item, Mapping) or key not in item:
        raise OracleError(f"{name}: expected objects with label and score, got {printable(item, 80)}")
    return str(item[key])


def _place(label: Any, spec: SuspectSpec, task: Task, name: str) -> int:
    """The source's class that a suspect's label, number or name, stands for."""
    if spec.labels:
        text = str(label)
        if text not in spec.labels:
            raise OracleError(
                f"{name}: answers a label {printable(text, 40)!r} that labels does not hold; labels: "
                f"{', '.join(spec.labels)[:200]}"
            )
        return spec.labels.index(text)
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, (int, np.integer)) and not isinstance(label, bool):
        number = int(label)
        if spec.order and number in spec.order:
            return spec.order.index(number)
        if 0 <= number < task.outputs:
            return number
        raise OracleError(f"{name}: answers class {number}; the source has classes 0 to {task.outputs - 1}")
    raise OracleError(
        f"{name}: answers with class names such as {printable(label, 40)!r}; declare labels, the suspect's name for "
        f"each of the source's {task.outputs} classes"
    )


def _one_hot(label: Any, spec: SuspectSpec, task: Task, name: str) -> Floats:
    row = np.zeros(task.outputs)
    row[_place(label, spec, task, name)] = 1.0
    return row


def _named(scores: Mapping[str, Any], spec: SuspectSpec, task: Task, name: str) -> Floats:
    row = np.zeros(task.outputs)
    for label, score in scores.items():
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise OracleError(
                f"{name}: expected a number for class {printable(label, 40)!r}, got {printable(score, 40)!r}"
            )
        row[_place(label, spec, task, name)] = score
    if len(scores) < task.outputs and spec.answers not in ("topk", "labels"):
        raise OracleError(
            f"{name}: answers {len(scores)} of {task.outputs} classes where {spec.answers} were declared; declare "
            "answers topk if it shows the top classes only"
        )
    if spec.answers == "labels":
        return np.asarray(np.eye(task.outputs)[row.argmax()])
    return row


class Translated(Wrapper):
    """A model on this machine that wants other inputs, or has other classes, than the claim.

    Asked and read as declared.
    """

    def __init__(self, inner: Oracle, spec: SuspectSpec) -> None:
        super().__init__(inner)
        self.spec = spec
        self.name = f"{inner.name} ({spec.says()})"

    def __call__(self, inputs: Array) -> Floats:
        answers = self.inner(encoded(inputs, self.spec))
        if self.spec.order and answers.shape[1] != len(self.spec.order):
            raise OracleError(
                f"{self.name}: expected rows of {len(self.spec.order)} as order says, got {answers.shape[1]}"
            )
        return np.asarray(answers[:, list(self.spec.order)]) if self.spec.order else answers
