"""Tables and lines on disk: CSV, JSON lines, Parquet, and a Hugging Face data set's folder.

CSV and JSON lines need nothing; the others need pyarrow (extra `data`). The package `datasets` is not used.
"""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from birthmark.artifact import LARGEST
from birthmark.data.columns import Columns, from_columns
from birthmark.data.stored import Read
from birthmark.errors import BirthmarkError, DataError

if TYPE_CHECKING:
    import pyarrow

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
MARKS = (",", ";", "\t")
TRAIN, HELD = ("train",), ("test", "validation", "val")


def table(path: Path, target: str = "") -> Read:
    """Read a .csv, .tsv, .jsonl, .ndjson or .parquet file.

    Raises:
        DataError: not such a file, or its columns are not understood.
    """
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path}: larger than {LARGEST >> 30} GB; give a sample, or .npy files, which are mapped")
    read = READERS[path.suffix.lower()]
    return from_columns(read(path), str(path), target)


def _csv(path: Path) -> Columns:
    head, *rows = _cells(path) or [[]]
    if len(set(head)) < len(head) or not rows or all(map(_float, head)):
        raise DataError(f"{path}: expected a first line of different names and rows below it, got {head[:5]}")
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise DataError(f"{path}: expected {len(head)} cells in every line, got {len(row)} in line {number}")
    return {name: _typed([row[i] for row in rows]) for i, name in enumerate(head)}


def _cells(path: Path) -> list[list[str]]:
    """The lines that are not empty; cells are parted by what the first line has most of."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            mark = max(MARKS, key=file.readline().count)
            file.seek(0)
            return [line for line in csv.reader(file, delimiter=mark, strict=True) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a table in UTF-8 ({error}); save it as CSV with a line of names first") from None


def _typed(cells: Sequence[str]) -> Sequence[object]:
    """A column's cells as numbers, if all that are not missing can be, else as words; None where one is missing."""
    kinds = {cell: _float(cell) for cell in cells if not _missing(cell)}
    if not kinds or None in kinds.values():
        return [None if _missing(cell) else cell for cell in cells]
    numbers = _numbers(cast("Mapping[str, float]", kinds))
    return [numbers.get(cell) for cell in cells]


def _numbers(kinds: Mapping[str, float]) -> Mapping[str, float]:
    """Each cell's number, whole if all are."""
    whole = all("." not in cell and value.is_integer() for cell, value in kinds.items())
    return {cell: int(value) for cell, value in kinds.items()} if whole else kinds


def _missing(cell: str) -> bool:
    return cell.strip().casefold() in MISSING


def _float(cell: str) -> float | None:
    """A cell's number; None for words, and for digits with zeros before them, which are codes."""
    text = cell.strip()
    if text[:1] == "0" and text[1:2].isdigit():
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _lines(path: Path) -> Columns:
    rows, number = list[Mapping[str, object]](), 0
    with path.open(encoding="utf-8-sig") as file:
        try:
            for line in file:
                number += 1
                if line.strip():
                    value = json.loads(line)
                    rows.append(value if isinstance(value, dict) else {"text": value})
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {number} is no JSON ({str(error)[:80]}); give one object a line") from None
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(path: Path) -> Columns:
    import pyarrow  # by `arrow`, which says what to install

    try:
        return _plain(_shard(path))
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise DataError(f"{path}: no whole Parquet file ({str(error).splitlines()[0][:100]})") from None


def _plain(found: "pyarrow.Table") -> Columns:
    return {str(name): found.column(name).to_pylist() for name in found.column_names}


READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".parquet": _parquet,
}


def is_hub(path: Path) -> bool:
    """Whether a folder is a Hugging Face data set: what `save_to_disk` wrote, or Parquet files."""
    return any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json", "state.json")) or any(
        path.glob("**/*.parquet")
    )


def hub(path: Path, target: str = "") -> Read:
    """Read a Hugging Face data set's folder: its train split, and its test (or validation) split as held out.

    Raises:
        DataError: no rows there, or columns that are not understood.
        BirthmarkError: pyarrow is not installed.
    """
    arrow()
    train = next((found for name in TRAIN if (found := _split(path, name))), None) or _files(path)
    read = _shards(train, path, target)
    held = next((found for name in HELD if (found := _split(path, name))), None)
    if not held or held == train:
        return read
    other = _shards(held, path, target)
    return read._replace(held=other.train, notes=(*read.notes, f"{held[0].parent.name or held[0].name} is held out"))


def arrow() -> None:
    """Raise BirthmarkError unless pyarrow is installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise BirthmarkError("Parquet and Hugging Face data sets need pyarrow: pip install 'birthmark[data]'") from None


def _split(path: Path, name: str) -> list[Path]:
    return _files(path / name) or sorted(path.glob(f"**/{name}*.parquet"))


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.arrow")) or sorted(path.glob("**/*.parquet"))


def _shards(files: Sequence[Path], path: Path, target: str) -> Read:
    import pyarrow

    if not files:
        raise DataError(f"{path}: expected data-*.arrow or *.parquet files in it, found none")
    try:
        columns = _plain(pyarrow.concat_tables([_shard(file) for file in files]))
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise DataError(f"{path}: its files cannot be read together ({str(error).splitlines()[0][:100]})") from None
    named = {name: words for name in columns if (words := _class_names(files[0].parent, name))}
    return from_columns(columns, str(path), target, named.get(target) or next(iter(named.values()), ()))


def _shard(file: Path) -> "pyarrow.Table":
    import pyarrow
    from pyarrow import ipc, parquet

    return (
        ipc.open_stream(pyarrow.memory_map(str(file))).read_all()
        if file.suffix == ".arrow"
        else parquet.read_table(file)
    )


def _class_names(folder: Path, column: str) -> tuple[str, ...]:
    """The names that dataset_info.json gives the classes of a column; empty if it gives none."""
    try:
        said = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        names = said["features"][column]["names"]
        return tuple(str(name) for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        return ()
