"""Second differences at kinks, by hand."""

import numpy as np
import pytest

from birthmark.errors import ShapeError
from birthmark.scoring.kinks import Rounds, bend_weights, logs, others_rows, second_differences
from birthmark.scoring.mixture import owner_mixture


def test_second_differences_are_tempered_where_there_are_several_outputs() -> None:
    rows = np.array([[1.0, 2], [4, 2], [1, 6], [0, 0], [0, 0], [0, 0]])
    bend = np.array([4 + 1 - 2, 2 + 6 - 4], dtype=float)  # (3, 4), of norm 5
    assert np.allclose(second_differences(rows, 0.0), [bend, [0, 0]])
    assert np.allclose(second_differences(rows, 1.0), [bend / 5, [0, 0]])
    assert np.allclose(second_differences(rows, 0.5), [bend / 5**0.5, [0, 0]])
    assert np.allclose(second_differences(rows[:, :1], 1.0), [[3], [0]])


def test_rows_of_the_other_owners_in_whole_rounds() -> None:
    assert list(others_rows(20, 3, 1)) == [0, 1, 2, 6, 7, 8, 9, 10, 11, 15, 16, 17]
    assert list(others_rows(18, 3, 0)) == [3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17]


def test_the_points_met_are_the_nearer_ones() -> None:
    random = np.random.default_rng(0)
    sent, clipped = random.random((4, 12, 1)), 1 + random.random((4, 12, 1))
    middle = (sent.mean(axis=0) + clipped.mean(axis=0)) / 2
    for answers, points in ((middle + 0.1, clipped), (middle - 0.1, sent), (0 * middle + 1.5, clipped)):
        found = Rounds(sent, clipped, True, 0.5, 0.1).weights([(answers, None)])[0]
        assert np.allclose(found, bend_weights(points, answers, True, temper=0.5, ridge=0.1))
    alone = Rounds(sent, None, True, 0.5, 0.1).weights([(clipped[2], None)])[0]
    assert np.allclose(alone, bend_weights(sent, clipped[2], True, temper=0.5, ridge=0.1))


def test_logs_are_centred() -> None:
    p = np.array([0.2, 0.8, -0.1])
    raw = np.log(np.array([0.2, 0.8, 0]) + 0.01)
    assert np.allclose(logs(p, 0.01), raw - raw.mean())


@pytest.mark.parametrize("kind", ["values", "probabilities", "thousandths", "tenths", "top two"])
def test_bends_are_compared_as_the_suspect_shows_them(kind: str) -> None:
    random = np.random.default_rng(0)
    owners = random.dirichlet(np.ones(4), size=(5, 30))
    answers = random.dirichlet(np.ones(4), size=30)
    mine, theirs = owners, answers
    if kind == "top two":
        answers = theirs = np.where(answers >= np.sort(answers, axis=1)[:, -2:-1], answers, 0)
        mine = np.where(answers == 0, 0, owners)
    elif kind == "tenths":
        answers = theirs = np.round(answers, 1) + np.where(np.arange(4) == 0, 0.1, 0)
    elif kind != "values":
        answers = np.round(answers, 3) + 0.001 if kind == "thousandths" else answers
        eps = 1e-3 if kind == "thousandths" else 1e-6
        mine, theirs = logs(owners, eps), logs(answers, eps)
    bends = second_differences(np.concatenate([mine, theirs[None]]), 0.5)
    expected = owner_mixture(bends[:-1], bends[-1], ridge=0.2)
    assert np.allclose(bend_weights(owners, answers, kind == "values", temper=0.5, ridge=0.2), expected)


def test_labels_are_refused() -> None:
    owners = np.random.default_rng(0).dirichlet(np.ones(4), size=(5, 30))
    with pytest.raises(ShapeError, match="expected probabilities, got labels"):
        bend_weights(owners, np.eye(4)[owners[0].argmax(1)], False, temper=0.5, ridge=0.1)
