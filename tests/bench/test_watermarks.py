"""The plan of marked answers on digits: students, an innocent, the table, and its command."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from birthmark.artifact import canonical, write_atomically
from birthmark.bench.students import ARCHITECTURES, CLIENTS, Cell, Workshop, cells, workshop
from birthmark.bench.watermarks import false_accusations, record, rows
from birthmark.cli.commands import app
from birthmark.errors import ArtifactError

KEYS = {
    "strength",
    "attack",
    "access",
    "queries",
    "n_students",
    "share_p001",
    "z_median",
    "top1_agreement",
    "accuracy_change",
    "l1",
    "n_unmarked",
    "share_false_05",
    "share_false_01",
}
CELLS = [
    Cell("default", "digits", "none", "probabilities", "mlp", 0),
    Cell("strong", "digits", "finetune-10", "probabilities", "mlp", 0),
    Cell("strong", "digits", "prune-50", "probabilities", "mlp", 0),
    Cell("none", "digits", "unmarked", "labels", "mlp", 0),
    Cell("dawn", "digits", "none", "labels", "mlp", 0),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return workshop(tmp_path_factory.mktemp("cache"), "digits")


@pytest.fixture(scope="module")
def folder(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("records")
    for cell in CELLS[:4]:
        write_atomically(place / f"{cell.name}.json", canonical(record(shop, cell)))
    return place


def test_a_cached_network_is_the_one_that_would_be_made(shop: Workshop, folder: Path) -> None:
    cell = CELLS[0]
    before = record(shop, cell)
    (shop.cache / f"{cell.name}.safetensors").unlink()
    assert record(shop, cell) == before


def test_the_command_prints_a_row_per_student_group(folder: Path) -> None:
    said = CliRunner().invoke(app, ["bench", "table", str(folder), "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.output)
    assert all(set(row) >= KEYS for row in found)
    plain = next(row for row in found if row["strength"] == "default")
    assert (plain["n_students"], plain["n_unmarked"], plain["top1_agreement"], plain["accuracy_change"]) == (1, 1, 1, 0)
    assert plain["z_median"] > 1
    assert plain["l1"] <= 0.1
    assert 0 <= plain["share_false_01"] <= plain["share_false_05"] <= 1
    assert {row["test"] for row in found if row["attack"] == "finetune-10"} >= {"soft", "soft, all held-out"}
    text = CliRunner().invoke(app, ["bench", "table", str(folder)])
    assert "unmarked models" in text.output


def test_dawn_needs_enough_lies(shop: Workshop) -> None:
    with pytest.raises(Exception, match="at least 10 marked answers"):
        record(shop, CELLS[4])  # 1 % of 377 queries


def test_false_accusations_by_hand() -> None:
    even = np.linspace(0.0025, 0.9975, CLIENTS).tolist()
    unlucky = [0.01, *even[1:]]
    calm = [0.0] * CLIENTS
    found = false_accusations([{"p": even, "z": calm}, {"p": unlucky, "z": [2.4, *calm[1:]]}])
    assert found["n_unmarked"] == 2
    assert found["share_false_05"] == pytest.approx(0.05)
    assert found["share_false_01"] == pytest.approx(0.01)
    assert (found["worst_key_p01"], found["keys_p01"]) == (1, 2)
    assert (found["worst_key_01"], found["keys_01"], found["accused_01"]) == (
        0,
        0,
        0,
    )  # z is below the margin of one key
    assert found["ks_rejected"] == 0
    crooked = false_accusations([{"p": [0.001] * CLIENTS, "z": [3.2] * CLIENTS}])
    assert crooked["ks_rejected"] == 1
    assert crooked["share_false_01"] == 1
    assert crooked["accused_01"] == 1


def test_damaged_and_missing_records_are_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no records of marks"):
        rows(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        rows(tmp_path)


def test_the_plan_names_every_cell_once_and_cheap_ones_first() -> None:
    planned = cells()
    assert len({cell.name for cell in planned}) == len(planned)
    order = [ARCHITECTURES.index(cell.student) for cell in planned]
    assert order == sorted(order)
    assert sum(cell.attack == "unmarked" and cell.source == "over-confident" for cell in planned) >= 60
