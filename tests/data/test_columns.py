"""What named columns are read as, and what is refused in one line."""

import io

import numpy as np
import pytest
from PIL import Image

from birthmark.data.columns import from_columns
from birthmark.errors import DataError
from birthmark.types import Form

NUMBERS = {"age": [1, 2.5, 3], "height": [4, 5, 6], "label": ["b", "a", "b"]}


def png(value: int, side: int = 4) -> dict[str, object]:
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def test_numbers_become_rows_and_words_classes() -> None:
    read = from_columns(NUMBERS, "t")
    assert read.train[:].inputs.tolist() == [[1, 4], [2.5, 5], [3, 6]]
    assert read.train.targets.tolist() == [1, 0, 1]
    assert read.words == ("a", "b")
    assert read.notes == ("columns age, height, in this order", "labels are words: 'a' is class 0, 'b' is class 1")


def test_gaps_and_categories_become_records() -> None:
    read = from_columns({"age": [1, None], "city": ["Köln", "Ulm"], "y": [0, 1]}, "t")
    assert read.train.form is Form.RECORDS
    assert read.train[:].inputs.tolist() == ['{"age": 1, "city": "Köln"}', '{"age": null, "city": "Ulm"}']


def test_one_column_of_texts_lists_or_pictures() -> None:
    assert from_columns({"s": ["a", "b"], "y": [0, 1]}, "t").train.form is Form.TEXT
    ids = from_columns({"ids": [[1, 2], [3, 4]], "y": [0, 1]}, "t").train[:].inputs
    assert (ids.dtype, ids.tolist()) == (np.int64, [[1, 2], [3, 4]])
    wave = from_columns({"wave": [[0.5, 2], [3, 4]], "y": [0, 1]}, "t").train[:].inputs
    assert (wave.dtype, wave.shape) == (np.float32, (2, 2))
    image = from_columns({"image": [png(255), png(0)], "label": [0, 1]}, "t").train[:].inputs
    assert (image.shape, image.max(), image.min()) == ((2, 3, 4, 4), 1, 0)


def test_names_of_classes_come_with_their_numbers() -> None:
    read = from_columns({"s": ["a", "b"], "label": [2, 0]}, "t", words=["x", "y", "w"])
    assert (read.train.targets.tolist(), read.words) == ([0, 1], ("w", "x"))


def test_without_a_target_nobody_knows_it() -> None:
    assert from_columns({"a": [1.0], "b": [2.0]}, "t").train.classes == -1
    assert from_columns({"a": [1.0, 3], "b": [2, 4]}, "t", "b").train.targets.tolist() == [2, 4]


REFUSED = {
    "nothing": ({}, "", "expected rows under named columns"),
    "no rows": ({"a": []}, "", "expected rows under named columns"),
    "no such column": ({"a": [1]}, "b", "has no column 'b'; it has 'a'"),
    "two targets": ({"x": [1], "label": [1], "y": [2]}, "", "'label', 'y' could be the target"),
    "only a target": ({"label": [1]}, "", "no column beside the target"),
    "a gap": ({"x": [1, 2], "label": ["a", None]}, "", "column label: 1 rows have no value, row 2 first"),
    "ragged lists": ({"x": [[1], [1, 2]], "y": [0, 1]}, "", "got lengths 1 to 2; pad or cut"),
    "other sizes": ({"x": [png(1), png(1, 5)], "y": [0, 1]}, "", "expected pictures of one size"),
    "no picture": ({"x": [{"bytes": b"x"}], "y": [0]}, "", "a picture cannot be read"),
    "labels from 1": ({"x": [1.0, 2], "y": [1, 2]}, "", "labels go from 1 to 2; count from 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str) -> None:
    columns, target, said = REFUSED[name]
    with pytest.raises(DataError, match=said) as caught:
        from_columns(columns, "t", target)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
