"""A plan of marked answers on digits: students found under their own key, innocents under everybody's."""

from pathlib import Path
from typing import Any

import pytest

from birthmark.answers import softmax
from birthmark.bench import tables
from birthmark.bench.run import Choice, run
from birthmark.claim import Claim
from birthmark.errors import BirthmarkError
from birthmark.oracle import HardLabels
from birthmark.verify import Terms, verify
from birthmark.watermarks.dynamarks import DynaMarks
from birthmark.workshop.whitebox import Open
from birthmark.zoo.executors import Serial
from birthmark.zoo.marked import client_key, fits, seen
from birthmark.zoo.plan import parse
from birthmark.zoo.store import Store
from birthmark.zoo.summary import build_plan

LEARN = {"of": "source", "attack": "distill", "settings": {"student": "mlp"}, "split": "attacker"}
SAID: dict[str, Any] = {
    "title": "marks",
    "data": "digits",
    "sources": [0],
    "cohort": {"references": 4},
    "source": {"recipe": "mlp", "split": "owner", "training": {"epochs": 60}},
    "students": {"mlp": {"epochs": 60}},
    "methods": {"dynamarks": {"placebos": 99}, "dynamarks-ties": {"placebos": 99}},
    "rule": [
        {**LEARN, "name": "marked: {i}", "count": 2, "watermark": {"name": "dynamarks", "strength": "strong"}},
        {**LEARN, "name": "default", "watermark": {"name": "dynamarks"}, "through": ["topk:k=1"]},
        {"name": "tuned", "of": "marked: 0", "attack": "ftal", "settings": {"epochs": 2}, "split": "attacker"},
        {**LEARN, "name": "unmarked"},
        {"name": "honest", "split": "innocent", "tier": "honest", "training": {"epochs": 60}},
    ],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, plan = tmp_path_factory.mktemp("marks"), parse("marks", SAID)
    build_plan(plan, folder / "zoo", Serial())
    choice = Choice(alpha=0.05, budgets=(100, 1000))
    with pytest.raises(BirthmarkError, match=r"2 jobs failed, .* dynamarks-ties on marked: 0 .* 20 near-ties"):
        run(plan, folder / "zoo", folder / "records", Serial(), choice)  # 377 digits have too few near-ties
    return folder


def test_a_client_is_held_against_its_own_claim_and_innocents_against_all(place: Path) -> None:
    record = next(r for r in tables.load(place / "records") if r["method"] == "dynamarks")
    held = sorted((s["name"], s["client"], s["role"], s["tier"]) for s in record["suspects"])
    clients = ("default", "marked: 0", "marked: 1")
    assert held == sorted(
        [
            *((name, name, "positive", "") for name in clients),
            ("tuned", "marked: 0", "positive", ""),
            *(("unmarked", name, "negative", "thief of the unmarked source") for name in clients),
            *(("honest", name, "negative", "honest") for name in clients),
        ]
    )
    z = {(s["name"], s["client"]): s["by_queries"]["323"]["z"] for s in record["suspects"]}
    assert min(z["marked: 0", "marked: 0"], z["marked: 1", "marked: 1"], z["tuned", "marked: 0"]) > 3
    assert max(z["honest", client] for client in clients) < 3
    assert len(record["claim"]) == 3
    assert {r["method"] for r in tables.load(place / "records")} == {"dynamarks"}  # no twins were trained for baselines


def test_the_bench_and_verify_say_the_same_of_a_client(place: Path) -> None:
    record = next(r for r in tables.load(place / "records") if r["method"] == "dynamarks")
    cell = next(s for s in record["suspects"] if s["name"] == "tuned")["by_queries"]["323"]
    claims = [Claim.load(path)[0] for path in (place / "zoo" / "claims").iterdir()]
    claim = next(c for c in claims if c.facts.get("client") == "marked: 0")
    entry = next(e for e in parse("marks", SAID).load()[0].of(0) if e.name == "tuned")
    found = verify(claim, Open(Store(place / "zoo").load(entry.card.key)), alpha=0.05, terms=Terms(repeats=0))
    assert (cell["p"], cell["verdict"]) == (pytest.approx(found.p_value), found.verdict.value)
    assert cell["z"] == pytest.approx(found.z, rel=1e-3)


def test_thieves_see_marked_answers_and_then_their_own_evasion(place: Path) -> None:
    (plan, data), store = parse("marks", SAID).load(), Store(place / "zoo")
    cards = {entry.name: entry.card for entry in plan.of(0)}
    card = cards["default"]
    models = [store.load(key) for key in card.parents]
    inputs = data["attacker"].inputs[:50]
    mark = DynaMarks(key=client_key("default", models[0], models[1:], data))
    assert card.parents[1:] == tuple(entry.card.key for entry in plan.of(0) if entry.group == "reference")
    bare = seen(Open(models[0]), {"watermark": card.shown["watermark"]}, models, data, 0)
    plain = Open(models[0])(inputs)
    assert bare(inputs) == pytest.approx(mark.mark(inputs, softmax(plain)))
    top = seen(Open(models[0]), card.shown, models, data, 0)(inputs)
    assert ((top > 0).sum(axis=1) == 1).all()
    assert (HardLabels(bare)(inputs).argmax(1) == top.argmax(1)).all()


def test_a_mark_is_part_of_the_key_and_a_strength_without_ties_makes_no_claim_on_them() -> None:
    cards = {entry.name: entry.card for entry in parse("marks", SAID).of(0)}
    assert len({cards[name].key for name in ("marked: 0", "marked: 1", "default", "unmarked")}) == 4
    assert fits("dynamarks-ties", cards["marked: 0"].shown)
    assert not fits("dynamarks-ties", cards["default"].shown)
    assert not fits("dawn", cards["marked: 0"].shown)
    assert not fits("dynamarks", cards["honest"].shown)


def test_imprinted_sources_are_found_under_their_own_keys_and_unmarked_models_under_none(tmp_path: Path) -> None:
    said = {
        **SAID,
        "cohort": {"references": 4, "architectures": ["mlp"]},
        "methods": {"imprint": {"placebos": 99}, "imprint-labels": {"placebos": 99}},
        "rule": [
            {"name": "key {i}", "count": 2, "watermark": {"name": "imprint", "eps": 0.2}},
            {"name": "tilted", "watermark": {"name": "imprint", "eps": 0.2, "tilt": 2.0}},
            {
                "name": "tuned",
                "of": "source",
                "watermark": {"name": "imprint", "eps": 0.2},
                "training": {"epochs": 20, "batch": 32, "agreement": 0.8, "z": 4.0},
            },
            {"name": "copy", "of": "key 0", "attack": "ftal", "settings": {"epochs": 2}, "split": "attacker"},
            {"name": "honest", "split": "innocent", "tier": "honest", "training": {"epochs": 60}},
            {"name": "even", "split": "owner", "start": "source", "training": {"epochs": 60, "smoothing": 0.2}},
        ],
    }
    plan = parse("imprint", said)
    build_plan(plan, tmp_path / "zoo", Serial())
    run(plan, tmp_path / "zoo", tmp_path / "records", Serial(), Choice(alpha=0.05, budgets=(100, 1000)))
    rows = {
        (record["method"], record["access"], s["name"], s["client"]): list(s["by_queries"].values())[-1]
        for record in tables.load(tmp_path / "records")
        for s in record["suspects"]
    }
    for name, client in (("key 0", "key 0"), ("key 1", "key 1"), ("copy", "key 0"), ("tuned", "tuned")):
        assert rows["imprint", "probs", name, client]["verdict"] == "supported", name
    assert rows["imprint-labels", "labels", "tilted", "tilted"]["verdict"] == "supported"
    innocents = [row for (_, _, name, _), row in rows.items() if name in ("honest", "even")]
    assert len(innocents) == 2 * 4 * 3
    assert sum(row["p"] <= 0.01 for row in innocents) <= 2
