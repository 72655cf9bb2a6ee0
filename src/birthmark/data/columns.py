"""Named columns, as tables and records have them, to inputs and targets.

One column is the target: the one that is named, or the only one called target, label, class or y. What is left decides
the form. One column of texts: text. One of lists: rows of numbers, or of whole numbers, which stay whole. One of
pictures: images. Columns of numbers alone: rows of numbers. Anything else (words among numbers, gaps): JSON records.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from birthmark.data.stored import UNKNOWN, Read, Stored, Values
from birthmark.data.targets import numbered, words_said
from birthmark.errors import DataError
from birthmark.inputs import records, texts
from birthmark.types import Form, Labels

TARGETS = ("target", "targets", "label", "labels", "class", "y", "fine_label", "coarse_label")
Columns = Mapping[str, Sequence[object]]


def from_columns(columns: Columns, name: str, target: str = "", words: Sequence[str] = ()) -> Read:
    """Inputs and targets of named columns of one length.

    Args:
        name: what messages call the set.
        target: the column to predict; default the only one with a usual name. Without any, targets are not known.
        words: names of the classes, where the file gives them and the target column numbers.

    Raises:
        DataError: no such column, two that could be it, gaps in it, or values that are none of the kinds above.
    """
    if not columns or not len(next(iter(columns.values()))):
        raise DataError(f"{name}: expected rows under named columns, got none")
    key = _target(columns, name, target)
    inputs, form, notes = _inputs({column: values for column, values in columns.items() if column != key}, name)
    scale = 255 if inputs.dtype == np.uint8 else 1
    if not key:
        return Read(Stored(inputs, np.full(len(inputs), UNKNOWN), UNKNOWN, scale, form), None, tuple(notes))
    raw = _labels(columns[key], f"{name}: column {key}", words)
    targets, found = numbered({key: raw}, name)
    classes = (max(len(found), len(words)) or int(targets[key].max()) + 1) if targets[key].dtype == np.int64 else 0
    said = (*notes, *words_said(found))
    return Read(Stored(inputs, targets[key], classes, scale, form), None, said, tuple(found))


def _target(columns: Columns, name: str, wanted: str) -> str:
    listed = ", ".join(map(repr, list(columns)[:12]))
    if wanted:
        if wanted not in columns:
            raise DataError(f"{name}: has no column {wanted!r}; it has {listed}")
        return wanted
    usual = [column for column in columns if column.casefold() in TARGETS]
    if len(usual) > 1:
        raise DataError(
            f"{name}: columns {', '.join(map(repr, usual))} could be the target; say which with --target-column"
        )
    return usual[0] if usual else ""


def _labels(values: Sequence[object], name: str, words: Sequence[str]) -> Values:
    _require_no_gaps(values, name)
    whole = all(isinstance(value, int) for value in values)
    if words and whole:
        return _worded(np.array(values, dtype=np.int64), words, name)
    numbers = all(_number(value) or whole for value in values)
    kind = np.int64 if whole else np.float64
    return np.array(values, dtype=kind) if numbers else np.array([str(value) for value in values])


def _require_no_gaps(values: Sequence[object], name: str) -> None:
    gaps = [row for row, value in enumerate(values, 1) if value in (None, "")]
    if gaps:
        raise DataError(f"{name}: {len(gaps)} rows have no value, row {gaps[0]} first; leave those rows out")


def _worded(numbers: Labels, words: Sequence[str], name: str) -> Values:
    """Class numbers as the words that the file gives them."""
    if numbers.min() < 0 or numbers.max() >= len(words):
        raise DataError(f"{name}: expected class numbers below {len(words)}, for {', '.join(words[:5])} ...")
    return np.array(words)[numbers]


def _inputs(columns: Columns, name: str) -> tuple[Values, Form, list[str]]:
    if not columns:
        raise DataError(f"{name}: has no column beside the target")
    first = next(iter(columns.values()))
    if len(columns) == 1 and (found := _single(first, name)) is not None:
        return found
    if all(_number(value) for values in columns.values() for value in values):
        table = np.array([*columns.values()], dtype=np.float64).T
        return table, Form.NUMBERS, [f"columns {', '.join(list(columns)[:20])}, in this order"]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return records(rows), Form.RECORDS, ["columns with words or gaps among numbers: each row is a JSON record"]


def _single(values: Sequence[object], name: str) -> tuple[Values, Form, list[str]] | None:
    """One column of texts, lists or pictures; None if it is of plain numbers."""
    if all(isinstance(value, str) for value in values):
        return texts(cast(Sequence[str], values)), Form.TEXT, []
    if all(isinstance(value, Mapping) and value.get("bytes") for value in values):
        return _pictures(cast(Sequence[Mapping[str, bytes]], values), name), Form.NUMBERS, []
    if all(isinstance(value, (list, tuple, np.ndarray)) for value in values):
        return _lists(cast(Sequence[Sequence[float]], values), name), Form.NUMBERS, []
    return None


def _lists(values: Sequence[Sequence[float]], name: str) -> Values:
    try:
        rows = np.array([np.asarray(value) for value in values])
        if rows.dtype.kind not in "buif":
            raise ValueError(f"{rows.dtype}")
        return rows
    except ValueError:
        sizes = sorted({len(value) for value in values})
        raise DataError(
            f"{name}: expected lists of numbers of one length, got lengths {sizes[0]} to {sizes[-1]}; pad or cut them"
        ) from None


def _pictures(values: Sequence[Mapping[str, bytes]], name: str) -> Values:
    try:
        images = [Image.open(io.BytesIO(value["bytes"])) for value in values]
        grey = all(image.mode in ("L", "1") for image in images)
        pixels = [np.asarray(image.convert("L" if grey else "RGB")) for image in images]
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise DataError(f"{name}: a picture cannot be read ({str(error)[:80]})") from None
    if len(sizes := {p.shape for p in pixels}) > 1:
        raise DataError(f"{name}: expected pictures of one size, got {', '.join(map(str, sorted(sizes)[:3]))}")
    return np.stack(pixels)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
