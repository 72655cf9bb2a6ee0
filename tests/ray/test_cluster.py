"""The Ray executor: the bits of the local pool, a killed worker, and requests that no node can meet (run by `make
test-ray`).
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from birthmark import data as datasets
from birthmark.cli.commands import stolen
from birthmark.errors import SettingError
from birthmark.workshop.card import Card
from birthmark.workshop.choices import DataChoice
from birthmark.workshop.cohort import reference_cards, twin_cards
from birthmark.zoo.build import build
from birthmark.zoo.cluster import Ray
from birthmark.zoo.executors import Job, Serial
from birthmark.zoo.store import Store

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
DIGITS = datasets.load("digits")
SOURCE = Card("trained", DIGITS.about(), "owner", "mlp", training={"epochs": 3})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    engine = Ray()
    yield engine
    engine.close()


def digests(store: Store) -> dict[str, str]:
    return {path.stem: store.digest(path.stem) for path in sorted((store.folder / "models").glob("*.safetensors"))}


def test_the_same_bits_as_here(cluster: Ray, tmp_path: Path) -> None:
    cards = [SOURCE, *twin_cards(SOURCE, 3), *reference_cards(SOURCE, 2)]
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    build(cards, here, data=DIGITS, executor=Serial())
    build(cards, there, data=DIGITS, executor=cluster)
    assert digests(here) == digests(there)
    assert [event["event"] for event in there.events()].count("built") == 6


def test_a_theft_is_a_job_like_any_other(cluster: Ray, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    build([SOURCE], store, data=DIGITS, executor=Serial())
    target = {"target": str(store.path(SOURCE.key)), "spec": None, "answers": "", "authorisation": ""}
    target |= {"architecture": "", "shape": [], "classes": 0}
    plan = {"attack": "quantise", "settings": {"bits": 4}, "split": "attacker", "budget": None, "seed": 0}
    for name in ("there", "here"):
        work = {"target": target, "plan": plan, "data": asdict(DataChoice()), "out": str(tmp_path / name)}
        if name == "here":
            stolen(**work)
        else:
            cluster.submit(Job("theft", "birthmark.cli.commands:stolen", work))
            assert not cluster.wait().error
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_a_killed_worker_loses_only_its_card(cluster: Ray, tmp_path: Path) -> None:
    store, cards = Store(tmp_path), [replace(SOURCE, start=seed, training={"epochs": 100}) for seed in range(4)]

    def kill() -> None:
        while not (started := [event for event in store.events() if event["event"] == "started"]):
            time.sleep(0.01)
        os.kill(started[0]["process"], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    build(cards, store, data=DIGITS, executor=cluster)
    thread.join()
    events = [event["event"] for event in store.events()]
    assert (events.count("built"), events.count("started")) == (4, 5)
    calm = Store(tmp_path / "calm")
    build(cards, calm, data=DIGITS, executor=Serial())
    assert digests(store) == digests(calm)


def test_an_infeasible_request_is_an_error_at_once(cluster: Ray, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(SettingError, match="asks for 64 GPU, and the largest node of this Ray cluster has"):
        build([SOURCE], Store(tmp_path), data=DIGITS, executor=cluster, gpus=lambda card: 64.0)
    assert time.monotonic() - begun < 20
