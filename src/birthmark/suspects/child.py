"""The process in which a stranger's file is opened and asked: a script that `sandbox` starts, and nobody imports.

Before it reads the file it gives up what it can: the network (a namespace of its own where the kernel allows that),
the system calls that open sockets and start programs, core dumps, writing to disk; and once the libraries are loaded,
memory beyond what such a file can need, and from then on everything that Python reports to an audit hook: sockets,
other processes, files opened for writing. What travels over the pipes is JSON and raw numbers.
"""

import ctypes
import os
import platform
import signal
import struct
import sys
from importlib import import_module

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

NEW_USER, NEW_NETWORK, DIE_WITH_PARENT, NO_NEW_PRIVILEGES, FILTER = 0x10000000, 0x40000000, 1, 38, 22  # of Linux
NAMESPACE, CALLS = "namespace", "filter"  # the guards that hold for libraries in C, too
LOAD, EQUAL, AT_LEAST, RETURN, ALLOW, REFUSE = 0x20, 0x15, 0x35, 0x06, 0x7FFF0000, 0x00050001  # of its packet filters
FOREIGN = 0x40000000  # from here on calls of another kind of program
REFUSED = {  # the processor's own word, and its numbers of: socket, connect, bind, execve, execveat, ptrace, setsid,
    # setpgid, io_uring_setup, process_vm_writev (asm/unistd.h)
    "x86_64": (0xC000003E, (41, 42, 49, 59, 322, 101, 112, 109, 425, 311)),
    "aarch64": (0xC00000B7, (198, 203, 200, 221, 281, 117, 157, 154, 425, 271)),
}
FORBIDDEN = (
    *("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.spawn", "os.kill", "shutil."),
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
)
FILES = 256  # open at once


def isolate() -> list[str]:
    """Lose the network, privileges and the right to write, before any library starts a thread; the guards that hold."""
    guards = list[str]()
    if sys.platform == "linux":
        system = ctypes.CDLL(None, use_errno=True)
        system.prctl(DIE_WITH_PARENT, signal.SIGKILL)
        system.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if system.unshare(NEW_USER | NEW_NETWORK) == 0 or system.unshare(NEW_NETWORK) == 0:
            guards.append(NAMESPACE)
        if _filtered(system):
            guards.append(CALLS)
    _write_nothing()
    return guards


def _filtered(system: ctypes.CDLL) -> bool:
    """Have the kernel refuse sockets and programs to every thread from now on; whether it does."""
    word, calls = REFUSED.get(platform.machine(), (0, ()))
    if not calls:
        return False
    last = len(calls) + 5
    steps = [(LOAD, 0, 0, 4), (EQUAL, 0, last - 2, word), (LOAD, 0, 0, 0), (AT_LEAST, last - 4, 0, FOREIGN)]
    steps += [(EQUAL, last - 5 - i, 0, number) for i, number in enumerate(calls)]
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    head = struct.pack("@HP", len(steps), ctypes.addressof(program))
    return bool(system.prctl(FILTER, 2, head, 0, 0) == 0)


def _write_nothing() -> None:
    if resource is None:
        return
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, FILES)):
        _limit(kind, most)


def _limit(kind: int, most: int) -> None:
    """At most so much of something, or what was allowed before, if that is less."""
    import resource

    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def confine(memory: int) -> None:
    """From now on at most so many bytes more than are mapped already, and nothing that an audit hook sees."""
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, mapped + memory)
    sys.addaudithook(_forbid)


def _forbid(event: str, details: tuple[object, ...]) -> None:
    writes = event == "open" and isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if event.startswith(FORBIDDEN) or (writes and details[0] != os.devnull):
        raise PermissionError(f"a suspect's file may not do that ({event})")


def main() -> None:
    """Hand the pipes to the module that the command line names."""
    guards = isolate()
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1):  # what a library prints is no answer
        os.dup2(nothing, place)
    import_module(sys.argv[1]).serve(asked, answers, confine, guards)


if __name__ == "__main__":
    main()
