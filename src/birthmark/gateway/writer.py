"""Writing the query log: a record is on its way to disk before its answer leaves.

A process killed at any moment loses no record of an answer that anyone has seen.
"""

import base64
import fcntl
import json
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from birthmark.errors import ArtifactError, SettingError
from birthmark.gateway.log import FORMAT, START, Record, chained, checked, segment_name, segments
from birthmark.inputs import query_digest
from birthmark.types import Array, Floats

try:
    import orjson
except ImportError:
    raise SettingError("writing a query log needs orjson; pip install 'birthmark[serve]'") from None

FSYNC = ("always", "interval", "never")
FULL = ("drop-oldest", "refuse")
WRITTEN: Future[None] = Future()
WRITTEN.set_result(None)


@dataclass(frozen=True)
class LogSettings:
    """Where and how the log is kept.

    Attributes:
        folder: of the segments; one gateway at a time.
        segment: bytes after which a new segment begins.
        largest: bytes of all segments together.
        when_full: "drop-oldest" segment (the chain goes on from its last hash), or "refuse".
        fsync: "always" before an answer leaves (survives a power cut), "interval" (once a second), "never" (survives a
            kill, not a power cut).
    """

    folder: Path
    segment: int = 64 << 20
    largest: int = 4 << 30
    when_full: str = "drop-oldest"
    fsync: str = "interval"

    def __post_init__(self) -> None:
        if self.fsync not in FSYNC or self.when_full not in FULL:
            raise SettingError(
                f"expected fsync among {', '.join(FSYNC)} and when_full among {', '.join(FULL)}, got {self.fsync!r} "
                f"and {self.when_full!r}"
            )
        if not 1 << 12 <= self.segment <= self.largest:
            raise SettingError(f"expected 4096 <= segment <= largest bytes, got {self.segment} and {self.largest}")


def entry(
    client: str, key: str, inputs: Array, marked: bool, reason: str, near: Sequence[int], answers: Floats | None
) -> Record:
    """One answered request as plain data.

    Args:
        key: fingerprint of the client's key.
        near: places among the inputs that were near-ties; those inputs and their unmarked answers are kept whole.
    """
    found: Record = {"client": client, "key": key, "marked": marked}
    if reason:
        found["reason"] = reason
    found["inputs"] = [query_digest(row) for row in inputs]
    if near and answers is not None:
        found["ties"] = {
            "rows": list(near),
            "shape": list(inputs.shape[1:]),
            "inputs": _packed(inputs[near]),
            "answers": _packed(answers[near]),
        }
    return found


class QueryLog:
    """An open log; `append` from any thread.

    Raises:
        SettingError: another gateway has it open.
        ArtifactError: the folder cannot be written, or a line other than a torn last one is damaged.
    """

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self.lock = threading.Lock()
        folder = settings.folder
        self._guard = _locked(folder)
        self.hash, self.number, self.clock = START, 0, 0.0
        self.torn = 0
        self.jumps = 0
        found = segments(folder)
        self._sizes = {path: path.stat().st_size for path in found}
        self._file = -1
        try:
            if found:
                self._resume(found[-1])
            else:
                self._open(folder / segment_name(1))
        except BaseException:
            self._guard.close()
            raise
        self._waiting: list[Future[None]] = []
        self._wake = threading.Condition(self.lock)
        self._closed = False
        self._syncer = threading.Thread(target=self._sync, name="query-log", daemon=True)
        self._syncer.start()

    def append(self, record: Record) -> Future[None]:
        """Write a record; the future is done when it is as safe as `fsync` asks for.

        Raises:
            ArtifactError: the disk is gone or full, or the log itself is full and may not drop anything.
        """
        with self.lock:
            now = time.time()
            if now < self.clock - 1:  # the order of records is the chain's, times never go back
                self.jumps += 1
            self.clock = max(now, self.clock)
            body = orjson.dumps({"n": self.number + 1, "time": round(self.clock, 3), **record})
            self._room(len(body) + 66)
            digest = chained(self.hash, body)
            self._write(b"%b %b\n" % (digest.encode(), body))
            self.hash, self.number = digest, self.number + 1
            if self.settings.fsync != "always":
                return WRITTEN
            done: Future[None] = Future()
            self._waiting.append(done)
            self._wake.notify()
        return done

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(self._sizes.values())

    def close(self) -> None:
        """Write everything to disk and let go of the folder."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            self._wake.notify()
        self._syncer.join()
        os.fsync(self._file)
        os.close(self._file)
        self._guard.close()

    def _write(self, data: bytes) -> None:
        start, sent = self._sizes[self._path], 0
        try:
            while sent < len(data):
                sent += os.write(self._file, data[sent:])
        except OSError as error:
            with suppress(OSError):  # no half line may stay in the way of the next record
                os.ftruncate(self._file, start)
            raise ArtifactError(f"{self._path}: the query log cannot be written ({error.strerror})") from None
        self._sizes[self._path] += len(data)

    def _room(self, size: int) -> None:
        if self._sizes[self._path] + size > self.settings.segment and self._sizes[self._path] > 512:
            self._open(self._path.with_name(segment_name(int(self._path.stem) + 1)))
        while self.size + size > self.settings.largest:
            oldest = next(iter(self._sizes))
            if self.settings.when_full == "refuse" or oldest == self._path:
                raise ArtifactError(
                    f"{self.settings.folder}: the query log holds {self.size} bytes and may hold "
                    f"{self.settings.largest}; move old segments away or raise largest"
                )
            oldest.unlink(missing_ok=True)
            del self._sizes[oldest]

    def _open(self, path: Path) -> None:
        fresh = -1
        try:
            fresh = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            if self._file >= 0:
                os.fsync(self._file)
                os.close(self._file)
        except OSError as error:
            raise ArtifactError(f"{path}: the query log cannot be written ({error.strerror})") from None
        self._file, self._path = fresh, path
        self._sizes.setdefault(path, 0)
        if not self._sizes[path]:
            self._write(json.dumps({"format": FORMAT, "after": self.hash, "records": self.number}).encode() + b"\n")

    def _resume(self, path: Path) -> None:
        good, self.hash, self.number, self.clock = checked(path)
        size = path.stat().st_size
        self.torn = size - good
        if self.torn:
            os.truncate(path, good)
            self._sizes[path] = good
        if not good:  # killed before the segment's first line was whole
            earlier = [p for p in self._sizes if p != path]
            if earlier:
                _, self.hash, self.number, self.clock = checked(earlier[-1])
        self._open(path)

    def _sync(self) -> None:
        while True:
            with self.lock:
                if self.settings.fsync == "always":
                    while not self._waiting and not self._closed:
                        self._wake.wait()
                else:
                    self._wake.wait(1.0)
                waiting, self._waiting = self._waiting, []
                closed, file = self._closed, self._file
                copy = os.dup(file)
            try:
                if self.settings.fsync != "never":
                    os.fsync(copy)
                failure = None
            except OSError as error:
                failure = ArtifactError(f"{self.settings.folder}: the query log cannot be written ({error.strerror})")
            finally:
                os.close(copy)
            for one in waiting:
                one.set_result(None) if failure is None else one.set_exception(failure)
            if closed:
                return


def _locked(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        guard = (folder / "lock").open("a")
    except OSError as error:
        raise ArtifactError(
            f"{folder}: the query log cannot be written ({error.strerror}); mount its disk or choose another folder"
        ) from None
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        guard.close()
        raise SettingError(
            f"{folder}: another gateway has this query log open; give each gateway its own folder"
        ) from None
    return guard


def _packed(rows: Array | Floats) -> str:
    return base64.b64encode(np.ascontiguousarray(rows, dtype="<f4").tobytes()).decode()
