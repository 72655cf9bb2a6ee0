"""A stranger's file, opened and asked in a child process with limits, so that nothing in it can do harm here.

The child (`child`) has no network, may not write, start programs or take more memory than such a file can need; every
message has a deadline, after which it is killed; when it dies, the suspect has failed, and nothing else. What it
answers is treated as a stranger's word: bounded, and read as numbers only.
"""

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from birthmark import errors
from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, OracleError
from birthmark.inputs import to_bytes
from birthmark.oracle import Oracle
from birthmark.secrets import printable
from birthmark.suspects.child import CALLS, NAMESPACE
from birthmark.suspects.child import __file__ as CHILD
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.files import parts_of, refuse_others
from birthmark.suspects.pipes import receive, send
from birthmark.types import Access, Answers, Array, Floats

MEMORY = 4 << 30  # bytes a child may take beyond its libraries, and GROWTH times the file's own
GROWTH = 6
STEP = 500  # queries in one message, unless `batch` is declared
MESSAGE = 64 << 20  # bytes of queries in one message
WIDEST = 1 << 24  # numbers in a row
LOADING = 120.0  # seconds for libraries to be imported, before the file is touched
OPENING = 20 << 20  # bytes of a file that get one more second to be opened
UNGUARDED = (
    "the system cuts no process off the network here: of the suspect's file only Python's own sockets and programs "
    "were refused; open files of strangers on Linux, or in a container without network"
)
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
THREADS = ("OMP_", "MKL_", "OPENBLAS_", "LC_")


class Child:
    """A process with limits that opens a file; one message goes there and one comes back at a time.

    Args:
        server: module whose `serve` runs in it.
    """

    name: str

    def __init__(self, path: Path, server: str) -> None:
        self.name = path.name
        self._lock = threading.Lock()
        self._process = _started(server)
        self.close = weakref.finalize(self, _end, self._process)
        ready, _ = self._exchange({"path": str(path)}, b"", LOADING, ArtifactError)
        self.guards = tuple(guard for guard in (NAMESPACE, CALLS) if guard in str(ready.get("guards")))

    def _exchange(
        self, head: dict[str, object], blob: bytes, seconds: float, kind: type[BirthmarkError]
    ) -> tuple[Mapping[str, object], bytes]:
        """One message there and one back, or the child is killed."""
        process, late = self._process, threading.Event()
        assert process.stdin
        assert process.stdout
        with self._lock:
            timer = threading.Timer(seconds, _kill, (process, late))
            timer.daemon = True
            timer.start()
            try:
                send(process.stdin, head, blob)
                said, data = receive(process.stdout, head=1 << 20)
            except (OSError, EOFError, ValueError, RecursionError):
                _kill_all(process)
                raise kind(f"{self.name}: {_death(process.wait(), late.is_set(), seconds)}") from None
            finally:
                timer.cancel()
        if "error" in said:
            if kind is ArtifactError:  # it was not opened
                self.close()
            raise _raised(said, kind)
        return said, data

    def _broken(self, kind: type[BirthmarkError]) -> BirthmarkError:
        self.close()
        return kind(f"{self.name}: the process that opened it answers what was not asked; it is damaged or hostile")


class Sandboxed(Child, Oracle):
    """A suspect in a file; grants its answers, never its weights.

    Raises:
        ArtifactError: not what it says, or it cannot be opened within its limits.
        SettingError: something about it must be declared.
    """

    def __init__(self, path: Path, spec: "SuspectSpec", task: Task | None) -> None:
        size = bytes_of(path)
        self.step = spec.transport.batch or STEP
        self.timeout = spec.transport.timeout
        super().__init__(path, "birthmark.suspects.served")
        head: dict[str, object] = {
            "spec": spec.flat(),
            "task": task.plain() if task else None,
            "memory": MEMORY + GROWTH * size,
        }
        said, _ = self._exchange(head, b"", self.timeout + size / OPENING, ArtifactError)
        try:
            self.answers = Answers(str(said["answers"]))
            self.access = min(Access(int(str(said["access"]))), Access.PROBS)
            self.name = printable(said["name"], 500)
        except (KeyError, ValueError, TypeError):
            raise self._broken(ArtifactError) from None
        remarks = said.get("remarks")
        self._remarks = tuple(printable(line, 500) for line in remarks) if isinstance(remarks, list) else ()

    def remarks(self) -> tuple[str, ...]:
        return self._remarks if self.guards else (*self._remarks, UNGUARDED)

    def __call__(self, inputs: Array) -> Floats:
        step = max(1, min(self.step, MESSAGE // max(1, inputs[:1].nbytes)))
        parts = [self._asked(inputs[i : i + step]) for i in range(0, len(inputs), step)]
        if len({part.shape[1] for part in parts}) > 1:
            raise OracleError(f"{self.name}: answers rows of different lengths")
        return np.concatenate(parts) if parts else np.zeros((0, 0))

    def _asked(self, inputs: Array) -> Floats:
        about, blob = to_bytes(inputs)
        said, data = self._exchange(about, blob, self.timeout + len(inputs), OracleError)
        shape = said.get("shape")
        if not isinstance(shape, list) or len(shape) != 2 or not all(type(v) is int for v in shape):
            raise self._broken(OracleError)
        n, width = shape
        if n != len(inputs) or not 0 <= width <= WIDEST or len(data) != 8 * n * width:
            raise self._broken(OracleError)
        return np.frombuffer(data, dtype=np.float64).reshape(n, width).copy()


def looked(path: Path, seconds: float = 60.0) -> Mapping[str, object]:
    """What a file says of itself (`looking.About`), found out in a child process.

    Raises:
        ArtifactError: of a kind that is not read, damaged, or beyond its limits.
    """
    refuse_others(path)
    size, opened = bytes_of(path), Child(path, "birthmark.suspects.served")
    try:
        head: dict[str, object] = {"look": True, "memory": MEMORY + GROWTH * size}
        return opened._exchange(head, b"", seconds + size / OPENING, ArtifactError)[0]
    finally:
        opened.close()


def bytes_of(path: Path) -> int:
    """Of a file with what belongs to it beside it, or of the files in a folder."""
    return sum(file.stat().st_size for file in parts_of(path))


def _started(server: str) -> "subprocess.Popen[bytes]":
    inherited = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith(THREADS)}
    places = os.pathsep.join(dict.fromkeys(str(Path(place).absolute()) for place in sys.path))
    own = {
        "PYTHONPATH": places,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TORCHINDUCTOR_CACHE_DIR": "/",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "BIRTHMARK_DEVICE": "cpu",  # a GPU's driver maps more memory than any limit would allow
    }
    return subprocess.Popen(
        [sys.executable, "-P", CHILD, server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**inherited, **own},
        start_new_session=True,  # Ctrl-C is for us; we end it
    )


def _kill(process: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    _kill_all(process)


def _kill_all(process: "subprocess.Popen[bytes]") -> None:
    """The child, and what it may have forked: it leads a group of its own, which nothing in it can leave."""
    if process.returncode is None and hasattr(os, "killpg"):
        with suppress(OSError):  # nobody is left
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _end(process: "subprocess.Popen[bytes]") -> None:
    _kill_all(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):  # what was under way goes nowhere
                pipe.close()


def _death(code: int, late: bool, seconds: float) -> str:
    if late:
        return f"no answer within {seconds:.0f} s; raise timeout, or lower batch, if it is only slow"
    name = signal.Signals(-code).name if code < 0 and -code in set(signal.Signals) else f"code {code}"
    return f"the process that opened it ended ({name}): it needs more than it is given, or is damaged or hostile"


def _raised(said: Mapping[str, object], kind: type[BirthmarkError]) -> BirthmarkError:
    """The child's error, if it is one of ours, else `kind`; its text is a stranger's."""
    ours = getattr(errors, str(said["error"]), kind)
    if not (isinstance(ours, type) and issubclass(ours, BirthmarkError)):
        ours = kind
    return ours(printable(said.get("message", "failed"), 1000))
