"""How a suspect is reached, how inputs are sent to it and how its answers read: declared, or probed; never guessed.

A claim's queries are float arrays (n, *d), images channels-first in [0, 1]; its answers are rows in the source's own
class order. A suspect elsewhere may want pixels 0..255, channels last, normalised, as PNG files, and may answer with
label names, other class order or the top three only. `SuspectSpec` says so in one flat list of fields; inside it are
three parts, and every function takes the part that it needs. `writing.encoded` and `reading.rows` translate.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError
from pydantic.dataclasses import dataclass as validated

from birthmark.artifact import LARGEST, digest_of, text_of, toml
from birthmark.claim import Task
from birthmark.errors import SettingError
from birthmark.suspects.address import header_name, header_text, refers_to_secret, split_url, without_secret
from birthmark.suspects.reading import Reading
from birthmark.suspects.writing import STRICT, Line, Writing
from birthmark.types import Access

PRIVATE = ("url", "headers", "auth", "proxy", "body")  # fields whose values no message shows
PACE = ("url", "batch", "concurrency", "rate", "timeout", "retries", "largest")  # when a suspect answers, not what


def _checked(check: Callable[[str], object], text: str) -> str:
    if text:
        check(text)
    return text


def _secret_place(text: str) -> str:
    if text and not refers_to_secret(text):
        raise ValueError("expected env:NAME or file:PATH, so that the secret itself is in no command line or file")
    return text


@validated(frozen=True, config=STRICT)
class Transport:
    """How a suspect is reached.

    Attributes:
        url: where it answers, for suspects described by a TOML file.
        dialect: "oip", "tfserving", "mlflow", "hf", "torchserve", "generic", or "" to probe.
        model, version: name and version of the model on its server.
        headers: request headers; values may be env:NAME or file:PATH of a secret.
        batch: most queries in one request; 0 for the dialect's default, or what the server or the file says.
        concurrency: requests under way at once.
        rate: requests a second to one host; 0 for no limit, below 0 for the default (10; none on this machine).
        timeout: seconds one request may take in all, from connecting to the answer's last byte; of a file, seconds to
            open it, and to answer a batch with one more for each of its queries.
        retries: how often a request is sent again that the server put off.
        largest: bytes of the largest answer that is read; 0 for what such answers can need, at most 64 MiB.
        auth: "env:NAME" or "file:PATH" of a secret; sent as header `auth_header: auth_prefix + secret`.
        ca: file of the certificates to trust, for servers with a private authority.
        proxy: URL of a proxy; the environment's proxies are not used.
        architecture, shape, classes: of a safetensors file whose card does not say.
    """

    url: Annotated[str, AfterValidator(lambda text: _checked(without_secret, text))] = ""
    dialect: Line = ""
    model: Line = ""
    version: Line = ""
    headers: Mapping[Annotated[str, AfterValidator(header_name)], Annotated[str, AfterValidator(header_text)]] = Field(
        default_factory=dict
    )
    batch: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    concurrency: Annotated[int, Field(ge=1, le=256)] = 2
    rate: float = -1.0
    timeout: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    retries: Annotated[int, Field(ge=0, le=1000)] = 6
    largest: Annotated[int, Field(ge=0, le=LARGEST)] = 0
    auth: Annotated[Line, AfterValidator(_secret_place)] = ""
    auth_header: Annotated[str, AfterValidator(header_name)] = "Authorization"
    auth_prefix: Annotated[str, AfterValidator(header_text)] = "Bearer "
    ca: Line = ""
    proxy: Annotated[str, AfterValidator(lambda text: _checked(split_url, text))] = ""
    architecture: Line = ""
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 24)], ...], Field(strict=False)] = ()
    classes: Annotated[int, Field(ge=0, le=1 << 24)] = 0


PARTS = {"transport": Transport, "writing": Writing, "reading": Reading}
PLACES = {field.name: part for part, kind in PARTS.items() for field in fields(kind)}


@dataclass(frozen=True, init=False)
class SuspectSpec:
    """What is declared of a suspect; empty fields are read from its own metadata where it has any.

    `SuspectSpec(layout="nhwc", answers="labels")`: the flat fields of its three parts, by name.

    Raises:
        SettingError: an unknown field, or a value of the wrong kind or outside its range.
    """

    transport: Transport
    writing: Writing
    reading: Reading

    def __init__(self, **said: object) -> None:
        unknown = sorted(set(said) - set(PLACES))
        if unknown:
            raise SettingError(f"unknown key {', '.join(unknown)[:200]}; known are {', '.join(PLACES)}")
        for part, kind in PARTS.items():
            mine = {name: value for name, value in said.items() if PLACES[name] == part}
            try:
                object.__setattr__(self, part, kind(**mine))
            except ValidationError as error:
                raise SettingError(_one_line(error)) from None

    @classmethod
    def read(cls, path: Path) -> "SuspectSpec":
        """Read a TOML file of these fields; `labels` may name a text file with one name a line.

        Raises:
            SettingError: unreadable, not TOML, an unknown key or a value of the wrong kind.
        """
        table = toml(path)
        if isinstance(table.get("labels"), str):
            table["labels"] = text_of(path.parent / table["labels"]).splitlines()
        try:
            return cls(**table)
        except SettingError as error:
            raise SettingError(f"{path}: {error}") from None

    def flat(self) -> dict[str, object]:
        """All fields by name."""
        return {name: getattr(getattr(self, part), name) for name, part in PLACES.items()}

    def having(self, **said: object) -> "SuspectSpec":
        """This spec with other values in these fields."""
        return SuspectSpec(**{**self.flat(), **said})

    def completed(self, **found: object) -> "SuspectSpec":
        """This spec with what was found in the fields that nobody declared."""
        known = self.flat()
        return self.having(**{name: value for name, value in found.items() if value and not known[name]})

    def declaration(self) -> dict[str, str]:
        """Every field that decides an answer, as text, for transcripts: of secrets and of headers no values."""
        said = {name: value for name, value in self.flat().items() if value and name not in PACE}
        if isinstance(headers := said.get("headers"), Mapping):
            said["headers"] = {key: v if refers_to_secret(v) else digest_of(v) for key, v in headers.items()}
        for name in {"body", "proxy"} & set(said):
            said[name] = digest_of(json.dumps(said[name], sort_keys=True))  # a body may hold any number
        return {name: json.dumps(value) for name, value in said.items()}

    def says(self) -> str:
        """The declaration in a few words; part of the suspect's name in transcripts and evidence."""
        how, said = self.writing, self.reading
        parts = [said.answers, how.layout, how.encoding + (f"{how.quality}" if how.encoding == "jpeg" else "")]
        if (how.low, how.high) != (0, 1):
            parts.append(f"{how.low:g}..{how.high:g}")
        if said.scale != 1:
            parts.append(f"scale {said.scale:g}")
        for key, value in (("mean", how.mean), ("std", how.std), ("order", said.order), ("labels", said.labels)):
            if value:
                text = json.dumps(value)
                parts.append(f"{key} {text if len(text) < 60 else 'sha256:' + sha256(text.encode()).hexdigest()[:12]}")
        return ", ".join(part for part in parts if part)


def _one_line(error: ValidationError) -> str:
    """The first thing that is wrong, as "expected FIELD to be ..., got ..."."""
    first = error.errors()[0]
    name = "".join(f"[{place!r}]" if at else str(place) for at, place in enumerate(first["loc"]))
    wanted = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] == "value_error" and not name:
        return wanted
    shown = "" if str(first["loc"][0]) in PRIVATE else f", got {str(first['input'])[:80]!r}"
    if first["type"] == "value_error":
        return f"{name}: {wanted}{shown}"
    return f"expected {name} to be {wanted.replace('valid ', '')}{shown}"


def declared(spec: SuspectSpec, task: Task) -> SuspectSpec:
    """The spec with the default kind of answers of the task, checked against it.

    Raises:
        SettingError: an order or labels of another number of classes, or answers that such a task does not have.
    """
    spec = spec.completed(answers="values" if task.values else "probabilities")
    said = spec.reading
    _check_classes(said, task)
    if (said.answers == "values") != task.values:
        raise SettingError(
            f"the claim is about {'values' if task.values else 'classes'}, the suspect is declared to answer "
            f"{said.answers}"
        )
    if said.scale != 1 and said.answers in ("labels", "logits", "log-odds"):
        raise SettingError(f"expected scale for probabilities, topk or sigmoid, got it for {said.answers}")
    return spec


def _check_classes(said: Reading, task: Task) -> None:
    for key, value in (("order", said.order), ("labels", said.labels)):
        if value and len(value) != task.outputs:
            raise SettingError(f"expected {key} for {task.outputs} classes, got {len(value)}")
    if said.answers == "log-odds" and task.outputs != 2:
        raise SettingError(f"answers log-odds is one number for two classes; the claim has {task.outputs}")


def access(said: Reading) -> Access:
    """What the declared answers grant."""
    return Access.LABELS if said.answers == "labels" else Access.PROBS
