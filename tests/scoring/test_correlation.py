"""Correlations between answers to pairs of inputs, by hand."""

import numpy as np
import pytest

from birthmark.answers import as_labels, softmax
from birthmark.errors import ShapeError
from birthmark.scoring.correlation import EPS, closeness, correlation, features

ROWS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])


def test_features_by_kind() -> None:
    assert features(ROWS, "probabilities") is ROWS
    p = np.array([[0.71234, 0.18766, 0.1], [0.123456, 0.676544, 0.2]])
    logs = np.log(p + EPS)
    assert np.allclose(features(p, "logits"), logs - logs.mean(axis=1, keepdims=True))
    logs = np.log(ROWS + 0.1)  # rounded to a tenth
    assert np.allclose(features(ROWS, "logits"), logs - logs.mean(axis=1, keepdims=True))
    labels = as_labels(ROWS)
    for outputs in ("logits", "probabilities"):
        assert np.allclose(features(labels, outputs), softmax(np.where(labels > 0, 1, 0.01)))


@pytest.mark.parametrize("kernel", ["cosine", "rbf"])
def test_correlation_is_that_of_the_formula(kernel: str) -> None:
    rows = np.vstack([ROWS, np.zeros(3)])
    unit = np.vstack([ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True), np.zeros(3)])
    found = correlation(rows, kernel)
    for i in range(3):
        for j in range(3):
            cos = unit[i] @ unit[j]
            assert found[i, j] == pytest.approx(
                (1 - cos) / 2 if kernel == "cosine" else np.exp(-np.sum((unit[i] - unit[j]) ** 2))
            )
    assert np.isfinite(found).all()
    assert np.array_equal(correlation(rows), correlation(rows, "cosine"))


def test_closeness_is_the_mean_gap() -> None:
    other = ROWS[::-1].copy()
    gap = np.abs(correlation(ROWS) - correlation(other)).mean()
    assert closeness(ROWS, other, "probabilities", "cosine") == pytest.approx(-gap)
    assert closeness(ROWS, ROWS, "logits", "rbf") == 0


def test_an_owner_is_shown_as_labels_to_labels() -> None:
    assert closeness(ROWS, as_labels(ROWS), "probabilities", "cosine") == 0
    assert closeness(as_labels(ROWS), ROWS, "probabilities", "cosine") < 0


def test_too_few_answers_have_no_correlation() -> None:
    for owner, suspect in ((ROWS[:1], ROWS[:1]), (ROWS, ROWS[:2])):
        with pytest.raises(ShapeError, match=f"got {len(suspect)} and the owner's {len(owner)}"):
            closeness(owner, suspect, "probabilities", "cosine")
    assert closeness(ROWS[:2], ROWS[:2], "probabilities", "cosine") == 0
