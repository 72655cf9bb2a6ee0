"""Twenty kills at random moments: the same final bits, and no model made twice except those in flight."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from birthmark.zoo.catalogue import read
from birthmark.zoo.store import Store

KILLS = 20
PLAN = "fingerbench-digits"


def start(folder: Path) -> "subprocess.Popen[bytes]":
    command = (
        f"from birthmark.cli.bench import zoo; zoo(['build', '{PLAN}', '--source', '0', '--store', {str(folder)!r}, "
        "'--workers', '2'])"
    )
    return subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL)


def workers(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_of_workers_and_of_the_main_process(tmp_path: Path) -> None:
    calm, stormy = Store(tmp_path / "calm"), Store(tmp_path / "stormy")
    assert start(calm.folder).wait() == 0
    dice, kills = random.Random(0), {"main": 0, "worker": 0}
    process = start(stormy.folder)
    while sum(kills.values()) < KILLS:
        before = len(stormy.events())
        while len(stormy.events()) < before + dice.randint(1, 6) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(dice.random() * 0.3)
        if process.poll() is not None:
            assert process.returncode == 0
            break
        crew = workers(process.pid)
        if crew and dice.random() < 0.6:
            os.kill(dice.choice(crew), signal.SIGKILL)
            kills["worker"] += 1
        else:
            process.kill()
            process.wait()
            kills["main"] += 1
            process = start(stormy.folder)
    assert process.wait() == 0
    assert sum(kills.values()) == KILLS
    assert min(kills.values()) >= 3
    cards = read(PLAN).load()[0].cards([0])
    assert {card.key: stormy.digest(card.key) for card in cards} == {card.key: calm.digest(card.key) for card in cards}
    assert all(stormy.path(card.key).read_bytes() == calm.path(card.key).read_bytes() for card in cards)
    events = stormy.events()
    built = [event["key"] for event in events if event["event"] == "built"]
    started = [event["key"] for event in events if event["event"] == "started"]
    assert len(built) == len(set(built))
    assert len(started) <= len(cards) + 2 * KILLS  # a kill of the main process loses at most two in flight


METHODS = ("kinship", "tafa", "lineage", "ipguard", "sac-m")
TIMES = {"enrol_seconds", "score_seconds"}


def benched(store: Path, out: Path) -> "subprocess.Popen[bytes]":
    chosen = [word for name in METHODS for word in ("--method", name)]
    arguments = ["run", PLAN, "--source", "0", "--store", str(store), "--out", str(out), "--workers", "2", *chosen]
    return subprocess.Popen(
        [sys.executable, "-c", f"from birthmark.cli.bench import bench; bench({arguments!r})"],
        stderr=subprocess.DEVNULL,
    )


def pieces(store: Path, out: Path) -> int:
    return sum(
        1
        for place in (store / "claims", store / "answers", out)
        if place.is_dir()
        for path in place.rglob("*")
        if path.is_file()
    )


def untimed(out: Path) -> dict[str, dict[str, object]]:
    return {
        path.name: {k: v for k, v in json.loads(path.read_bytes()).items() if k not in TIMES}
        for path in sorted(out.glob("*.json"))
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_bench_that_is_killed_again_and_again_ends_with_the_same_records(tmp_path: Path) -> None:
    assert start(tmp_path / "zoo").wait() == 0
    shutil.copytree(tmp_path / "zoo", tmp_path / "stormy")
    assert benched(tmp_path / "zoo", tmp_path / "calm").wait() == 0
    dice, kills, out = random.Random(1), 0, tmp_path / "records"
    process = benched(tmp_path / "stormy", out)
    while kills < KILLS and process.poll() is None:
        before = pieces(tmp_path / "stormy", out)
        while pieces(tmp_path / "stormy", out) < before + dice.randint(1, 12) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(dice.random() * 0.3)
        if process.poll() is None:
            process.kill()
            process.wait()
            kills += 1
            process = benched(tmp_path / "stormy", out)
    assert process.wait() == 0
    assert kills >= 10
    calm = untimed(tmp_path / "calm")
    assert len(calm) >= 2 * len(METHODS)
    assert untimed(out) == calm
