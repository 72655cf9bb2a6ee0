"""Twenty kills at random moments: the same final bits, and no model made twice except those in flight."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from birthmark.zoo.plan import read
from birthmark.zoo.store import Store

KILLS = 20
PLAN = "fingerbench-digits"


def start(folder: Path) -> "subprocess.Popen[bytes]":
    command = (
        f"from birthmark.cli.bench import zoo; zoo(['build', '{PLAN}', '--source', '0', '--store', {str(folder)!r}, '--workers', '2'])"
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
    cards = read(PLAN).cards([0])
    assert {card.key: stormy.digest(card.key) for card in cards} == {card.key: calm.digest(card.key) for card in cards}
    assert all(stormy.path(card.key).read_bytes() == calm.path(card.key).read_bytes() for card in cards)
    events = stormy.events()
    built = [event["key"] for event in events if event["event"] == "built"]
    started = [event["key"] for event in events if event["event"] == "started"]
    assert len(built) == len(set(built))
    assert len(started) <= len(cards) + 2 * KILLS  # a kill of the main process loses at most two in flight
