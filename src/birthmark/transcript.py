"""What was asked and answered, kept so that nothing is asked twice and anyone can reach the verdict again."""

import json
import math
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from birthmark import __version__
from birthmark.answers import checked
from birthmark.artifact import disk_errors, plain
from birthmark.errors import ArtifactError, BirthmarkError, OracleError, must
from birthmark.inputs import query_digest
from birthmark.oracle import Oracle, Wrapper
from birthmark.types import Access, Answers, Array, Floats, Plain

FORMAT = "birthmark/transcript/2"
START = b'{"format": "birthmark/transcript/'
LINK = re.compile(rb', "chain": "([0-9a-f]{64})"\}')


class Transcript:
    """What was asked and answered, as JSON lines that are appended while a verification runs.

    The first line binds it to everything that decides an answer: what the suspect is (`Oracle.identify`), the kind of
    its answers, the task and birthmark's version. A line with "query" holds a query's digest and the answer as
    received, one with "again" the answer to a repeated query. For remote suspects a line {"asking": n} is written
    before each request leaves, and {"asking": -n} if it could not. Every line ends with the SHA-256 of the chain of the
    line before it and of itself. A torn last line (a kill while writing) is dropped, and the rest continued.

    Attributes:
        known: answers by query digest. repeated: answers to repeated queries.
        sent: queries sent, those sent again and those never answered included; after a kill, with those on their way.

    Args:
        path: the file, or None to keep everything in memory.
        of: the suspect.
        task: the claim's, as plain data.

    Raises:
        ArtifactError: the file is no transcript, is of another suspect, or a line of it was altered; says which.
        BirthmarkError: the disk is full or the place is not writable.
    """

    def __init__(self, path: Path | None, of: Oracle, task: Mapping[str, object] | None = None) -> None:
        self.path = path
        self.known: dict[str, list[float]] = {}
        self.repeated: dict[str, list[float]] = {}
        self.sent = 0
        self._remote = False  # whether requests are counted rather than answers
        self._chain = ""
        self._synced = 0.0
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        if path is None:
            return
        head = {
            "format": FORMAT,
            "suspect": of.name,
            "identity": dict(of.identify()),
            "answers": of.answers.value,
            "task": plain(task or {}),
            "birthmark": __version__,
        }
        with disk_errors(path):
            if path.exists() and path.stat().st_size:
                os.truncate(path, self._read(path, head))
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)  # nothing is left to write when a disk is full
        if not self._chain:
            try:
                self._write(head)
            except BirthmarkError:
                self._file.close()
                raise

    def _read(self, path: Path, head: Plain) -> int:
        """Take in what the file holds, and return where its last whole line ends."""
        good = 0
        for line in _lines(path):
            if line.number == 1:
                _same(path, line.entry, head)
            else:
                self._take(line.entry)
            self._chain, good = line.chain, line.end
        return good

    def _take(self, entry: Plain) -> None:
        if "asking" in entry:
            self._remote = True
            self.sent += entry["asking"]
            return
        repeat = "again" in entry
        (self.repeated if repeat else self.known).setdefault(entry["again" if repeat else "query"], entry["answer"])
        self.sent += not self._remote

    def asking(self, n: int) -> None:
        """n queries are about to leave for a remote suspect (-n: they could not); counted even if we are killed now."""
        self._keep({"asking": n})

    def add(self, queries: list[str], rows: Floats, *, again: bool = False) -> None:
        """Keep answers to queries; `again` for queries asked once more to see whether answers hold still."""
        for digest, row in zip(queries, rows, strict=True):
            answer = [float(value) for value in row]
            self._keep({"again" if again else "query": digest, "answer": answer, "time": round(time.time(), 3)})

    def _keep(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._write(entry)
            self._take(entry)

    def _write(self, entry: Plain) -> None:
        """Append a line: safe from a kill at once, from a power cut within a second."""
        if self._file is None:
            return
        body = json.dumps(entry).encode()[:-1]
        self._chain = _link(self._chain, body)
        with disk_errors(self.path or Path()):
            line = body + f', "chain": "{self._chain}"}}\n'.encode()
            while line:
                line = line[self._file.write(line) :]
            if time.monotonic() - self._synced > 1:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


def _link(chain: str, body: bytes) -> str:
    return sha256(chain.encode() + body).hexdigest()


class Line(NamedTuple):
    """A line of a transcript, where it ends in the file, and the chain up to there."""

    number: int
    entry: Plain
    chain: str
    end: int


def _lines(path: Path) -> Iterator[Line]:
    """Every whole line, checked.

    Raises:
        ArtifactError: no transcript, one of another version, or a line that was altered, dropped, swapped or inserted.
    """
    chain, end = "", 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            _check_beginning(path, number, raw)
            found = LINK.search(raw)
            if not raw.endswith(b"\n"):
                if found and found.end() < len(raw):
                    raise _altered(path, number)
                return
            last = raw[: -len('"}\n')].rpartition(b', "chain": "')
            if last[2].decode("ascii", "replace") != _link(chain, last[0]) or not raw.endswith(b'"}\n'):
                raise _altered(path, number)
            chain, end = _link(chain, last[0]), end + len(raw)
            yield Line(number, _entry(path, number, last[0] + b"}"), chain, end)


def _check_beginning(path: Path, number: int, raw: bytes) -> None:
    """Raise ArtifactError unless a line, whole or torn, begins as one of its number does."""
    if number > 1:
        if not raw.startswith(b'{"'[: len(raw)]):
            raise _altered(path, number)
        return
    if not raw.startswith(START[: len(raw)]):
        raise ArtifactError(f"{path}: expected a birthmark transcript")
    if raw.endswith(b"\n") and not raw.startswith(f'{{"format": "{FORMAT}"'.encode()):
        raise ArtifactError(
            f"{path}: a transcript of another format ({raw[12:36].decode('ascii', 'replace')}) than {FORMAT}, which "
            "says what it is of; ask again into another file, or read it with the birthmark that made it"
        )


def _entry(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(text)
        if number == 1:
            must(isinstance(entry["suspect"], str), isinstance(entry["identity"], dict))
            Answers(entry["answers"])
        elif "asking" in entry:
            must(type(entry["asking"]) is int)
        else:
            must(isinstance(entry["again" if "again" in entry else "query"], str), isinstance(entry["answer"], list))
            must(*(type(v) is float and math.isfinite(v) for v in entry["answer"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(f"{path}: line {number} is none that birthmark writes") from None
    return dict(entry)


def _altered(path: Path, number: int) -> ArtifactError:
    return ArtifactError(
        f"{path}: line {number} does not follow from the lines before it: one was altered, dropped, swapped or "
        "inserted; use another file and ask again"
    )


def _same(path: Path, found: Plain, wanted: Plain) -> None:
    """Refuse a transcript of anything but this suspect, asked and read as it is now.

    Raises:
        ArtifactError: names both.
    """
    there, here = _decisive(found), _decisive(wanted)
    if there != here:
        differ = sorted(key for key in {*there, *here} if there.get(key) != here.get(key))
        raise ArtifactError(
            f"{path}: this transcript is of {_called(found)}, the suspect is {_called(wanted)} (they differ in "
            f"{', '.join(differ)[:300]}); use another file (--out)"
        )


def _decisive(head: Plain) -> dict[str, Any]:
    identity = {key: value for key, value in head["identity"].items() if key != "place"}
    return {**identity, **{key: head.get(key) for key in ("answers", "task", "birthmark")}}


def _called(head: Plain) -> str:
    digest = head["identity"].get("sha256")
    return str(head["identity"].get("place", head["suspect"])) + (f" (sha256 {str(digest)[:16]})" if digest else "")


class Recorded(Wrapper):
    """Keeps every answer in a transcript, and asks nothing twice: what the transcript holds is not sent again."""

    def __init__(self, inner: Oracle, transcript: Transcript) -> None:
        super().__init__(inner)
        self.transcript = transcript
        innermost(inner).leaving = transcript.asking

    def __call__(self, inputs: Array) -> Floats:
        digests = [query_digest(row) for row in inputs]
        fresh = {
            digest: place for place, digest in reversed(list(enumerate(digests))) if digest not in self.transcript.known
        }
        if fresh:
            order = sorted(fresh.values())
            for part in self.inner.parts(inputs[order]):
                rows = checked(part.rows, len(part.places), None, Answers.VALUES, self.name)  # finite, or not kept
                self.transcript.add([digests[order[place]] for place in part.places], rows)
        return np.array([self.transcript.known[digest] for digest in digests], dtype=np.float64)

    def again(self, inputs: Array) -> Floats:
        """Answers to queries asked once more; those that the transcript holds are not asked a third time."""
        digests = [query_digest(row) for row in inputs]
        if any(digest not in self.transcript.repeated for digest in digests):
            rows = checked(self.inner(inputs), len(inputs), None, Answers.VALUES, self.name)
            self.transcript.add(digests, rows, again=True)
        return np.array([self.transcript.repeated[digest] for digest in digests], dtype=np.float64)


def innermost(oracle: Oracle) -> Oracle:
    """What all wrappers are around."""
    while isinstance(oracle, Wrapper):
        oracle = oracle.inner
    return oracle


class Replay(Oracle):
    """Answers from a transcript alone, so that anyone can reach the verdict again without the suspect.

    Raises:
        ArtifactError: not a transcript, or an altered one.
        OracleError: a query that the transcript does not hold.
    """

    def __init__(self, path: Path) -> None:
        lines = [line.entry for line in _lines(path)]
        if not lines:
            raise ArtifactError(f"{path}: expected a birthmark transcript, got none of its lines")
        self.name = lines[0]["suspect"]
        self.identity = lines[0]["identity"]
        self.answers = Answers(lines[0]["answers"])
        self.access = Access.LABELS if self.answers is Answers.LABELS else Access.PROBS
        self.known: dict[str, list[float]] = {}
        for line in lines[1:]:
            if "query" in line:
                self.known.setdefault(line["query"], line["answer"])

    def __call__(self, inputs: Array) -> Floats:
        try:
            return np.array([self.known[query_digest(row)] for row in inputs], dtype=np.float64)
        except KeyError:
            raise OracleError(
                f"{self.name}: the transcript does not hold one of the queries; it belongs to another claim or was "
                "cut short"
            ) from None
