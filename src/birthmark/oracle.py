"""The only way to a suspect: something that answers inputs, and wrappers that are oracles themselves.

`Metered(HardLabels(model), budget=100)` is an oracle that answers a hundred inputs with labels. Arrays are
NumPy's on both sides, so that remote suspects, files and replays need no torch.
"""

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from birthmark.errors import ArtifactError, BudgetError, OracleError, ShapeError
from birthmark.types import Access, Answers, Array, Floats, Labels

HASHED = np.dtype("<f4")  # queries are hashed as these


class Part(NamedTuple):
    """Some of the answers to a call: `rows` (m, k) answer the inputs at `places` (m,)."""

    places: Labels
    rows: Floats


class Oracle(ABC):
    """Answers inputs (n, *d) with rows (n, k): labels as one-hot rows, probabilities, logits or values.

    Attributes:
        access: what it grants.
        answers: the kind of its rows, as declared or probed.
        name: how evidence and messages call it; never holds a secret.
        batch: how many inputs are best asked in one call.
        sent: for remote oracles, queries sent so far, those sent again after failures included; None for others.
    """

    access: Access
    answers: Answers
    name: str = "oracle"
    batch: int = 100
    sent: int | None = None

    @abstractmethod
    def __call__(self, inputs: Array) -> Floats:
        """Answer inputs (n, *d) with float64 rows (n, k)."""

    def parts(self, inputs: Array) -> Iterator[Part]:
        """The same answers in parts, in any order, each as soon as it is there; what came before a failure is kept."""
        yield Part(np.arange(len(inputs)), self(inputs))

    def remarks(self) -> tuple[str, ...]:
        """What a reader of the evidence must know: what was probed, how often queries had to be sent again."""
        return ()


class Function(Oracle):
    """Any function of arrays as an oracle: tests, other libraries' models, in-process services."""

    def __init__(self, function: Callable[[Array], Any], answers: Answers, name: str = "function") -> None:
        self.function = function
        self.answers = answers
        self.access = Access.LABELS if answers is Answers.LABELS else Access.PROBS
        self.name = name

    def __call__(self, inputs: Array) -> Floats:
        return np.asarray(self.function(inputs), dtype=np.float64)


class Wrapper(Oracle):
    """An oracle around an oracle: grants and answers what the inner one does, unless a subclass says less."""

    def __init__(self, inner: Oracle) -> None:
        self.inner = inner
        self.access = min(inner.access, Access.PROBS)
        self.answers = inner.answers
        self.name = inner.name
        self.batch = inner.batch

    def __call__(self, inputs: Array) -> Floats:
        return self.inner(inputs)

    def remarks(self) -> tuple[str, ...]:
        return self.inner.remarks()


class Probabilities(Wrapper):
    """Softmax over an inner oracle that answers logits; other kinds pass unchanged.

    Raises:
        OracleError: probabilities where logits are declared: their softmax would be a silent blur.
    """

    def __init__(self, inner: Oracle) -> None:
        super().__init__(inner)
        self.answers = Answers.PROBABILITIES if inner.answers is Answers.LOGITS else inner.answers

    def __call__(self, inputs: Array) -> Floats:
        return self._soft(self.inner(inputs))

    def parts(self, inputs: Array) -> Iterator[Part]:
        for part in self.inner.parts(inputs):
            yield Part(part.places, self._soft(part.rows))

    def _soft(self, rows: Floats) -> Floats:
        if self.inner.answers is not Answers.LOGITS:
            return rows
        if (
            rows.ndim == 2
            and rows.shape[1] > 1
            and len(rows)
            and rows.min() >= 0
            and np.abs(rows.sum(axis=1) - 1).max() < 1e-4
        ):
            raise OracleError(
                f"{self.name}: expected logits, got rows that all lie on the simplex: these are probabilities; "
                "declare them so"
            )
        return softmax(rows)


class HardLabels(Wrapper):
    """One-hot rows of the top class."""

    def __init__(self, inner: Oracle) -> None:
        super().__init__(inner)
        if inner.answers is Answers.VALUES:
            raise ShapeError("expected a classifier to answer labels, got an oracle of real values")
        self.access, self.answers = Access.LABELS, Answers.LABELS

    def __call__(self, inputs: Array) -> Floats:
        rows = self.inner(inputs)
        return np.eye(rows.shape[1])[rows.argmax(axis=1)]


class TopK(Wrapper):
    """Only the `k` largest probabilities; the others are answered as 0, so rows may sum to less than one."""

    def __init__(self, inner: Oracle, k: int) -> None:
        super().__init__(Probabilities(inner))
        self.k = k

    def __call__(self, inputs: Array) -> Floats:
        rows = self.inner(inputs)
        floor = np.sort(rows, axis=1)[:, -min(self.k, rows.shape[1])][:, None]
        return np.where(rows >= floor, rows, 0.0)


class Rounded(Wrapper):
    """Answers rounded to `digits` decimals."""

    def __init__(self, inner: Oracle, digits: int) -> None:
        super().__init__(Probabilities(inner))
        self.digits = digits

    def __call__(self, inputs: Array) -> Floats:
        return np.round(self.inner(inputs), self.digits)


class Quantised8Bit(Wrapper):
    """Inputs pass through 8-bit pixels, as an uploaded image does: clipped to [0, 1], rounded to 1/255."""

    def __call__(self, inputs: Array) -> Floats:
        return self.inner((np.round(np.clip(inputs, 0, 1) * 255) / 255).astype(np.float32))


class Flaky(Wrapper):
    """Fails with OracleError on a seeded share of calls, for tests of resumption."""

    def __init__(self, inner: Oracle, share: float, *, seed: int) -> None:
        super().__init__(inner)
        self.share = share
        self.random = np.random.default_rng(seed)

    def __call__(self, inputs: Array) -> Floats:
        if self.random.random() < self.share:
            raise OracleError(f"{self.name}: injected failure")
        return self.inner(inputs)


class Metered(Wrapper):
    """Counts every input sent, and refuses a batch that would overspend `budget` before sending any of it.

    Raises:
        BudgetError: on the call that would overspend.
    """

    def __init__(self, inner: Oracle, budget: int | None = None) -> None:
        super().__init__(inner)
        self.budget = budget
        self.spent = 0

    @property
    def left(self) -> int | None:
        """Queries left, or None without a budget."""
        return None if self.budget is None else self.budget - self.spent

    def __call__(self, inputs: Array) -> Floats:
        if self.budget is not None and self.spent + len(inputs) > self.budget:
            raise BudgetError(
                f"{self.name}: {len(inputs)} more queries would overspend the budget of {self.budget} ({self.spent} "
                "spent); raise --budget or ask for fewer"
            )
        self.spent += len(inputs)
        return self.inner(inputs)

    def parts(self, inputs: Array) -> Iterator[Part]:
        if self.budget is None or self.spent + len(inputs) <= self.budget:
            self.spent += len(inputs)
            yield from self.inner.parts(inputs)
        else:
            self(inputs)


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


def softmax(rows: Floats) -> Floats:
    """Softmax of rows (n, k)."""
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def checked(rows: Floats, n: int, width: int | None, answers: Answers, name: str) -> Floats:
    """Validate an oracle's answers: shape (n, width), finite, on the simplex or one-hot where declared.

    Raises:
        OracleError: says what was expected and what came; logits where probabilities were declared are named so.
    """
    if rows.ndim != 2 or len(rows) != n or (width is not None and rows.shape[1] != width):
        raise OracleError(f"{name}: expected answers of shape ({n}, {width or 'k'}), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise OracleError(
            f"{name}: expected finite answers, got NaN or infinity in {int((~np.isfinite(rows)).any(axis=1).sum())} "
            f"of {n} rows"
        )
    if answers in (Answers.PROBABILITIES, Answers.LABELS):
        total = rows.sum(axis=1)
        slack = 1e-3 + 0.005 * rows.shape[1]  # rounding to two digits in every class
        if rows.min() < -1e-6 or total.max() > 1 + slack:
            raise OracleError(
                f"{name}: expected probabilities, got rows from {rows.min():.3g} that sum to "
                f"{total.min():.3g}..{total.max():.3g}: these look like logits; declare the suspect's output as logits"
            )
        if total.max() <= 0:
            raise OracleError(f"{name}: expected probabilities, got rows of zeros only")
    return rows


def is_labels(answers: Floats) -> bool:
    """Whether rows are one-hot."""
    return bool(((answers == 0) | (answers == 1)).all())


def rounding_step(answers: Floats) -> float:
    """10^-d if all answers are multiples of it for some d <= 4, else 0: what an API rounded its scores to."""
    for digits in (1, 2, 3, 4):
        if np.abs(answers - np.round(answers, digits)).max() < 1e-9:
            return float(10.0**-digits)
    return 0.0
