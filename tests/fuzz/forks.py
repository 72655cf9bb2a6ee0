"""Children of the sandbox, made by forking one that has loaded its libraries: what they do is what a fresh one does.

A fresh child takes seconds to import what opens files; a fork of one that waits just before its first message takes
milliseconds. As a script this is that process: it gives up what `child` gives up, then forks for every word it gets.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from functools import cache
from importlib import import_module
from typing import IO

SUBREAPER = 36  # of prctl(2): who has lost its parent becomes our child


class Forked:
    """As much of `subprocess.Popen` as the sandbox uses."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


def started() -> Forked:
    """In place of `sandbox._started`."""
    line = _line()
    (asked, ask), (answer, answered) = os.pipe(), os.pipe()
    socket.send_fds(line, [b"1"], [asked, answered])
    os.close(asked)
    os.close(answered)
    said = b""
    while not said.endswith(b"\n"):  # when the one between has gone, and it is our child
        said += line.recv(20)
    return Forked(int(said), os.fdopen(ask, "wb"), os.fdopen(answer, "rb"))


@cache
def _line() -> socket.socket:
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    ours, theirs = socket.socketpair()
    subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL
    )
    theirs.close()
    return ours


def main() -> None:
    line = socket.socket(fileno=int(sys.argv[1]))
    from birthmark.suspects import child

    guards = child.isolate()
    from birthmark.suspects import files, served

    for name in (name for names in files.NEEDED.values() for name in names):
        import_module(name)
    while True:
        word, (asked, answered, *_), _, _ = socket.recv_fds(line, 1, 2)
        if not word:
            return
        if os.fork():
            os.wait()
            line.send(b"\n")
        elif pid := os.fork():
            line.send(str(pid).encode())
            os._exit(0)
        else:
            line.close()
            served.serve(os.fdopen(asked, "rb"), os.fdopen(answered, "wb"), child.confine, guards)
            os._exit(0)
        os.close(asked)
        os.close(answered)


if __name__ == "__main__":
    main()
