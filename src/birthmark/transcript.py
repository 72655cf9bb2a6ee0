"""What was asked and answered, kept so that nothing is asked twice and anyone can reach the verdict again."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np

from birthmark.errors import ArtifactError, OracleError
from birthmark.oracle import Oracle, Wrapper
from birthmark.types import Access, Answers, Array, Floats

HASHED = np.dtype("<f4")  # queries are hashed as these


def query_digest(row: Array) -> str:
    """SHA-256 of one query: its shape and its float32 bytes."""
    return sha256(f"{row.shape}".encode() + row.astype(HASHED, copy=False).tobytes()).hexdigest()


class Transcript:
    """What was asked and answered, as JSON lines that are appended while a verification runs.

    The first line names the suspect; a line with "query" holds a query's digest and the answer as received, one with
    "again" the answer to a repeated query. For remote suspects a line {"asking": n} is written before queries leave and
    {"sent": n} when the call is over, so that queries that were sent in vain are counted too. A transcript that was
    cut short is continued: a torn last line (a kill while writing) is dropped.

    Attributes:
        known: answers by query digest. repeated: answers to repeated queries.
        sent: queries sent, those sent again and those never answered included.

    Raises:
        ArtifactError: the file is not a transcript, or belongs to another suspect.
    """

    def __init__(self, path: Path | None, *, suspect: str, answers: Answers) -> None:
        self.path = path
        self.known: dict[str, list[float]] = {}
        self.repeated: dict[str, list[float]] = {}
        self.sent = 0
        self._asking: int | None = None  # queries of a remote call that is under way, or was when we were killed
        self._synced = 0.0
        self._file: IO[str] | None = None
        head = {"format": "birthmark/transcript/1", "suspect": suspect, "answers": answers.value}
        if path is None:
            return
        if path.exists() and path.stat().st_size:
            good = self._read(path, head)
            os.truncate(path, good)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        if not path.stat().st_size:
            self._write(head)

    def _read(self, path: Path, head: dict[str, Any]) -> int:
        good = 0
        for number, (line, end) in enumerate(_lines(path)):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if number == 0:
                if {key: entry.get(key) for key in head} != head:
                    raise ArtifactError(
                        f"{path}: expected a transcript of {head['suspect']!r} answering {head['answers']}, got one "
                        f"of {entry.get('suspect')!r}; use another file"
                    )
            elif "asking" in entry:
                self._over(self._asking)
                self._asking = int(entry["asking"])
            elif "sent" in entry:
                self._over(int(entry["sent"]))
            else:
                repeat = "again" in entry
                (self.repeated if repeat else self.known).setdefault(
                    entry["again" if repeat else "query"], entry["answer"]
                )
                self.sent += self._asking is None
            good = end
        self._over(self._asking)
        return good

    def _over(self, sent: int | None) -> None:
        self.sent += sent or 0
        self._asking = None

    def asking(self, n: int) -> None:
        """Queries are about to leave for a remote suspect; counted even if we are killed before an answer."""
        self._asking = n
        self._write({"asking": n})
        self._flush()

    def asked(self, sent: int) -> None:
        """The call is over, and took so many queries, those sent again included."""
        self._write({"sent": sent})
        self._over(sent)
        self._flush()

    def add(self, queries: list[str], rows: Floats, *, again: bool = False) -> None:
        """Keep answers to queries; `again` for queries asked once more to see whether answers hold still."""
        for digest, row in zip(queries, rows, strict=True):
            answer = [float(value) for value in row]
            self._write({"again" if again else "query": digest, "answer": answer, "time": round(time.time(), 3)})
            (self.repeated if again else self.known).setdefault(digest, answer)
        if self._asking is None:
            self.sent += len(queries)
        self._flush()

    def _flush(self) -> None:
        """Safe from a kill at once; from a power cut within a second."""
        if self._file is not None:
            self._file.flush()
            if time.monotonic() - self._synced > 1:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    end = 0
    with path.open("rb") as file:
        for raw in file:
            end += len(raw)
            if raw.endswith(b"\n"):
                yield raw.decode("utf-8", "replace"), end


class Recorded(Wrapper):
    """Keeps every answer in a transcript, and asks nothing twice: what the transcript holds is not sent again."""

    def __init__(self, inner: Oracle, transcript: Transcript) -> None:
        super().__init__(inner)
        self.transcript = transcript

    def __call__(self, inputs: Array) -> Floats:
        digests = [query_digest(row) for row in inputs]
        fresh = {
            digest: place for place, digest in reversed(list(enumerate(digests))) if digest not in self.transcript.known
        }
        if fresh:
            order = sorted(fresh.values())
            with self._counted(len(order)):
                for part in self.inner.parts(inputs[order]):
                    self.transcript.add([digests[order[place]] for place in part.places], part.rows)
        return np.array([self.transcript.known[digest] for digest in digests], dtype=np.float64)

    def again(self, inputs: Array) -> Floats:
        """Answers to queries asked once more; those that the transcript holds are not asked a third time."""
        digests = [query_digest(row) for row in inputs]
        if any(digest not in self.transcript.repeated for digest in digests):
            with self._counted(len(inputs)):
                self.transcript.add(digests, self.inner(inputs), again=True)
        return np.array([self.transcript.repeated[digest] for digest in digests], dtype=np.float64)

    @contextmanager
    def _counted(self, n: int) -> Iterator[None]:
        before = _sent(self.inner)
        if before is not None:
            self.transcript.asking(n)
        try:
            yield
        finally:
            if before is not None:
                self.transcript.asked((_sent(self.inner) or 0) - before)


def _sent(oracle: Oracle) -> int | None:
    while isinstance(oracle, Wrapper):
        oracle = oracle.inner
    return oracle.sent


class Replay(Oracle):
    """Answers from a transcript alone, so that anyone can reach the verdict again without the suspect.

    Raises:
        ArtifactError: not a transcript.
        OracleError: a query that the transcript does not hold.
    """

    def __init__(self, path: Path) -> None:
        lines = [json.loads(line) for line, _ in _lines(path)]
        if not lines or lines[0].get("format") != "birthmark/transcript/1":
            raise ArtifactError(f"{path}: expected a birthmark transcript")
        self.name = lines[0]["suspect"]
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
