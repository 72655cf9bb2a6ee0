"""What holds for every reader of what strangers write, whatever the bytes: looked at around one reading.

Only errors of ours come out, on one printable line. It takes at most SECONDS, and at most MEMORY more than anything
before. No file outside the folder of the input is opened (those that Python and its libraries import aside), nothing is
written, started or connected there. Where a digest protects the content, it is refused or the same.
"""

import os
import resource
import shutil
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

import birthmark
from birthmark.claim import Task
from birthmark.errors import BirthmarkError
from fuzz.mutations import Files, mutated

SECONDS, MEMORY = 10.0, 512 << 20
LINKED = b"\0link:"  # a "file" that starts with this is a symbolic link
SOURCE = Path(birthmark.__file__).parent
OWN = (sys.prefix, sys.base_prefix, str(SOURCE), *sysconfig.get_paths().values())
SYSTEM = ("/proc/", "/sys/", "/dev/", "/usr/share/", "/usr/lib/", "/lib/", "/etc/mime.types", "/etc/localtime")
CORPUS = Path(__file__).parent / "corpus"
IMAGES = Task((1, 4, 4), 3)
X = np.random.default_rng(0).random((2, 1, 4, 4), dtype=np.float32)
WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate")
NEVER = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect", "socket.bind")


@dataclass(frozen=True)
class Reader:
    """One way in for what strangers write.

    Attributes:
        name: of the reader and of its folder in the corpus.
        seeds: makes good inputs, which must be read without an error.
        read: reads the input in a folder.
        unpack, pack: to parts that lie behind digests, checksums or lengths, and back; changes between the two are
            nobody's forgery, so that they may be accepted.
        kept: of what is read: for changes of the packed bytes it must be what it is for one of the seeds.
        elsewhere: whether an input may name files to read (a description of the user's own).
        child: whether it is read in a process of its own, and too slow for any but `make fuzz`.
    """

    name: str
    seeds: Callable[[], list[Files]]
    read: Callable[[Path], object]
    unpack: Callable[[Files], Files] | None = None
    pack: Callable[[Files], Files] | None = None
    kept: Callable[[object], object] | None = None
    elsewhere: bool = False
    child: bool = False


@dataclass
class Fuzz:
    """A reader with its seeds, made once, and what they are read as."""

    reader: Reader
    base: Path
    seeds: list[Files] = field(default_factory=list)
    parts: list[Files] = field(default_factory=list)
    known: list[object] = field(default_factory=list)
    refused: int = 0
    accepted: int = 0

    def __post_init__(self) -> None:
        self.seeds = self.reader.seeds()
        self.parts = [self.reader.unpack(one) for one in self.seeds] if self.reader.unpack else []
        for seed in self.seeds:
            value = self.reader.read(self._laid_out(seed))
            self.known.append(self.reader.kept(value) if self.reader.kept else None)

    def input(self, random: Random) -> tuple[Files, bool]:
        """A changed input, and whether digests that protect it were made anew."""
        at = random.randrange(len(self.seeds))
        if self.reader.pack is None or random.random() < 0.4:
            return mutated(self.seeds[at], self.seeds, random), False
        return self.reader.pack(mutated(self.parts[at], self.parts, random)), True

    def run(self, files: Files, anew: bool = False) -> str:
        """What is wrong with reading this input; empty if nothing is."""
        folder = self._laid_out(files)
        memory, start, wrong = _peak(), time.process_time(), list[str]()
        value, error = None, None
        failed: BaseException | None = None
        watched = _watched(self.base, wrong, elsewhere=self.reader.elsewhere, child=self.reader.child)
        with chdir(folder), watched, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                value = self.reader.read(folder)
            except BirthmarkError as ours:
                error = ours
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as other:  # panics of libraries in Rust, too
                failed = other
        if failed is not None:
            wrong.append(_said(failed))
        if error is not None and not str(error).isprintable():
            wrong.append("a message of more than one line")
        if (seconds := time.process_time() - start) > SECONDS:
            wrong.append(f"took {seconds:.1f} s")
        if (more := _peak() - memory) > MEMORY:
            wrong.append(f"took {more >> 20} MB more than anything before")
        self.refused += error is not None
        self.accepted += error is None
        if error is None and not wrong and not anew and self.reader.kept and self.reader.kept(value) not in self.known:
            wrong.append("an altered input was accepted as another content")
        return "; ".join(wrong)

    def _laid_out(self, files: Files) -> Path:
        shutil.rmtree(self.base, ignore_errors=True)
        folder, made = str(self.base / "in"), {""}
        os.makedirs(folder)
        tempfile.tempdir = str(self.base / "tmp")
        os.mkdir(tempfile.tempdir)
        links = any(blob.startswith(LINKED) for blob in files.values())
        for name, blob in files.items():
            place, above = f"{folder}/{name}", os.path.dirname(name)
            lands = os.path.realpath(place) if links else os.path.normpath(place)
            if not lands.startswith(f"{folder}/") or os.path.lexists(place):
                continue
            if above not in made:
                os.makedirs(f"{folder}/{above}", exist_ok=True)
                made.add(above)
            if blob.startswith(LINKED):
                os.symlink(blob.removeprefix(LINKED).decode("latin-1").replace("\0", "") or "x", place)
            else:
                with open(place, "wb") as file:
                    file.write(blob)
        return Path(folder)


@contextmanager
def fuzzing(reader: Reader, base: Path) -> Iterator[Fuzz]:
    """A reader, ready to be run in a folder that is emptied before every input."""
    before = tempfile.tempdir
    try:
        yield Fuzz(reader, base)
    finally:
        tempfile.tempdir = before
        shutil.rmtree(base, ignore_errors=True)


def corpus(name: str) -> list[tuple[str, Files]]:
    """The kept inputs of a reader, by name."""
    folders = sorted((CORPUS / name).iterdir()) if (CORPUS / name).is_dir() else []
    return [(place.name, files_in(place)) for place in folders]


def written(*write: Callable[[Path], object]) -> list[Files]:
    """The files that each of these writes into an empty folder."""
    found = []
    for one in write:
        with tempfile.TemporaryDirectory() as place:
            one(Path(place))
            found.append(files_in(Path(place)))
    return found


def content(folder: Path, name: str) -> bytes:
    """A file's bytes; empty if it is not there."""
    return (folder / name).read_bytes() if (folder / name).is_file() else b""


def files_in(folder: Path) -> Files:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def _said(error: BaseException) -> str:
    """What came instead of an error of ours, and the last place in our code that it passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if str(SOURCE) in f.filename]
    where = f"{Path(frames[-1].filename).relative_to(SOURCE)}:{frames[-1].lineno}" if frames else "outside"
    return f"{type(error).__name__} at {where}"


def _peak() -> int:
    """Most bytes that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_watch: tuple[str, list[str], bool] | None = None
_hooked: list[bool] = []


@contextmanager
def _watched(base: Path, wrong: list[str], *, elsewhere: bool, child: bool) -> Iterator[None]:
    global _watch
    if not _hooked:
        sys.addaudithook(_seen)
        _hooked.append(True)
    _watch = None if child else (str(base.resolve()), wrong, elsewhere)
    try:
        yield
    finally:
        _watch = None


def _seen(event: str, details: tuple[object, ...]) -> None:
    if _watch is None or threading.current_thread() is not threading.main_thread():
        return
    base, wrong, elsewhere = _watch
    if event.startswith(NEVER):
        wrong.append(f"{event} {str(details)[:100]}")
    elif event == "open" or event in WRITES:
        place = details[0] if isinstance(details[0], (str, bytes, os.PathLike)) else None
        if place is None:
            return
        path = os.path.abspath(os.fsdecode(place))
        writes = event != "open" or (
            isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if path.startswith(base) or (not writes and (elsewhere or path.startswith((*OWN, *SYSTEM)))):
            return
        wrong.append(f"{event} of {path[:200]}")
