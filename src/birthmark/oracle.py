"""The only way to a suspect: something that answers inputs, and wrappers that are oracles themselves.

`Metered(HardLabels(model), budget=100)` is an oracle that answers a hundred inputs with labels. Arrays are
NumPy's on both sides, so that remote suspects, files and replays need no torch.
"""

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np

from birthmark.errors import ArtifactError, BudgetError, OracleError, ShapeError
from birthmark.types import Access, Answers, Array, Floats


class Oracle(ABC):
    """Answers inputs (n, *d) with rows (n, k): labels as one-hot rows, probabilities, logits or values.

    Attributes:
        access: what it grants.
        answers: the kind of its rows, as declared or probed.
        name: how evidence and messages call it; never holds a secret.
    """

    access: Access
    answers: Answers
    name: str = "oracle"

    @abstractmethod
    def __call__(self, inputs: Array) -> Floats:
        """Answer inputs (n, *d) with float64 rows (n, k)."""


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

    def __call__(self, inputs: Array) -> Floats:
        return self.inner(inputs)


class Probabilities(Wrapper):
    """Softmax over an inner oracle that answers logits; other kinds pass unchanged."""

    def __init__(self, inner: Oracle) -> None:
        super().__init__(inner)
        self.answers = Answers.PROBABILITIES if inner.answers is Answers.LOGITS else inner.answers

    def __call__(self, inputs: Array) -> Floats:
        rows = self.inner(inputs)
        return softmax(rows) if self.inner.answers is Answers.LOGITS else rows


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
                f"{self.name}: {len(inputs)} more queries would overspend the budget of {self.budget} ({self.spent} spent); raise --budget or ask for fewer"
            )
        self.spent += len(inputs)
        return self.inner(inputs)


def query_digest(row: Array) -> str:
    """SHA-256 of one query: its shape and its float32 bytes."""
    data = np.ascontiguousarray(row, dtype="<f4")
    return sha256(f"{data.shape}".encode() + data.tobytes()).hexdigest()


class Transcript:
    """What was asked and answered, as JSON lines that are appended while a verification runs.

    The first line names the suspect; each other line holds a query's digest and the answer as received. A
    transcript that was cut short is continued: a torn last line (a kill while writing) is dropped.

    Raises:
        ArtifactError: the file is not a transcript, or belongs to another suspect.
    """

    def __init__(self, path: Path | None, *, suspect: str, answers: Answers) -> None:
        self.path = path
        self.known: dict[str, list[float]] = {}
        self.sent = 0
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
                        f"{path}: expected a transcript of {head['suspect']!r} answering {head['answers']}, got one of {entry.get('suspect')!r}; use another file"
                    )
            else:
                self.known.setdefault(entry["query"], entry["answer"])
                self.sent += 1
            good = end
        return good

    def add(self, queries: list[str], rows: Floats) -> None:
        for digest, row in zip(queries, rows, strict=True):
            answer = [float(value) for value in row]
            self._write({"query": digest, "answer": answer, "time": round(time.time(), 3)})
            self.known.setdefault(digest, answer)
        self.sent += len(queries)
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        if self._file is not None:
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
        fresh = {digest: place for place, digest in reversed(list(enumerate(digests))) if digest not in self.transcript.known}
        if fresh:
            order = sorted(fresh.values())
            self.transcript.add([digests[place] for place in order], self.inner(inputs[order]))
        return np.array([self.transcript.known[digest] for digest in digests], dtype=np.float64)


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
            self.known.setdefault(line["query"], line["answer"])

    def __call__(self, inputs: Array) -> Floats:
        try:
            return np.array([self.known[query_digest(row)] for row in inputs], dtype=np.float64)
        except KeyError:
            raise OracleError(
                f"{self.name}: the transcript does not hold one of the queries; it belongs to another claim or was cut short"
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
            f"{name}: expected finite answers, got NaN or infinity in {int((~np.isfinite(rows)).any(axis=1).sum())} of {n} rows"
        )
    if answers in (Answers.PROBABILITIES, Answers.LABELS):
        total = rows.sum(axis=1)
        slack = 1e-3 + 0.005 * rows.shape[1]  # rounding to two digits in every class
        if rows.min() < -1e-6 or total.max() > 1 + slack:
            raise OracleError(
                f"{name}: expected probabilities, got rows from {rows.min():.3g} that sum to {total.min():.3g}..{total.max():.3g}: these look like logits; declare the suspect's output as logits"
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
