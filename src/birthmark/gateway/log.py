"""The query log: who asked what under which key, in order, so that nobody can add or drop a line afterwards.

Append-only segments of lines `<sha-256> <json>`; each hash covers the previous one and the line, so the last hash
commits to everything before it. Inputs that were near-ties are kept whole with the unmarked answers (the evidence of
`dynamarks-ties` needs them); of the others the SHA-256 is kept. Here it is read; `birthmark.gateway.writer` writes it.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from birthmark.artifact import parsed
from birthmark.errors import ArtifactError
from birthmark.inputs import query_digest
from birthmark.types import Array, Floats, Plain

FORMAT = "birthmark/query-log/1"
START = "0" * 64
Record = dict[str, Any]
KINDS = {"client": (str,), "marked": (bool,), "n": (int,), "time": (int, float)}  # of every record


@dataclass(frozen=True)
class Line:
    """One line of a segment.

    Attributes:
        head, record: a segment's first line, or a record; one of them.
        digest: hash so far. end: byte behind the line.
    """

    head: Record | None
    record: Record | None
    digest: str
    end: int

    @property
    def number(self) -> int:
        """Records so far."""
        return int(self.head["records"] if self.head is not None else (self.record or {})["n"])


def read(folder: Path) -> Iterator[Record]:
    """All records of a log in order, the chain checked on the way.

    Raises:
        ArtifactError: no log, or a line that was edited, dropped or added.
    """
    found = segments(folder)
    if not found:
        raise ArtifactError(f"{folder}: expected a query log, found no segments there")
    last = ""
    for path in found:
        for line in _lines(path):
            if line.head is not None and last and line.head["after"] != last:
                raise ArtifactError(f"{path}: does not go on where the segment before it ends; a segment is missing")
            if line.record is not None:
                yield line.record
            last = line.digest


def head(folder: Path) -> tuple[int, str]:
    """Number of records and last hash of a log: what to commit to."""
    number, last = 0, START
    for path in segments(folder):
        for line in _lines(path):
            number, last = line.number, line.digest
    return number, last


def ties(records: Iterator[Record], client: str) -> tuple[Array, Floats]:
    """The near-ties that a client asked, each once: inputs (n, *d) and unmarked answers (n, k)."""
    found: dict[str, tuple[Array, Floats]] = {}
    for record in records:
        if record["client"] == client and record["marked"] and "ties" in record:
            for row, answer in zip(*_ties_of(record), strict=True):
                found.setdefault(query_digest(row), (row, answer))
    if len({(x.shape, answer.shape) for x, answer in found.values()}) > 1:
        raise ArtifactError(f"the log holds near-ties of client {client!r} of different shapes; it is damaged")
    if not found:
        raise ArtifactError(
            f"the log holds no near-ties of client {client!r}; only strengths that decide near-ties keep them"
        )
    return np.stack([x for x, _ in found.values()]), np.stack([answer for _, answer in found.values()])


def _ties_of(record: Record) -> tuple[Array, Floats]:
    """A record's near-ties: inputs (n, *d) and unmarked answers (n, k)."""
    try:
        kept = record["ties"]
        x = _unpacked(kept["inputs"], (len(kept["rows"]), *kept["shape"]))
        return x, _unpacked(kept["answers"], (len(kept["rows"]), -1)).astype(np.float64)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"record {record['n']}: its near-ties are none that a gateway writes ({str(error)[:100]})"
        raise ArtifactError(what) from None


def checked(path: Path) -> tuple[int, str, int, float]:
    """End of the last whole line, its hash, its number and its time."""
    good, last, number, clock = 0, START, 0, 0.0
    for line in _lines(path):
        good, last, number = line.end, line.digest, line.number
        clock = line.record["time"] if line.record else clock
    return good, last, number, clock


def _headed(first: Plain) -> str:
    """The hash that a segment begins after; ValueError if its first line is no head."""
    after, records = first["after"], first["records"]
    if first["format"] != FORMAT or not re.fullmatch("[0-9a-f]{64}", after) or type(records) is not int or records < 0:
        raise ValueError
    return str(after)


def _lines(path: Path) -> Iterator[Line]:
    """The lines of a segment; a torn last one is left out.

    Raises:
        ArtifactError: a line that does not follow from the one before it.
    """
    end, last = 0, ""
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                read = _next(line, last, end, str(path))
            except (ValueError, KeyError, TypeError):
                raise ArtifactError(
                    f"{path}: the line that ends at byte {end} does not follow from the one before; the log was "
                    "edited or damaged"
                ) from None
            last = read.digest
            yield read


def _next(line: bytes, last: str, end: int, name: str) -> Line:
    """The line after the one whose hash is `last`, or a segment's first; ValueError and its like if it is none."""
    if not last:
        first = parsed(line, name)
        return Line(first, None, _headed(first), end)
    digest, body = line[:64].decode(), line[65:-1]
    if line[64:65] != b" " or digest != chained(last, body):
        raise ValueError
    record = parsed(body, name)
    if any(type(record[name]) not in kinds for name, kinds in KINDS.items()):
        raise ValueError
    return Line(None, record, digest, end)


def chained(last: str, body: bytes) -> str:
    """The hash of a line, over the one before it and its JSON."""
    return sha256(b"%b %b" % (last.encode(), body)).hexdigest()


def segments(folder: Path) -> list[Path]:
    """The files of a log, in order."""
    return sorted(folder.glob("[0-9]*.log"))


def segment_name(number: int) -> str:
    """Of the segment of that number, from 1."""
    return f"{number:08d}.log"


def _unpacked(text: str, shape: tuple[int, ...]) -> Array:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(shape).astype(np.float32)
