"""What a dialect is: how one kind of prediction server is asked, and how its answers are read. One file each in
this folder.

A dialect never sends anything itself: it makes a `Request` of a batch, reads a `Response`, and probes with GETs through
a function that it is handed.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from birthmark.claim import Task
from birthmark.errors import OracleError
from birthmark.secrets import MOST_READ, printable
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.writing import written
from birthmark.types import Array

PROBED = 100_000  # values in an answer to a probe, or besides those asked for in any other
LARGEST = 64 << 20  # bytes of an answer, however much was asked


@dataclass(frozen=True)
class Request:
    """One request; `path` is appended to the server's base URL, `values` is the most that its answer may hold."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    values: int = PROBED

    @property
    def largest(self) -> int:
        """Bytes that so many values can need: 32 each, and some text."""
        return min(LARGEST, (1 << 20) + 32 * self.values)


@dataclass(frozen=True)
class Response:
    """One answer, read whole; `tries` counts how often the request was sent for it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: int = 1
    values: int = PROBED

    def json(self, name: str) -> object:
        """The body as JSON; the tokens NaN and Infinity are read as numbers, to be reported by the check of answers.

        What is parsed holds at most `values` values: each one follows a comma or opens something.

        Raises:
            OracleError: not JSON, or far more than was asked for; an HTML page is named so.
        """
        if len(self.body) > self.values and sum(map(self.body.count, (b",", b"[", b"{"))) > self.values:
            raise OracleError(
                f"{name}: the answer holds more than {self.values} values, far more than was asked for; ask for fewer "
                "queries at a time (batch) if it repeats its inputs"
            )
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            text = self.body[:MOST_READ].decode("utf-8", "replace").strip()
            kind = (
                "an HTML page"
                if text[:1] == "<"
                else f"{self.headers.get('content-type', 'something')!r} of {len(self.body)} bytes"
            )
            raise OracleError(f"{name}: expected JSON, got {kind}: {printable(text, 80)!r}") from None


def said(response: Response) -> str:
    """What a server says went wrong, in any of the forms servers use: {"error"}, {"detail"}, {"message"}, or text."""
    try:
        value = response.json("refusal")
    except OracleError:
        text = response.body[:MOST_READ].decode("utf-8", "replace")
        return "an HTML page" if text.lstrip()[:1] == "<" else printable(text.strip(), 200)
    for key in ("error", "message", "detail"):
        if isinstance(value, Mapping) and value.get(key):
            value = value[key]
    try:
        return printable(value if isinstance(value, str) else json.dumps(value), 200)
    except RecursionError:
        return "something nested without end"


Get = Callable[[str], Response | None]  # a path under the base URL -> answer, or None if there is none


@dataclass(frozen=True)
class Found:
    """What a probe found: the spec completed by it, and lines for people and evidence to read."""

    spec: SuspectSpec
    lines: tuple[str, ...]


class Dialect(ABC):
    """How one kind of server is asked.

    Class attributes:
        name: the file's stem, as in specs.
        order: probes go from low to high.
        batch: most queries in one request, unless declared or probed.
    """

    name: ClassVar[str]
    order: ClassVar[int] = 50
    batch: ClassVar[int] = 100

    def __init__(self, spec: SuspectSpec, task: Task) -> None:
        self.spec = spec
        self.transport, self.writing, self.reading = spec.transport, spec.writing, spec.reading
        self.task = task

    @classmethod
    def split(cls, path: str, spec: SuspectSpec) -> tuple[str, SuspectSpec] | None:
        """The base path and the completed spec, if a URL's path itself names this dialect's endpoint; else None."""
        return None

    @classmethod
    def probe(cls, get: Get, spec: SuspectSpec, task: Task) -> Found | None:
        """What the server says of itself, by GETs alone; None if it does not speak this dialect.

        Raises:
            SettingError: it does, but something must be declared (several models, an input of another shape).
        """
        return None

    @abstractmethod
    def request(self, inputs: Array) -> Request:
        """The request that asks for inputs (n, *d)."""

    @abstractmethod
    def answers(self, response: Response, n: int, name: str) -> object:
        """The decoded answers to n queries, in a form that `reading.rows` takes.

        Raises:
            OracleError: the body is not what this dialect answers.
        """

    def values(self, inputs: Array) -> list[object]:
        """Each of inputs (n, *d) as JSON has it: nested lists, a text or a record."""
        return written(inputs, self.writing, self.task.form)

    @property
    def limit(self) -> int:
        """Most queries in one request."""
        return self.transport.batch or self.batch


def json_request(path: str, body: object, headers: Mapping[str, str] | None = None) -> Request:
    """A POST of JSON."""
    data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    return Request("POST", path, data, {"Content-Type": "application/json", **(headers or {})})


def field_of(value: object, key: str, name: str) -> object:
    """A field of a JSON object.

    Raises:
        OracleError: not an object, or without it.
    """
    if type(value) is dict and key in value:  # JSON's own; asking for Mapping takes longer than all the rest
        return value[key]
    if not isinstance(value, Mapping) or key not in value:
        found = (
            f"an object with {', '.join(map(str, list(value)[:5]))}"
            if isinstance(value, Mapping)
            else type(value).__name__
        )
        raise OracleError(f"{name}: expected an answer with {key!r}, got {found}")
    return value[key]


def output_of(answer: object, output: str, name: str) -> object:
    """The "predictions" of an answer; of several outputs the one that is declared.

    Raises:
        OracleError: not there.
    """
    found = field_of(answer, "predictions", name)
    if not output:
        return found
    return [field_of(row, output, name) for row in found] if isinstance(found, list) else field_of(found, output, name)


def probed(response: Response | None) -> Mapping[str, object]:
    """What a server says of itself, empty if it says nothing that is an object."""
    try:
        value = None if response is None else response.json("probe")
    except OracleError:
        return {}
    return value if isinstance(value, dict) else {}
