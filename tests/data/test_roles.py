"""Data given apart: which part each becomes, what must fit, and what is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birthmark import data
from birthmark.errors import DataError
from birthmark.workshop.choices import DataChoice

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 5))


def arrays(path: Path, inputs: np.ndarray, targets: np.ndarray | None = None) -> str:
    np.savez(path, **{"inputs": inputs, **({} if targets is None else {"targets": targets})})
    return f"{path}.npz"


def texts(path: Path, labels: list[str], start: int = 0) -> str:
    rows = [{"text": f"t{start + i}", **({"label": label} if label else {})} for i, label in enumerate(labels)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_each_role_becomes_a_part(tmp_path: Path) -> None:
    train, pool = arrays(tmp_path / "a", X[:60], np.arange(60) % 3), arrays(tmp_path / "b", X[60:], np.arange(60) % 4)
    reserve = arrays(tmp_path / "c", X[:30] + 5, np.arange(30) % 3)
    found = data.chosen(DataChoice(train=train, pool=pool, reserve=reserve), training=True)
    assert {part: len(samples) for part, samples in found.parts.items()} == {
        "owner": 60,
        "reserve": 30,
        "queries": 48,
        "test": 12,
    }
    assert (found.classes, found.shape, found.notes) == (4, (5,), ())
    assert np.allclose(found["owner"].inputs, X[:60])
    again = data.chosen(DataChoice(train=train, pool=pool, reserve=reserve), training=True)
    assert found["queries"].digest == again["queries"].digest
    alone = data.chosen(DataChoice(pool=pool))
    assert (list(alone.parts), len(alone["queries"])) == (["queries"], 60)


def test_a_pool_may_have_no_targets(tmp_path: Path) -> None:
    train = texts(tmp_path / "a.jsonl", ["x", "y"] * 30)
    found = data.chosen(DataChoice(train=train, pool=texts(tmp_path / "b.jsonl", [""] * 50, 100)), training=True)
    assert set(found["queries"].targets) == {-1}
    assert "test" in found.parts
    assert "reserve" not in found.parts


def test_without_a_reserve_half_a_labelled_pool_is_it(tmp_path: Path) -> None:
    train = texts(tmp_path / "a.jsonl", ["x", "y"] * 30)
    found = data.chosen(DataChoice(train=train, pool=texts(tmp_path / "b.jsonl", ["y", "x"] * 50, 100)), training=True)
    assert [len(found[part]) for part in ("reserve", "test", "queries")] == [50, 20, 30]
    together = [set(found[part].inputs.tolist()) for part in ("reserve", "test", "queries")]
    assert len(set.union(*together)) == 100


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    train = texts(tmp_path / "a.jsonl", ["x", "z", "y"] * 20)
    found = data.chosen(DataChoice(train=train, pool=train, test=texts(tmp_path / "b.jsonl", ["z", "y"] * 5)))
    assert found["test"].targets.tolist() == [2, 1] * 5
    assert found["queries"].names == ("x", "y", "z")
    with pytest.raises(DataError, match="--test has the label 'w', which --train has not"):
        data.chosen(DataChoice(train=train, pool=train, test=texts(tmp_path / "c.jsonl", ["w"])))


def test_what_pool_and_training_data_share_is_said(tmp_path: Path) -> None:
    train = arrays(tmp_path / "a", X[:60], np.arange(60) % 3)
    pool = arrays(tmp_path / "b", np.concatenate([X[50:100], X[90:100]]), np.arange(60) % 3)
    notes = data.chosen(DataChoice(train=train, pool=pool)).notes
    assert notes == (
        "10 of 60 inputs of the pool lie in the training data, too",
        "10 of 60 inputs of the pool are copies of others",
    )


def test_pictures_without_classes_are_a_pool(tmp_path: Path) -> None:
    for i in range(60):
        place = tmp_path / "train" / f"c{i % 2}" / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RANDOM.integers(0, 255, (5, 6, 3), dtype=np.uint8)).save(place)
    (tmp_path / "pool").mkdir()
    for i in range(9):
        Image.fromarray(RANDOM.integers(0, 255, (5, 6, 3), dtype=np.uint8)).save(tmp_path / "pool" / f"{i}.png")
    found = data.chosen(DataChoice(train=str(tmp_path / "train"), pool=str(tmp_path / "pool")))
    assert (found["queries"].inputs.shape, set(found["queries"].targets)) == ((9, 3, 5, 6), {-1})


def test_sets_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    train, other = arrays(tmp_path / "a", X, np.arange(120) % 3), arrays(tmp_path / "b", X[:, :4])
    with pytest.raises(DataError, match="expected --pool, got --train alone"):
        data.chosen(DataChoice(train=train))
    with pytest.raises(DataError, match="expected --train, got --pool alone"):
        data.chosen(DataChoice(pool=train), training=True)
    with pytest.raises(DataError, match=r"--pool: expected numbers of shape \(5,\) as in --train, got .*\(4,\)"):
        data.chosen(DataChoice(train=train, pool=other))
    with pytest.raises(DataError, match=r"--pool: expected numbers of shape .* got text"):
        data.chosen(DataChoice(train=train, pool=texts(tmp_path / "b.jsonl", ["a"])))
    with pytest.raises(DataError, match="--train: expected inputs with targets, got inputs alone"):
        data.chosen(DataChoice(train=other, pool=other), training=True)
    pixels = arrays(tmp_path / "c", (X * 9 % 255).astype(np.uint8), np.arange(120) % 3)
    with pytest.raises(DataError, match="--pool: its values end at 1, others at 255"):
        data.chosen(DataChoice(train=pixels, pool=train))
