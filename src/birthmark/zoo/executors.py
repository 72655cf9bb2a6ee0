"""Where jobs run: here (for tests), in a pool of processes on this machine, or on a Ray cluster.

A job names a function of this package and its plain arguments; what it makes is written to files, and only a small JSON
object comes back. So nothing is pickled, a job whose process died is simply given out again, and any executor gives
the same bits.
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any, Protocol

from birthmark.errors import BirthmarkError


@dataclass(frozen=True)
class Job:
    """One unit of work.

    Attributes:
        name: unique among the jobs in flight.
        function: "module:function" inside this package; takes `arguments`, returns plain JSON data.
        arguments: plain JSON data.
        cpus, gpus: what it takes on a cluster; a pool on this machine gives every job one processor.
        title: for people; empty where the name serves.
        rank: jobs of lower rank go first.
    """

    name: str
    function: str
    arguments: Mapping[str, Any]
    cpus: float = 1.0
    gpus: float = 0.0
    title: str = ""
    rank: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its result, or one line of error.

    `fatal` errors (a full disk) would meet every other job too; `crowded` ones (no memory left) need not meet the job
    when fewer run beside it.
    """

    name: str
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    fatal: bool = False
    crowded: bool = False


class Executor(Protocol):
    """Takes jobs and gives outcomes in the order they end."""

    slots: int  # jobs worth having in flight at a time

    def submit(self, job: Job) -> None: ...

    def wait(self) -> Outcome:
        """The next job to end, whichever; jobs lost with their process have been given out again meanwhile."""
        ...

    def close(self) -> None:
        """Stop at once; jobs in flight are lost, what they had finished is not."""
        ...


def perform(job: Job) -> Outcome:
    """Run a job in this process, with one torch thread."""
    import torch

    from birthmark.workshop.devices import free, short_of_memory

    module, _, function = job.function.partition(":")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Outcome(job.name, getattr(import_module(module), function)(**job.arguments))
    except BirthmarkError as error:
        return Outcome(job.name, error=str(error), fatal=isinstance(error.__cause__, OSError))
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return Outcome(job.name, error=said, crowded=isinstance(error, MemoryError) or short_of_memory(said))
    finally:
        torch.set_num_threads(threads)
        free()


class Serial:
    """Runs jobs in this process, one after the other."""

    slots = 1

    def __init__(self) -> None:
        self.queue: list[Job] = []

    def submit(self, job: Job) -> None:
        self.queue.append(job)

    def wait(self) -> Outcome:
        return perform(self.queue.pop(0))

    def close(self) -> None:
        self.queue.clear()


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    job: Job | None = None
    heard: bytes = b""


class Pool:
    """Processes on this machine, each with one torch thread, started when the first jobs come and kept for later ones.

    They talk JSON lines over pipes. A worker that dies (killed, out of memory) is replaced and its job given out
    again, up to `retries` times.

    Args:
        workers: number of processes; default one a processor.
    """

    def __init__(self, workers: int | None = None, *, retries: int = 3) -> None:
        self.slots = workers or os.cpu_count() or 1
        self.retries = retries
        self.queue: list[Job] = []
        self.deaths: dict[str, int] = {}
        self.workers: list[_Worker] = []
        self.ears = selectors.DefaultSelector()

    def submit(self, job: Job) -> None:
        self.queue.append(job)
        self._hand_out()

    def wait(self) -> Outcome:
        while True:
            self._hand_out()
            for key, _ in self.ears.select():
                worker: _Worker = key.data
                block = os.read(key.fd, 1 << 16)
                worker.heard += block
                if not block:
                    outcome = self._died(worker)
                elif worker.heard.endswith(b"\n"):
                    outcome = Outcome(**json.loads(worker.heard))
                    worker.job, worker.heard = None, b""
                    self.deaths.pop(outcome.name, None)
                else:
                    continue
                if outcome is not None:
                    self._hand_out()
                    return outcome

    def close(self) -> None:
        for worker in self.workers:
            worker.process.kill()
            self._forget(worker)
        self.workers.clear()
        self.queue.clear()

    def _hand_out(self) -> None:
        while self.queue:
            worker = next((w for w in self.workers if w.job is None), None)
            if worker is None:
                if len(self.workers) >= self.slots:
                    return
                worker = self._start()
            worker.job = self.queue.pop(0)
            assert worker.process.stdin is not None
            with suppress(BrokenPipeError):  # it died idle: its end of file is met in wait()
                worker.process.stdin.write(json.dumps(asdict(worker.job)).encode() + b"\n")
                worker.process.stdin.flush()

    def _start(self) -> _Worker:
        quiet = {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "BIRTHMARK_WORKER": str(len(self.workers)),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "birthmark.zoo.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **quiet},
        )
        worker = _Worker(process)
        self.workers.append(worker)
        assert process.stdout is not None
        self.ears.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _died(self, worker: _Worker) -> Outcome | None:
        code = worker.process.wait()
        self._forget(worker)
        self.workers.remove(worker)
        job = worker.job
        if job is None:
            return None
        self.deaths[job.name] = self.deaths.get(job.name, 0) + 1
        if self.deaths[job.name] > self.retries:
            return Outcome(
                job.name,
                error=(
                    f"its worker died {self.deaths[job.name]} times (exit code {code}); if memory ran out, use fewer "
                    "--workers"
                ),
            )
        self.queue.insert(0, job)
        return None

    def _forget(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        assert worker.process.stdin is not None
        self.ears.unregister(worker.process.stdout)
        worker.process.stdout.close()
        with suppress(BrokenPipeError):
            worker.process.stdin.close()
        worker.process.wait()
