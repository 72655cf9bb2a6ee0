"""Data sets and their splits."""

import numpy as np
import pytest

from birthmark import data
from birthmark.data.known import digits as read_digits
from birthmark.data.stored import Read, Stored
from birthmark.errors import BirthmarkError, DataError
from birthmark.types import Samples


def test_splits_are_disjoint_deterministic_and_whole() -> None:
    parts = data.load("digits", seed=3).parts
    rows = [row.tobytes() for part in parts.values() for row in part.inputs]
    assert len(rows) == 1797
    assert {name: len(p) for name, p in parts.items()} == {
        name: len(p) for name, p in data.split("digits", *read_digits(None)[:2], seed=3).parts.items()
    }
    for name in parts:
        assert np.array_equal(
            parts[name].inputs, data.split("digits", *read_digits(None)[:2], seed=3).parts[name].inputs
        )
        assert set(parts[name].targets) == set(range(10))
    assert not np.array_equal(parts["owner"].inputs, data.load("digits", seed=4)["owner"].inputs)


def test_pieces_of_a_split() -> None:
    digits = data.load("digits")
    whole = digits["attacker"]
    thirds = [digits[f"attacker[{i}/3]"] for i in range(3)]
    assert np.array_equal(np.concatenate([t.inputs for t in thirds]), whole.inputs)
    assert np.array_equal(digits["attacker[:100]"].inputs, whole.inputs[:100])
    with pytest.raises(BirthmarkError, match="no data split named 'atacker'; did you mean attacker"):
        digits["atacker"]


def stored(inputs: np.ndarray, targets: np.ndarray | None = None) -> Stored:
    return Stored(inputs, np.arange(len(inputs)) % 3 if targets is None else targets, 3)


def kinds(samples: Samples) -> set[bytes]:
    return {row.tobytes() for row in samples.inputs}


def test_copies_share_a_part_count_once_as_queries_and_are_said() -> None:
    different = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    every = np.concatenate([different, different[:60], different[:30]])
    found = data.own("own", Read(stored(every)), seed=0)
    assert found.notes == ("90 of 210 inputs are copies of others: they share a part and count once as queries",)
    parts = {name: kinds(part) for name, part in found.parts.items()}
    assert sum(map(len, parts.values())) == 120
    assert set.union(*parts.values()) == kinds(stored(different)[:])
    for name in ("queries", "test"):
        assert len(parts[name]) == len(found[name])
    assert sum(len(found[name]) for name in data.SHARES) > sum(len(parts[name]) for name in data.SHARES)
    rows, targets = found["owner"].inputs, found["owner"].targets
    assert {row.tobytes(): t for row, t in zip(rows, targets, strict=True)}.keys() == parts["owner"]


def test_without_copies_a_set_of_ones_own_is_cut_like_any_other() -> None:
    inputs = np.random.default_rng(0).normal(size=(90, 4))
    one, other = data.own("a", Read(stored(inputs)), seed=4), data.split("a", stored(inputs), None, seed=4)
    assert all(np.array_equal(one[name].inputs, other[name].inputs) for name in other.parts)
    assert one.notes == ()


def test_held_out_inputs_that_are_trained_on_are_left_out_and_said() -> None:
    inputs = np.random.default_rng(0).normal(size=(90, 4))
    held = np.concatenate([inputs[:70] + 9, inputs[:30] + 9, inputs[50:75]])
    found = data.own("own", Read(stored(inputs), stored(held), ("first",)), seed=0)
    assert found.notes == (
        "first",
        "of 125 held-out inputs 25 lie in the training data, too, and 30 are copies of others: left out",
    )
    assert len(found["queries"]) + len(found["test"]) == 70
    assert not (kinds(found["queries"]) | kinds(found["test"])) & kinds(stored(inputs)[:])
    with pytest.raises(DataError, match="all held-out inputs lie in the training data"):
        data.own("own", Read(stored(inputs), stored(inputs[:50])), seed=0)


def few(counts: list[int]) -> data.Data:
    targets = np.repeat(np.arange(len(counts)), counts)
    inputs = np.random.default_rng(0).normal(size=(len(targets), 4))
    return data.split("own", Stored(inputs, targets, len(counts)), None, seed=0)


@pytest.mark.parametrize("counts", [[5] * 10, [6] * 10, [990, 10], [10_000, 100], [400, 2, 2]])
def test_too_few_or_too_much_of_one_class_is_refused_with_the_way_on(counts: list[int]) -> None:
    with pytest.raises(DataError, match=r"outside the largest: too few.*give more samples, merge or leave out rare"):
        data.require_enough(few(counts), "owner")


def test_thin_classes_are_named() -> None:
    assert data.require_enough(few([300, 300, 8]), "owner[:200]") == (
        "owner[:200] has fewer than 5 samples of class 2: models may never name them",
        "reserve has fewer than 5 samples of class 2: models may never name them",
    )
    assert data.require_enough(few([300] * 10), "owner") == ()
    assert data.require_enough(data.load("friedman1"), "owner") == ()


def test_unknown_names_get_near_misses() -> None:
    with pytest.raises(BirthmarkError, match="did you mean fashion-mnist"):
        data.load("fashion_mnist")
