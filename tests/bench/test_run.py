"""A bench from end to end on digits.

Records, tables, comparison, leaderboard, and the same bits when it is run again.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from birthmark.bench import tables
from birthmark.bench.run import Choice, run
from birthmark.cli.bench import bench
from birthmark.errors import ArtifactError, BirthmarkError, SettingError, UnknownName
from birthmark.report.leaderboard import page
from birthmark.zoo.executors import Serial
from birthmark.zoo.plan import Plan, parse
from birthmark.zoo.summary import build_plan, listing

SMALL: dict[str, Any] = {
    "title": "A small one <&>",
    "data": "digits",
    "sources": [0, 1],
    "cohort": {"twins": 5, "references": 4},
    "source": {"recipe": "mlp", "split": "owner", "training": {"epochs": 6}, "suspect": True},
    "methods": {
        "kinship": {"placebos": 5, "references": 4},
        "akh": {"placebos": 5, "references": 4},
        "random-queries": {"placebos": 5, "references": 4},
    },
    "rule": [
        {"name": "ft", "of": "source", "attack": "ftal", "group": "tuned", "split": "attacker"},
        {
            "name": "pruned {x}",
            "of": "source",
            "attack": "prune",
            "group": "pruned",
            "split": "attacker",
            "settings": {"amount": "{x}"},
            "each": {"x": [0.1, 0.3]},
        },
        {"name": "rounded", "of": "ft", "group": "evasion", "evasion": ["round:digits=1"]},
        {"name": "other classes", "of": "source", "attack": "transfer", "group": "transfer", "split": "attacker"},
        {"name": "other {i}", "split": "innocent", "tier": "other data", "training": {"epochs": 6}, "count": 4},
        {"name": "same {i}", "split": "owner", "tier": "same data", "training": {"epochs": 6}, "count": 3},
    ],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    build_plan(parse("small", SMALL), folder / "zoo", Serial())
    run(parse("small", SMALL), folder / "zoo", folder / "records", Serial(), Choice(budgets=(10, 50), alpha=0.2))
    return folder


@pytest.fixture(scope="module")
def records(place: Path) -> list[dict[str, Any]]:
    return tables.load(place / "records")


def test_one_record_per_method_access_and_source(records: list[dict[str, Any]]) -> None:
    assert sorted((r["method"], r["access"], r["source_seed"]) for r in records) == sorted(
        (method, access, source)
        for method in ("akh", "kinship", "random-queries")
        for access in ("labels", "probs")
        for source in (0, 1)
    )
    record = records[0]
    assert {"settings", "seed", "versions", "machine", "claim", "enrol_seconds", "enrol_models", "queries"} <= set(
        record
    )
    assert record["enrol_models"] == 5 + 4
    names = [suspect["name"] for suspect in record["suspects"]]
    assert "other classes" not in names  # these methods cannot score five classes
    assert {"copy", "rounded", "same 2"} <= set(names)


def test_a_copy_is_found_and_agrees_with_verify(place: Path, records: list[dict[str, Any]]) -> None:
    from birthmark.claim import Claim
    from birthmark.verify import Terms, verify
    from birthmark.workshop.whitebox import Open
    from birthmark.zoo.store import Store

    record = next(r for r in records if (r["method"], r["access"], r["source_seed"]) == ("kinship", "probs", 0))
    cell = next(s for s in record["suspects"] if s["name"] == "ft")["by_queries"]["50"]
    claim = next(
        claim
        for claim, digest in (Claim.load(path) for path in (place / "zoo" / "claims").iterdir())
        if digest == record["claim"]
    )
    key = next(s for s in record["suspects"] if s["name"] == "ft")["key"]
    evidence = verify(claim, Open(Store(place / "zoo").load(key)), alpha=0.2, budget=50, terms=Terms(repeats=0))
    assert cell["p"] == pytest.approx(evidence.p_value, rel=1e-5)
    assert cell["verdict"] == evidence.verdict.value
    assert cell["z"] == pytest.approx(evidence.z, rel=1e-3)


def test_rows_have_what_a_table_needs(records: list[dict[str, Any]]) -> None:
    rows = tables.rows(records, rounds=200)
    whole = next(
        r
        for r in rows
        if (r["method"], r["access"], r["queries"], r["group"], r["tier"]) == ("kinship", "probs", 50, "all", "all")
    )
    assert (whole["n_pos"], whole["n_neg"], whole["sources"]) == (2 * 5, 2 * 7, 2)
    assert whole["auc"] > 0.8
    assert whole["auc_low"] <= whole["auc"] <= whole["auc_high"]
    assert 0 <= whole["fpr_low"] <= whole["fpr"] <= whole["fpr_high"] <= 1
    assert len(whole["fpr_by_source"]) == 2
    assert whole["aruc"] is None  # cosines are not on [0, 1]
    baseline = next(
        r
        for r in rows
        if (r["method"], r["access"], r["queries"], r["group"], r["tier"])
        == ("random-queries", "labels", 50, "all", "all")
    )
    assert 0 < baseline["aruc"] < 0.5
    assert {r["tier"] for r in rows} == {"all", "other data", "same data"}
    assert {r["group"] for r in rows} == {"all", "copy", "tuned", "pruned", "evasion"}


def test_running_again_does_nothing_and_gives_the_same_bits(place: Path, records: list[dict[str, Any]]) -> None:
    before = {path.name: json.loads(path.read_bytes()) for path in (place / "records").iterdir()}
    files = run(parse("small", SMALL), place / "zoo", place / "again", Serial(), Choice(budgets=(10, 50), alpha=0.2))
    for path in files:
        ours, theirs = json.loads(path.read_bytes()), before[path.name]
        assert {k: v for k, v in ours.items() if k != "score_seconds"} == {
            k: v for k, v in theirs.items() if k != "score_seconds"
        }


def test_compare_shows_what_moved(records: list[dict[str, Any]]) -> None:
    rows = tables.rows(records, rounds=50)
    assert tables.compare(rows, rows) == []
    other = [
        {**row, "auc": row["auc"] - 0.1} if row["method"] == "akh" else row
        for row in rows
        if row["method"] != "random-queries"
    ]
    moved = tables.compare(rows, other)
    assert {row["change"] for row in moved} == {"changed", "removed"}
    assert {row["method"] for row in moved if row["change"] == "changed"} == {"akh"}
    assert moved[0]["auc"]["after"] == pytest.approx(moved[0]["auc"]["before"] - 0.1)


def test_the_leaderboard_is_one_page_without_requests(records: list[dict[str, Any]]) -> None:
    html = page(records, queries=50)
    assert "A small one &lt;&amp;&gt;" in html
    assert html.count("<polyline") >= 6
    assert not any(word in html for word in ("http://", "https://", "<script", "@import", "url("))
    assert page(records, queries=50) == html


def test_what_is_wrong_is_said(tmp_path: Path, place: Path) -> None:
    plan: Plan = parse("small", SMALL)
    with pytest.raises(
        SettingError, match=r"models of the plan are not in .* the first: 'source'; run birthmark zoo build small"
    ):
        run(plan, tmp_path / "none", tmp_path / "out", Serial())
    with pytest.raises(UnknownName, match="did you mean kinship"):
        run(plan, place / "zoo", tmp_path / "out", Serial(), Choice(methods={"kinshp": {}}))
    with pytest.raises(ArtifactError, match="no benchmark records"):
        tables.load(tmp_path)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        tables.load(tmp_path)


def test_a_suspect_that_fails_costs_nobody_elses_record_whatever_its_name(tmp_path: Path) -> None:
    said = {
        **SMALL,
        "sources": [0],
        "methods": {},
        "rule": [
            {"name": "ft: at 12:30", "of": "source", "attack": "ftal", "split": "attacker"},
            {"name": "ft", "of": "source", "attack": "ftal", "split": "attacker"},
            {"name": "jpeg: of ft", "of": "ft", "evasion": ["round:digits=two"]},
            {"name": "other", "split": "innocent", "training": {"epochs": 6}},
        ],
    }
    plan = parse("small", said)
    build_plan(plan, tmp_path / "zoo", Serial())
    with pytest.raises(BirthmarkError, match=r"1 jobs failed, the first: ask jpeg: of ft 0: round: expected digits"):
        run(plan, tmp_path / "zoo", tmp_path / "records", Serial(), Choice(budgets=(10,)))
    records = tables.load(tmp_path / "records")
    assert {record["method"] for record in records} == {"akh", "random-queries"}
    names = ["copy", "ft: at 12:30", "ft", "other"]
    assert all([suspect["name"] for suspect in record["suspects"]] == names for record in records)
    told = json.loads((tmp_path / "records" / "suspects-0.json").read_bytes())
    assert [suspect["name"] for suspect in told["suspects"]] == names


def test_listing_says_what_is_there(place: Path, tmp_path: Path) -> None:
    assert all(row["there"] for row in listing(parse("small", SMALL), place / "zoo"))
    assert not any(row["there"] for row in listing(parse("small", SMALL), tmp_path))


def test_z_that_is_infinite_is_ranked() -> None:
    cells = [{"z": None, "p": 0.1, "raw": 1.0}, {"z": 2.0, "p": 0.1, "raw": 0.5}, {"z": None, "p": 1.0, "raw": 0.1}]
    assert list(np.argsort(tables.closeness(cells))) == [2, 1, 0]


def test_a_setting_given_on_the_command_line_takes_the_place_of_the_plans(place: Path, tmp_path: Path) -> None:
    plan = tmp_path / "small.toml"
    plan.write_text(
        'title = "s"\ndata = "digits"\nsources = [0]\n[source]\nrecipe = "mlp"\nsplit = "owner"\n[methods]\nkinship = '
        "{}\n"
    )
    command = CliRunner()
    for given, said in (
        ("kinship.placebos", "NAME=VALUE"),
        ("placebos=5", "METHOD.NAME=VALUE"),
        ("tafa.placebos=5", "a method that is run"),
    ):
        found = command.invoke(
            bench, ["run", str(plan), "--store", str(place / "zoo"), "--out", str(tmp_path), "--set", given]
        )
        assert found.exit_code == 2
        assert said in found.output
    found = command.invoke(bench, ["run", str(plan), "--store", str(place / "zoo"), "--set", "kinship.placebos=1"])
    assert "expected placebos in [2, inf), got 1" in found.output
