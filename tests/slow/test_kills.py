"""Twenty kills at random moments: the same final bits, and no model made twice except those in flight."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from birthmark.claim import Claim
from birthmark.workshop.owner import Owner
from birthmark.zoo.catalogue import read
from birthmark.zoo.store import Store
from cli.conftest import write_model

KILLS = 20
PLAN = """
title = "sixty models of a second or less"
data = "digits"
sources = [0]
[cohort]
twins = 19
references = 4
surrogates = 1
crafting = 2
[source]
recipe = "mlp"
split = "owner"
training = {epochs = 12, batch = 32}
suspect = true
[students]
mlp = {epochs = 8, batch = 32}
[methods]
random-queries = {queries = 40}
kinship = {queries = 40, references = 4}
ipguard = {queries = 20}
[[rule]]
name = "other {i}"
split = "innocent"
count = 12
tier = "other data"
[[rule]]
name = "{attack} of {victim}"
of = "{victim}"
attack = "{attack}"
split = "attacker"
each = {attack = ["prune", "ftal", "rtal"], victim = ["source", "other 0", "other 1"]}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("plan") / "p.toml"
    place.write_text(PLAN)
    return place


@pytest.fixture(scope="module")
def calm(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of a build that nobody disturbed."""
    store = Store(tmp_path_factory.mktemp("zoo") / "calm")
    assert start(plan, store.folder).wait() == 0
    return store


def typed(*words: object) -> "subprocess.Popen[bytes]":
    command = f"from birthmark.cli.commands import app; app({[str(word) for word in words]!r})"
    return subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start(plan: Path, folder: Path) -> "subprocess.Popen[bytes]":
    return typed("zoo", "build", plan, "--store", folder, "--workers", 2)


def workers(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_of_workers_and_of_the_main_process(plan: Path, calm: Store, tmp_path: Path) -> None:
    stormy = Store(tmp_path / "stormy")
    dice, kills = random.Random(0), {"main": 0, "worker": 0}
    process = start(plan, stormy.folder)
    while sum(kills.values()) < KILLS:
        before = len(stormy.events())
        while len(stormy.events()) < before + dice.randint(1, 4) and process.poll() is None:
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
            process = start(plan, stormy.folder)
    assert process.wait() == 0
    assert sum(kills.values()) == KILLS
    assert min(kills.values()) >= 3
    cards = read(str(plan)).load()[0].cards([0])
    assert {card.key: stormy.digest(card.key) for card in cards} == {card.key: calm.digest(card.key) for card in cards}
    assert all(stormy.path(card.key).read_bytes() == calm.path(card.key).read_bytes() for card in cards)
    events = stormy.events()
    built = [event["key"] for event in events if event["event"] == "built"]
    started = [event["key"] for event in events if event["event"] == "started"]
    assert len(built) == len(set(built))
    assert len(started) <= len(cards) + 2 * KILLS  # a kill of the main process loses at most two in flight


METHODS = ("kinship", "random-queries", "ipguard")
TIMES = {"enrol_seconds", "score_seconds"}


def benched(plan: Path, store: Path, out: Path) -> "subprocess.Popen[bytes]":
    return typed("bench", "run", plan, "--store", store, "--out", out, "--workers", 2)


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
def test_a_bench_that_is_killed_again_and_again_ends_with_the_same_records(
    plan: Path, calm: Store, tmp_path: Path
) -> None:
    shutil.copytree(calm.folder, tmp_path / "stormy")
    assert benched(plan, calm.folder, tmp_path / "calm").wait() == 0
    dice, kills, out = random.Random(1), 0, tmp_path / "records"
    process = benched(plan, tmp_path / "stormy", out)
    while kills < KILLS and process.poll() is None:
        before = pieces(tmp_path / "stormy", out)
        while pieces(tmp_path / "stormy", out) < before + dice.randint(1, 8) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(dice.random() * 0.3)
        if process.poll() is None:
            process.kill()
            process.wait()
            kills += 1
            process = benched(plan, tmp_path / "stormy", out)
    assert process.wait() == 0
    assert kills >= 5
    undisturbed = untimed(tmp_path / "calm")
    assert len(undisturbed) >= 2 * len(METHODS)
    assert untimed(out) == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_enrolment_that_is_killed_again_and_again_ends_with_the_same_digest(owner: Owner, tmp_path: Path) -> None:
    source = write_model(tmp_path / "s.safetensors", owner.source)
    terms = ("enroll", "--source", source, "--workers", 2, "--references", 4, "--surrogates", 1, "--set", "queries=60")

    def enrolled(name: str) -> "subprocess.Popen[bytes]":
        return typed(*terms, "--cache", tmp_path / f"zoo-{name}", "--out", tmp_path / name)

    assert enrolled("calm").wait() == 0
    dice, kills = random.Random(2), 0
    for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT) * 5:
        process = enrolled("stormy")
        with suppress(subprocess.TimeoutExpired):
            process.wait(2 + 6 * dice.random())
            break
        process.send_signal(end)
        assert process.wait(30) not in (0, 10)
        kills += 1
    assert enrolled("stormy").wait() == 0
    assert kills >= 3
    assert Claim.load(tmp_path / "stormy")[1] == Claim.load(tmp_path / "calm")[1]
