"""The query log: nothing acknowledged is lost, nothing can be edited unseen, and it stays in its bounds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birthmark.errors import ArtifactError, SettingError
from birthmark.gateway.log import head, read
from birthmark.gateway.writer import LogSettings, QueryLog, entry


def record(n: int) -> dict[str, Any]:
    x = np.full((1, 2), n, dtype=np.float32)
    return entry("alice", "k", x, True, "", [0], np.array([[0.4, 0.6]]))


def test_records_come_back_in_order_across_restarts_and_segments(tmp_path: Path) -> None:
    for part in range(3):
        log = QueryLog(LogSettings(tmp_path, segment=1 << 12))
        for i in range(20):
            log.append(record(20 * part + i)).result(5)
        log.close()
    assert [r["n"] for r in read(tmp_path)] == list(range(1, 61))
    assert head(tmp_path)[0] == 60
    assert len(list(tmp_path.glob("*.log"))) > 2


@pytest.mark.parametrize("damage", ["edit", "drop", "swap"])
def test_an_edited_log_is_noticed(tmp_path: Path, damage: str) -> None:
    log = QueryLog(LogSettings(tmp_path))
    for i in range(5):
        log.append(record(i))
    log.close()
    path = tmp_path / "00000001.log"
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "edit":
        lines[2] = lines[2].replace(b"alice", b"bobby")
    elif damage == "drop":
        del lines[2]
    else:
        lines[2], lines[3] = lines[3], lines[2]
    path.write_bytes(b"".join(lines))
    with pytest.raises(ArtifactError, match="edited or damaged"):
        list(read(tmp_path))
    with pytest.raises(ArtifactError, match="edited or damaged"):
        QueryLog(LogSettings(tmp_path))


def test_a_torn_last_line_is_dropped_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = QueryLog(LogSettings(tmp_path))
    log.append(record(1))
    log.close()
    with (tmp_path / "00000001.log").open("ab") as file:
        file.write(b"0123 half a rec")
    log = QueryLog(LogSettings(tmp_path))
    assert log.torn == 15
    log.append(record(2))
    log.close()
    assert [r["n"] for r in read(tmp_path)] == [1, 2]


def test_disk_is_bounded(tmp_path: Path) -> None:
    settings = LogSettings(tmp_path / "a", segment=1 << 12, largest=3 << 12)
    log = QueryLog(settings)
    for i in range(200):
        log.append(record(i))
    assert log.size <= settings.largest
    log.close()
    numbers = [r["n"] for r in read(tmp_path / "a")]
    assert numbers == list(range(numbers[0], 201))
    assert numbers[0] > 1
    full = QueryLog(LogSettings(tmp_path / "b", segment=1 << 12, largest=1 << 13, when_full="refuse"))
    with pytest.raises(ArtifactError, match="move old segments"):
        [full.append(record(i)) for i in range(200)]
    full.close()


def test_a_missing_segment_is_noticed(tmp_path: Path) -> None:
    log = QueryLog(LogSettings(tmp_path, segment=1 << 12))
    for i in range(60):
        log.append(record(i))
    log.close()
    (tmp_path / "00000002.log").unlink()
    with pytest.raises(ArtifactError, match="a segment is missing"):
        list(read(tmp_path))


def test_a_clock_that_goes_back_keeps_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = QueryLog(LogSettings(tmp_path))
    log.append(record(1))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    log.append(record(2))
    assert log.jumps == 1
    log.close()
    times = [r["time"] for r in read(tmp_path)]
    assert times == sorted(times)


def test_places_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written"):
        QueryLog(LogSettings(tmp_path / "file" / "log"))
    with pytest.raises(ArtifactError, match="no segments"):
        list(read(tmp_path))
    with pytest.raises(SettingError, match="fsync"):
        LogSettings(tmp_path, fsync="sometimes")


WRITER = """
import sys
from pathlib import Path
from birthmark.gateway.writer import LogSettings, QueryLog
log = QueryLog(LogSettings(Path(sys.argv[1]), segment=1 << 14, fsync=sys.argv[2]))
while True:
    log.append({"client": "a", "key": "k", "marked": True, "inputs": ["0" * 64]}).result(5)
    print(log.number, flush=True)
"""


@pytest.mark.parametrize("fsync", ["always", "interval"])
def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path, fsync: str) -> None:
    acknowledged = 0
    for wait in (0.05, 0.2, 0.4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), fsync], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged = int(process.stdout.readline())
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        for line in process.stdout:
            if line.endswith("\n"):
                acknowledged = int(line)
        process.wait()
        process.stdout.close()
        assert [r["n"] for r in read(tmp_path)][-1] >= acknowledged
    assert acknowledged > 3
