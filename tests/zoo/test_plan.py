"""Plans: rules become cards, in FingerBench's numbers, with clear words for what is wrong."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from birthmark import data as datasets
from birthmark import registry
from birthmark.errors import BirthmarkError, DataError, SettingError, UnknownName
from birthmark.zoo import catalogue
from birthmark.zoo import plan as plans
from birthmark.zoo.build import build
from birthmark.zoo.executors import Serial
from birthmark.zoo.make import training
from birthmark.zoo.store import Store

PARTS = ("owner", "reserve", "attacker", "innocent", "queries", "test")
SMALL = {
    "data": "digits",
    "sources": [0, 1],
    "source": {"recipe": "mlp", "split": "owner"},
    "rule": [
        {
            "name": "ft of {of}",
            "of": "{of}",
            "attack": "ftal",
            "split": "attacker",
            "each": {"of": ["source", "other"]},
        },
        {"name": "other", "split": "innocent", "tier": "other data"},
    ],
}


@pytest.mark.parametrize("name", catalogue.names())
def test_every_plan_names_only_what_exists(name: str) -> None:
    plan = catalogue.read(name)
    for card in plan.cards():
        training(card)
        if card.attack:
            registry.make("attacks", card.attack, card.settings)
    for method, settings in plan.methods.items():
        registry.make("watermarks" if method in registry.found("watermarks") else "methods", method, settings)
    assert len(plan.sources) == 3


def test_the_layout_of_fingerbench() -> None:
    roles = Counter(entry.role for entry in catalogue.read("fingerbench-fmnist").of(0))
    assert (roles["positive"], roles["negative"], roles["craft"], roles["twin"]) == (63, 93, 18, 19)
    tiers = Counter(entry.tier for entry in catalogue.read("fingerbench-fmnist").of(0) if entry.role == "negative")
    assert tiers["same start, other data"] == 20
    assert sum(roles[role] for role in ("positive", "negative", "craft")) - 20 == 154
    groups = Counter((entry.role, entry.group) for entry in catalogue.read("fingerbench-fmnist").of(0))
    assert groups["positive", "knockoff"] == groups["negative", "knockoff"] == groups["positive", "distillation"] == 15


def test_the_hard_plan_has_a_hundred_innocents_in_tiers() -> None:
    tiers = Counter(entry.tier for entry in catalogue.read("fingerbench-hard").of(0) if entry.role == "negative")
    assert sum(tiers.values()) >= 100
    assert tiers["same data, same architecture"] >= 20


def test_descent_decides_what_is_a_positive_and_what_is_shared() -> None:
    plan = plans.parse("small", SMALL)
    found = {(entry.name, entry.source): entry.role for entry in plan.entries}
    assert found == {
        ("source", 0): "source",
        ("ft of source", 0): "positive",
        ("source", 1): "source",
        ("ft of source", 1): "positive",
        ("ft of other", None): "negative",
        ("other", None): "negative",
    }
    assert len(plan.cards()) == 6
    assert len(plan.cards([1])) == 4
    assert [entry.card.key for entry in plans.parse("small", {**SMALL, "rule": SMALL["rule"][1:]}).of(0)][
        -1
    ] == plan.of(0)[-1].card.key


def test_strangers_with_the_sources_start_belong_to_that_source_and_are_innocent() -> None:
    rules = [
        {"name": "stranger", "split": "innocent", "start": "source", "tier": "same start, other data"},
        {"name": "tuned stranger", "of": "stranger", "attack": "ftal", "split": "attacker"},
    ]
    plan = plans.parse("small", {**SMALL, "rule": rules})
    strangers = [entry for entry in plan.entries if "stranger" in entry.name]
    assert [(e.name, e.source, e.role, e.card.start) for e in strangers if e.name == "stranger"] == [
        ("stranger", 0, "negative", 0),
        ("stranger", 1, "negative", 1),
    ]
    assert {entry.role for entry in strangers} == {"negative"}
    assert all(entry.tier for entry in strangers)
    assert len({entry.card.course for entry in strangers if entry.name == "stranger"}) == 2
    with pytest.raises(SettingError, match="starts at 7"):
        plans.parse("small", {**SMALL, "rule": [{"name": "a", "split": "owner", "start": 7}]})


@pytest.mark.parametrize("name", [*catalogue.names(), "fingerbench-tasks/friedman1"])
def test_every_plan_has_strangers_with_the_sources_start(name: str) -> None:
    plan = catalogue.read(name)
    for source in plan.sources:
        entries = plan.of(source)
        first = next(entry.card for entry in entries if entry.role == "source")
        same = [entry.card for entry in entries if entry.tier == "same start, other data"]
        assert len({card.key for card in same}) >= 20
        assert {(card.start, card.recipe, card.split == first.split) for card in same} == {
            (first.start, first.recipe, False)
        }


def test_other_content_of_the_data_makes_other_keys(tmp_path: Path) -> None:
    place = tmp_path / "mine.npz"
    digits = datasets.load("digits")
    inputs, targets = (
        np.concatenate([digits[p].inputs for p in PARTS]),
        np.concatenate([digits[p].targets for p in PARTS]),
    )
    np.savez(place, inputs=inputs, targets=targets)
    plan = plans.parse("small", {**SMALL, "data": str(place)})
    before = {card.key for card in plan.load()[0].cards()}
    assert {card.key for card in plan.load()[0].cards()} == before
    targets[:40] = (targets[:40] + 1) % 10
    np.savez(place, inputs=inputs, targets=targets)
    assert not before & {card.key for card in plan.load()[0].cards()}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"rule": [{"name": "a", "of": "b", "attack": "ftal"}, {"name": "b", "of": "a", "attack": "ftal"}]},
            SettingError,
            "each other's parents: a -> b -> a",
        ),
        ({"rule": [{"name": "a", "of": "sauce", "attack": "ftal"}]}, UnknownName, "did you mean source"),
        ({"rule": [{"name": "a", "off": "source"}]}, SettingError, "no key off"),
        ({"rule": [{"name": "a"}]}, SettingError, "no split"),
        (
            {"rule": [{"name": "a", "split": "owner"}, {"name": "a", "split": "owner"}]},
            SettingError,
            "a name of its own, got 'a' twice",
        ),
        ({"rule": [{"name": "a {x}", "split": "owner", "each": {"x": "tens"}}]}, UnknownName, "list of the plan"),
        ({"rule": [{"name": "a {x}", "split": "owner"}]}, SettingError, "'x'"),
        ({"rule": [{"name": "a", "of": "source"}]}, SettingError, "neither attack nor evasion"),
        ({"sources": []}, SettingError, "at least one source"),
        ({"source": {"recipe": "mlp"}}, SettingError, "'split' is not there"),
        ({"colour": 1}, SettingError, "no key colour"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], error: type[BirthmarkError], words: str) -> None:
    with pytest.raises(error, match=words):
        plans.parse("small", {**SMALL, **change})


def test_unknown_plans_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="fingerbench-digits"):
        catalogue.read("fingerbench-digit")
    with pytest.raises(SettingError, match="no such file"):
        catalogue.read(str(tmp_path / "x.toml"))
    (tmp_path / "x.toml").write_text("data = ")
    with pytest.raises(SettingError, match="not a TOML file"):
        catalogue.read(str(tmp_path / "x.toml"))
    with pytest.raises(SettingError, match="has the sources 0, 1, got 7"):
        plans.parse("small", SMALL).of(7)


def test_plans_share_models(tmp_path: Path) -> None:
    store, data = Store(tmp_path), datasets.load("digits")
    one, two = plans.parse("one", SMALL).bound(data), plans.parse("two", {**SMALL, "sources": [0]}).bound(data)
    build(one.cards([0]), store, data=data, executor=Serial())
    build(two.cards(), store, data=data, executor=Serial())
    assert [event["event"] for event in store.events()].count("built") == 4


def cifar(folder: Path, n: int) -> Path:
    random = np.random.default_rng(0)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (folder / name).write_bytes(
            np.concatenate([np.arange(n)[:, None] % 10, random.integers(0, 256, (n, 3072))], axis=1)
            .astype(np.uint8)
            .tobytes()
        )
    return folder


def test_the_cifar_plan_starts_on_a_tiny_file(tmp_path: Path) -> None:
    plan, data = catalogue.read("fingerbench-cifar10").load(cifar(tmp_path, 60))
    plans.check_splits(plan, data)
    assert data["foreign"].shape == (3, 32, 32)
    first = [replace(card, training={**card.training, "epochs": 3}) for card in plan.cards()[:2]]
    build(first, Store(tmp_path / "zoo"), data=data, executor=Serial())
    assert {path.stem for path in (tmp_path / "zoo" / "models").iterdir()} == {card.key for card in first}


def test_a_split_without_samples_is_named(tmp_path: Path) -> None:
    plan = plans.parse("small", {**SMALL, "source": {"recipe": "mlp", "split": "owner[5000:]"}})
    with pytest.raises(DataError, match=r"owner\[5000:\] of digits holds no samples"):
        plans.check_splits(plan, datasets.load("digits"))


def test_the_foreign_pool_is_of_the_same_shape_and_the_same_each_time() -> None:
    from birthmark.data.foreign import crops, strokes, with_foreign

    digits = datasets.load("digits")
    pools = [with_foreign(digits, seed=0, size=20)["foreign"] for _ in range(2)]
    assert pools[0].inputs.tobytes() == pools[1].inputs.tobytes()
    assert pools[0].inputs.shape == (20, 1, 8, 8)
    for made in (strokes(np.random.default_rng(0), 5, (1, 12, 10)), crops(np.random.default_rng(0), 5, (3, 32, 32))):
        assert made.min() >= 0
        assert made.max() <= 1
        assert made.std() > 0.1


def test_a_source_under_a_key_is_trained_or_tuned_and_what_descends_from_it_is_its_client() -> None:
    rules = [
        {"name": "key {i}", "count": 2, "watermark": {"name": "imprint", "eps": 0.1}},
        {"name": "tuned", "of": "source", "watermark": {"name": "imprint"}, "training": {"epochs": 1}},
        {"name": "copy", "of": "key 0", "attack": "ftal", "split": "attacker"},
    ]
    said = {
        "data": "digits",
        "sources": [3],
        "cohort": {"references": 4, "architectures": ["lenet"]},
        "source": {"recipe": "cnn", "split": "owner", "training": {"epochs": 2}},
        "rule": rules,
    }
    entries = {entry.name: entry for entry in plans.parse("keys", said).of(3)}
    source, key, tuned = (entries[name].card for name in ("source", "key 0", "tuned"))
    assert {name: (e.role, e.client) for name, e in entries.items() if "reference" not in name} == {
        "source": ("source", ""),
        "key 0": ("positive", "key 0"),
        "key 1": ("positive", "key 1"),
        "tuned": ("positive", "tuned"),
        "copy": ("positive", "key 0"),
    }
    assert (key.start, key.course, key.training) == (source.start, source.course, source.training)
    assert key.key != entries["key 1"].card.key
    assert (key.shown["imprint"], tuned.shown["imprint"]) == ("targets", "answers")
    assert tuned.training == {"epochs": 1}
    assert key.parents == (source.key, *(entries[f"reference {i}"].card.key for i in range(4)))
    assert {entries[f"reference {i}"].card.recipe for i in range(4)} == {"lenet", "cnn"}  # every fourth is alike
