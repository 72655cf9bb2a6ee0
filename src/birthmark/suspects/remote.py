"""A suspect behind a prediction API, as an oracle."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

import numpy as np

from birthmark.answers import checked
from birthmark.claim import Task
from birthmark.errors import BirthmarkError, OracleError
from birthmark.oracle import Oracle, Part
from birthmark.suspects.description import access
from birthmark.suspects.dialect import PROBED, Dialect, Request, Response
from birthmark.suspects.reading import rows
from birthmark.suspects.scope import check_answer
from birthmark.types import Array, Floats, Labels


class Remote(Oracle):
    """Asks in batches, several at a time, and yields answers as they arrive, checked.

    Attributes:
        lines: what the probe found.
        again: queries that had to be sent again.
    """

    def __init__(
        self,
        base: str,
        dialect: Dialect,
        task: Task,
        send: Callable[[Request, Callable[[int], None]], Response],
        lines: tuple[str, ...] = (),
    ) -> None:
        spec = dialect.spec
        assert spec.reading.kind is not None, "the spec is completed before"
        self.dialect, self.task, self.send, self.lines = dialect, task, send, lines
        self.access, self.answers = access(spec.reading), spec.reading.kind
        model = f" {spec.transport.model}" if spec.transport.model else ""
        self.name = f"{base} ({dialect.name}{model}: {spec.says()})"
        self.limit = dialect.limit
        self.batch = self.limit * spec.transport.concurrency
        self.sent = 0
        self.answered = 0
        self.identity = {"place": self.name, "address": base, **spec.declaration()}
        self._width: int | None = None
        self._lock = threading.Lock()

    def __call__(self, inputs: Array) -> Floats:
        found = list(self.parts(inputs))
        if not found:
            return np.zeros((0, self.task.outputs))
        answers = np.empty((len(inputs), found[0].rows.shape[1]))
        for part in found:
            answers[part.places] = part.rows
        return answers

    def parts(self, inputs: Array) -> Iterator[Part]:
        start, failure, running = 0, None, set[Future[list[Part]]]()
        with ThreadPoolExecutor(self.dialect.spec.transport.concurrency) as pool:
            while running or (start < len(inputs) and failure is None):
                while (
                    start < len(inputs) and failure is None and len(running) < self.dialect.spec.transport.concurrency
                ):
                    places = np.arange(start, min(start + self.limit, len(inputs)))
                    running.add(pool.submit(self._asked, inputs, places))
                    start += len(places)
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    try:
                        yield from self._same_width(future.result())
                    except BirthmarkError as error:
                        failure = failure or error
        if failure is not None:
            raise failure

    def remarks(self) -> tuple[str, ...]:
        wasted = (self.sent or 0) - self.answered
        return (*self.lines, *((f"{wasted} queries were sent again after failures",) if wasted else ()))

    def _asked(self, inputs: Array, places: Labels) -> list[Part]:
        """Answers to one request; a batch that is too large for the server is halved, here and from now on."""
        batch = inputs[places]
        try:
            values = PROBED + 32 * len(places) * self.task.outputs
            request = replace(self.dialect.request(batch), values=values)
            response = self.send(request, partial(self._leaving, len(places)))
        except OracleError as error:
            if getattr(error, "status", 0) != 413 or len(places) == 1:
                raise
            half = (len(places) + 1) // 2
            self.limit = min(self.limit, half)
            return self._asked(inputs, places[:half]) + self._asked(inputs, places[half:])
        answers = self._read(response, len(places))
        self.answered += len(places)
        return [Part(places, checked(answers, len(places), None, self.answers, self.name))]

    def _leaving(self, n: int, tries: int) -> None:
        with self._lock:
            self.sent = (self.sent or 0) + n * tries
            if self.leaving is not None:
                self.leaving(n * tries)

    def _read(self, response: Response, n: int) -> Floats:
        try:
            value = self.dialect.answers(response, n, self.name)
            check_answer(value, self.name)
            return rows(value, n, self.dialect.reading, self.task, self.name)
        except RecursionError:
            raise OracleError(f"{self.name}: the answer is nested without end") from None

    def _same_width(self, parts: list[Part]) -> list[Part]:
        for part in parts:
            self._width = self._width or part.rows.shape[1]
            if part.rows.shape[1] != self._width:
                raise OracleError(
                    f"{self.name}: answered rows of {self._width} numbers before, and of {part.rows.shape[1]} now"
                )
        return parts
