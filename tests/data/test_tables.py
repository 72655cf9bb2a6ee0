"""Tables, lines and Hugging Face data sets on disk."""

import json
from pathlib import Path

import pytest

from birthmark import data
from birthmark.data.tables import hub, is_hub, table
from birthmark.errors import DataError
from birthmark.types import Form

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import ipc, parquet  # noqa: E402

ROWS = [{"text": f"word{i} grün", "label": ["up", "down"][i % 2]} for i in range(60)]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("ending", "mark"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_tables_of_numbers(tmp_path: Path, ending: str, mark: str) -> None:
    lines = [mark.join(["größe", "b", "class"]), *(mark.join([f"{i}", f"{i / 2}", "yes"[i % 2 :]]) for i in range(60))]
    read = table(written(tmp_path / f"t.{ending}", "\ufeff" + "\n".join(lines)))
    assert read.train[:3].inputs.tolist() == [[0, 0], [1, 0.5], [2, 1]]
    assert read.notes[0] == "columns größe, b, in this order"
    assert data.load(str(tmp_path / f"t.{ending}")).classes == 2


def test_cells_that_are_missing_or_codes(tmp_path: Path) -> None:
    read = table(written(tmp_path / "t.csv", "a,zip,class\n1,00123,x\nNA,00124,y\n"))
    assert [json.loads(row) for row in read.train[:].inputs] == [{"a": 1, "zip": "00123"}, {"a": None, "zip": "00124"}]


def test_lines_of_text_and_of_records(tmp_path: Path) -> None:
    read = table(written(tmp_path / "t.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n"))
    assert (read.train.form, read.words) == (Form.TEXT, ("down", "up"))
    assert read.train[:1].inputs.tolist() == ["word0 grün"]
    plain = table(written(tmp_path / "t.ndjson", '"one"\n"two"\n'))
    assert (plain.train.form, plain.train.classes) == (Form.TEXT, -1)
    mixed = table(written(tmp_path / "m.jsonl", '{"a": 1, "label": 0}\n{"b": "x", "label": 1}\n'))
    assert mixed.train[:].inputs.tolist() == ['{"a": 1, "b": null}', '{"a": null, "b": "x"}']


def test_parquet(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "t.parquet")
    assert table(tmp_path / "t.parquet").train.form is Form.TEXT


def saved(folder: Path, rows: list[dict[str, object]], names: list[str]) -> None:
    """As `datasets` writes it with save_to_disk: one shard, and what it says of the columns."""
    folder.mkdir(parents=True)
    found = pyarrow.Table.from_pylist(rows)
    with ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), found.schema) as file:
        file.write_table(found)
    features = {"label": {"names": names, "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
    written(folder / "dataset_info.json", json.dumps({"features": features}))
    written(folder / "state.json", "{}")


def test_hub_folders(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "label": i % 2} for i in range(40)]
    saved(tmp_path / "one", rows, ["neg", "pos"])
    assert hub(tmp_path / "one").words == ("neg", "pos")
    saved(tmp_path / "two" / "train", rows, ["neg", "pos"])
    saved(tmp_path / "two" / "test", rows[:7], ["neg", "pos"])
    written(tmp_path / "two" / "dataset_dict.json", '{"splits": ["train", "test"]}')
    read = hub(tmp_path / "two")
    assert read.held is not None
    assert (len(read.train), len(read.held), read.notes[-1]) == (40, 7, "test is held out")
    (tmp_path / "three" / "data").mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "three" / "data" / "train-00000-of-00001.parquet")
    assert is_hub(tmp_path / "three")
    assert len(hub(tmp_path / "three").train) == 40


REFUSED = {
    "no names": ("t.csv", "1,2\n3,4\n", "expected a first line of different names"),
    "empty": ("t.csv", "", "expected a first line of different names"),
    "names twice": ("t.csv", "a,a\n1,2\n", "expected a first line of different names"),
    "a short line": ("t.csv", "a,b\n1,2\n3\n", "expected 2 cells in every line, got 1 in line 3"),
    "latin-1": ("t.csv", "a,b\n\udcff,2\n", "not a table in UTF-8"),
    "no JSON": ("t.jsonl", '{"a": 1}\n{"a": \n', "line 2 is no JSON"),
    "no parquet": ("t.parquet", "PAR1", "no whole Parquet file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(tmp_path: Path, name: str) -> None:
    file, text, said = REFUSED[name]
    (tmp_path / file).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=said) as caught:
        table(tmp_path / file)
    assert "\n" not in str(caught.value)


def test_a_folder_without_rows(tmp_path: Path) -> None:
    written(tmp_path / "dataset_info.json", "{}")
    with pytest.raises(DataError, match="expected data-"):
        hub(tmp_path)
    assert not is_hub(tmp_path / "nothing")
