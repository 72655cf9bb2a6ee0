"""Keeps an executor busy with jobs, and with those that each outcome makes ready; says meanwhile where the work stands.

A job is known by its name, whatever characters that holds; what failed comes back by name, beside its error.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from birthmark.errors import BirthmarkError
from birthmark.zoo.executors import Executor, Job, Outcome


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    `made` counts what this run did itself; `seconds` since it began; `event` is what just happened.
    """

    total: int
    done: int
    made: int
    running: tuple[str, ...]
    failed: int
    seconds: float
    event: str = ""

    @property
    def left(self) -> int:
        return self.total - self.done - self.failed - len(self.running)

    @property
    def per_minute(self) -> float:
        return 60 * self.made / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float:
        """Seconds left at the present pace; NaN before the first outcome."""
        return (self.total - self.done - self.failed) * self.seconds / self.made if self.made else float("nan")


@dataclass
class Crew:
    """Runs jobs on an executor.

    Attributes:
        total, done: units of work, and how many of them were there before.
        failures: what went wrong, by the job's name.
    """

    executor: Executor
    progress: Callable[[Progress], None] | None = None
    total: int = 0
    done: int = 0
    made: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    running: dict[str, Job] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def run(
        self, jobs: Iterable[Job], after: Callable[[Outcome], Iterable[Job]] = lambda outcome: ()
    ) -> dict[str, str]:
        """Run jobs to the end, lowest `rank` first; returns `failures`.

        Args:
            after: told of each outcome, gives the jobs that it made ready.

        Raises:
            BirthmarkError: an error that every other job would meet too, such as a full disk.
        """
        waiting = sorted(jobs, key=lambda job: job.rank)
        self.total = self.total or len(waiting)
        try:
            while waiting or self.running:
                while waiting and len(self.running) < self.executor.slots:
                    job = waiting.pop(0)
                    self.running[job.name] = job
                    self.executor.submit(job)
                outcome = self.executor.wait()
                job = self.running.pop(outcome.name)
                if self._crowded(outcome):
                    waiting.insert(0, job)
                    continue
                self._note(job, outcome)
                waiting = sorted([*waiting, *after(outcome)], key=lambda job: job.rank)
                self.report(f"{_told(outcome)} {job.title or job.name}")
        except BaseException:
            self.executor.close()
            raise
        return self.failures

    def _crowded(self, outcome: Outcome) -> bool:
        """Whether a job ran out of memory beside others: then half as many run at a time, and it runs again."""
        crowded = outcome.crowded and (self.executor.slots > 1 or bool(self.running))
        if crowded:
            self.executor.slots = max(1, self.executor.slots // 2)
            self.report(f"memory ran out; {self.executor.slots} at a time from here on")
        return crowded

    def _note(self, job: Job, outcome: Outcome) -> None:
        if not outcome.error:
            self.done, self.made = self.done + 1, self.made + 1
            return
        self.failures[job.name] = outcome.error
        if outcome.fatal:
            raise BirthmarkError(
                f"{job.title or job.name}: {outcome.error}; the run stopped, and continues when it is started again"
            )

    def report(self, event: str) -> None:
        """Say where the work stands, if anybody listens."""
        if self.progress is not None:
            seconds, running = time.monotonic() - self.started, tuple(self.running)
            self.progress(Progress(self.total, self.done, self.made, running, len(self.failures), seconds, event))


def _told(outcome: Outcome) -> str:
    return outcome.error or outcome.result.get("event") or f"{outcome.result.get('seconds', 0):.1f} s,"
