"""Scores of queries that belong to one owner each."""

import numpy as np
import pytest

from birthmark.claim import Claim, Task
from birthmark.errors import ShapeError
from birthmark.scoring.matching import by_owner, interleaved, matches


def claim(owners: int = 2, references: int = 0) -> Claim:
    """Six queries, the owners' in turn; labels 0, 1, 2, 0, 1, 2."""
    said = np.eye(3)[np.tile([[0, 1, 1, 0, 0, 2]], (references, 1))]
    tensors = {
        "queries": np.zeros((6, 1), np.float32),
        "owner": np.arange(6) % owners,
        "labels": np.arange(6) % 3,
        "references": said.reshape(references, 6, 3),
    }
    return Claim("some", {}, Task((1,), 3), 0, tensors)


def test_owners_take_turns_and_the_shortest_decides() -> None:
    parts = [
        {"queries": np.array([[1], [2], [3]]), "x": np.array([1, 2, 3])},
        {"queries": np.array([[4], [5]]), "x": np.array([4, 5])},
    ]
    found = interleaved(parts)
    assert found["queries"].ravel().tolist() == [1, 4, 2, 5]
    assert found["x"].tolist() == [1, 4, 2, 5]
    assert found["owner"].tolist() == [0, 1, 0, 1]


def test_each_owner_counts_its_own_queries_and_as_many() -> None:
    values = np.array([1, 0, 0, 0, 1, 1.0])
    found = by_owner(claim(), values, [])
    assert (found.source, found.placebos, found.raw) == (2 / 3, (1 / 3,), 2 / 3)
    found = by_owner(claim(), values[:5], [])  # two of each
    assert (found.source, found.placebos) == (0.5, (0.0,))


def test_references_centre_where_there_are_placebos() -> None:
    values, common = np.array([1, 0, 1, 0, 1, 1.0]), [np.array([1, 0, 0, 0, 0, 0.0]), np.array([1, 1, 1, 0, 0, 0.0])]
    found = by_owner(claim(), values, common)
    assert (found.source, *found.placebos, found.raw) == pytest.approx((0.5, 1 / 6, 1.0))
    alone = by_owner(claim(owners=1), values, common)
    assert (alone.source, alone.placebos, alone.raw) == (4 / 6, (), 4 / 6)


def test_an_owner_without_queries_is_named() -> None:
    with pytest.raises(ShapeError, match="some: 1 queries leave an owner without one; ask at least 2"):
        by_owner(claim(), np.array([1.0]), [])


def test_matches_count_top_classes() -> None:
    answers = np.eye(3)[[0, 1, 0, 0, 2, 2]]
    found = matches(claim(), answers)
    assert (found.source, found.placebos) == (1 / 3, (1.0,))
    centred = matches(claim(references=1), answers[:4])
    assert (centred.source, centred.placebos, centred.raw) == (0.5 - 0.5, (1 - 1.0,), 0.5)
    for wrong in (answers[:, :2], answers[:, 0]):
        with pytest.raises(ShapeError, match=r"some: expected answers of shape \(q, 3\)"):
            matches(claim(), wrong)
