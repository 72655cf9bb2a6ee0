"""Cards become models: in order, once, with the same bits on any executor, whatever is killed or damaged."""

import os
import signal
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from birthmark import data as datasets
from birthmark.errors import ArtifactError, BirthmarkError, SettingError
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.code import code_digest
from birthmark.workshop.cohort import reference_cards, twin_cards
from birthmark.workshop.modelfile import tensors_digest
from birthmark.workshop.training import Training, accuracy, fit
from birthmark.zoo.build import build, workshop
from birthmark.zoo.crew import Progress
from birthmark.zoo.executors import Pool, Serial
from birthmark.zoo.store import Store

DIGITS = datasets.load("digits")
SOURCE = Card("trained", DIGITS.about(), "owner", "mlp", training={"epochs": 3})


def digests(store: Store) -> dict[str, str]:
    return {path.stem: store.digest(path.stem) for path in sorted((store.folder / "models").glob("*.safetensors"))}


def kinds(store: Store) -> list[str]:
    return [event["event"] for event in store.events()]


def test_pool_and_serial_make_the_same_bits_once(tmp_path: Path) -> None:
    cards = [SOURCE, *twin_cards(SOURCE, 3), *reference_cards(SOURCE, 2)]
    serial, pooled, seen = Store(tmp_path / "a"), Store(tmp_path / "b"), list[Progress]()
    build(cards, serial, data=DIGITS, executor=Serial())
    with closing(Pool(2)) as pool:
        build(cards, pooled, data=DIGITS, executor=pool, progress=seen.append)
        first = [worker.process.pid for worker in pool.workers]
        build(cards, pooled, data=DIGITS, executor=pool)
        assert [worker.process.pid for worker in pool.workers] == first
    assert digests(serial) == digests(pooled)
    assert len(digests(pooled)) == 6
    assert kinds(pooled).count("built") == 6
    assert seen[-1].done == 6
    assert seen[-1].left == 0
    assert accuracy(pooled.load(SOURCE.key), DIGITS["test"]) > 0.5
    same = [path.read_bytes() == pooled.path(path.stem).read_bytes() for path in (serial.folder / "models").iterdir()]
    assert all(same)


def test_a_damaged_model_is_rebuilt_and_said(tmp_path: Path) -> None:
    store = Store(tmp_path)
    build([SOURCE], store, data=DIGITS, executor=Serial())
    before, blob = store.digest(SOURCE.key), bytearray(store.path(SOURCE.key).read_bytes())
    blob[-5] ^= 1
    store.path(SOURCE.key).write_bytes(blob)
    with pytest.raises(ArtifactError, match="edited or damaged"):
        store.load(SOURCE.key)
    build([SOURCE], store, data=DIGITS, executor=Serial())
    assert store.digest(SOURCE.key) == before
    assert kinds(store) == ["started", "built", "damaged", "started", "built"]


def test_a_truncated_model_is_rebuilt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    build([SOURCE], store, data=DIGITS, executor=Serial())
    os.truncate(store.path(SOURCE.key), 1000)
    build([SOURCE], store, data=DIGITS, executor=Serial())
    assert store.sound(SOURCE.key)


def test_a_killed_worker_loses_only_its_card(tmp_path: Path) -> None:
    store, cards = Store(tmp_path), [replace(SOURCE, start=seed, training={"epochs": 60}) for seed in range(4)]
    with closing(Pool(2)) as pool:

        def kill() -> None:
            while "started" not in kinds(store):
                time.sleep(0.01)
            os.kill(store.events()[0]["process"], signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        build(cards, store, data=DIGITS, executor=pool)
        thread.join()
    built = [event["key"] for event in store.events() if event["event"] == "built"]
    assert sorted(built) == sorted(card.key for card in cards)
    assert kinds(store).count("started") == 5


def test_a_card_that_kills_every_worker_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text("import os\ndef die(seed, start):\n    os._exit(9)\n")
    with pytest.MonkeyPatch.context() as patch, closing(Pool(1, retries=1)) as pool:
        patch.syspath_prepend(str(tmp_path))
        deadly = replace(SOURCE, recipe="deadly:die", code=code_digest("deadly"))
        with pytest.raises(BirthmarkError, match=r"1 of 2 models .* died 2 times \(exit code 9\)"):
            build([deadly, SOURCE], Store(tmp_path / "s"), data=DIGITS, executor=pool)
    assert Store(tmp_path / "s").sound(SOURCE.key)


def test_missing_parents_other_data_and_given_cards_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    orphan = replace(stolen(SOURCE, "ftal", {}, "attacker", 1), parents=("0123456789abcdef",))
    with pytest.raises(SettingError, match="0123456789abcdef, which is neither among the cards nor in"):
        build([orphan], store, data=DIGITS, executor=Serial())
    with pytest.raises(SettingError, match="other data than 'digits'"):
        build([replace(SOURCE, data={"name": "digits"})], store, data=DIGITS, executor=Serial())
    with pytest.raises(SettingError, match="given model"):
        build([replace(SOURCE, kind="given")], store, data=DIGITS, executor=Serial())


def test_one_failing_card_does_not_stop_the_others(tmp_path: Path) -> None:
    store, bad = Store(tmp_path), replace(SOURCE, training={"epochs": 3, "rate": 1e30, "bf16": False})
    child = stolen(bad, "ftal", {}, "attacker", 1)
    with pytest.raises(BirthmarkError, match=r"2 of 3 models .*diverged"):
        build([bad, child, SOURCE], store, data=DIGITS, executor=Serial())
    assert SOURCE.key in store
    assert kinds(store).count("failed") == 1


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    if os.geteuid() == 0 and not Path("/dev/full").exists():
        pytest.skip("no full device here")
    store = Store(tmp_path)
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(BirthmarkError, match="No space left on device; free some space"):
        build([SOURCE], store, data=DIGITS, executor=Serial())


class Home(nn.Module):
    """A network of the user's own, that birthmark has no name for."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def home(seed: int, start: int) -> nn.Module:
    torch.manual_seed(start)
    return fit(Home(), DIGITS["owner"], Training(epochs=2), seed=seed)


def test_a_workshop_for_a_network_without_a_name(tmp_path: Path) -> None:
    store, card = Store(tmp_path), replace(SOURCE, recipe=f"{__name__}:home", code=code_digest(__name__))
    source = home(0, 0)
    make = workshop(source, card, store, DIGITS, Serial())
    twins, again = make(twin_cards(card, 2)), make(twin_cards(card, 2))
    assert [tensors_digest(t.state_dict()) for t in twins] == [tensors_digest(t.state_dict()) for t in again]
    assert kinds(store).count("built") == 2
    assert type(twins[0]) is Home
    with pytest.raises(SettingError, match="holds another model under the card"):
        workshop(home(1, 0), card, store, DIGITS, Serial())(twin_cards(card, 2))
