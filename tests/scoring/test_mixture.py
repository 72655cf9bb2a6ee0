"""The owner mixture: symmetric in the owners, blind to what they share, right about who is in it."""

import numpy as np
import pytest

from birthmark.errors import ShapeError
from birthmark.scoring.mixture import attractors, owner_mixture


@pytest.fixture
def owners() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 40, 3))


def test_relabelling_the_owners_relabels_the_weights(owners: np.ndarray) -> None:
    random = np.random.default_rng(1)
    suspect, order = random.normal(size=(40, 3)), random.permutation(7)
    assert np.allclose(owner_mixture(owners, suspect)[order], owner_mixture(owners[order], suspect))


def test_the_same_rows_added_to_all_change_nothing(owners: np.ndarray) -> None:
    random = np.random.default_rng(2)
    suspect, shift = random.normal(size=(40, 3)), 5 * random.normal(size=(40, 3))
    assert np.allclose(owner_mixture(owners, suspect), owner_mixture(owners + shift, suspect + shift))


@pytest.mark.parametrize("ridge", [0.01, 0.1, 1.0])
def test_an_owner_as_suspect_holds_itself(owners: np.ndarray, ridge: float) -> None:
    for j, rows in enumerate(owners):
        weights = owner_mixture(owners, rows, ridge=ridge)
        others = np.delete(weights, j)
        assert weights[j] > 0.3 + others.max()


def test_a_blend_of_two_owners_is_told_apart_where_correlation_is_not() -> None:
    random = np.random.default_rng(3)
    owners = 0.3 * random.normal(size=(9, 200, 1))
    owners[4] += 3 * random.normal(size=(200, 1))  # an odd twin: everything else correlates with everything else
    weights = owner_mixture(owners, 0.5 * owners[0] + 0.5 * owners[7])
    assert set(np.argsort(weights)[-2:]) == {0, 7}


def test_what_a_suspect_shares_with_independents_is_explained_by_them(owners: np.ndarray) -> None:
    random = np.random.default_rng(6)
    others = random.normal(size=(3, 40, 3))
    common = 4 * random.normal(size=(40, 3))  # errors that all small models make
    suspect = 0.3 * owners[2] + common + 0.2 * random.normal(size=(40, 3))
    others += common
    plain, cleared = (owner_mixture(owners, suspect, others=known) for known in ((), others))

    def clear(weights: np.ndarray) -> float:
        rest = np.delete(weights, 2)
        return float((weights[2] - rest.mean()) / rest.std())

    assert cleared.argmax() == 2
    assert clear(cleared) > 1.4 * clear(plain)
    order = random.permutation(7)
    assert np.allclose(cleared[order], owner_mixture(owners[order], suspect, others=others))
    assert np.allclose(plain, owner_mixture(owners, suspect, others=others[:0]))


def test_a_shift_and_stretch_of_what_the_family_answers_counts_for_nothing(owners: np.ndarray) -> None:
    random = np.random.default_rng(7)
    owners += 3 * random.normal(size=(40, 3))  # a family has an answer of its own
    suspect, others, order = random.normal(size=(40, 3)), random.normal(size=(2, 40, 3)), random.permutation(7)
    mean, moved = owners.mean(axis=0), np.array([2.0, -1.0, 0.0])
    weights = owner_mixture(owners, suspect, others=others, affine=True)
    assert np.allclose(weights, owner_mixture(owners, suspect + moved + moved[::-1] * mean, others=others, affine=True))
    assert np.allclose(weights[order], owner_mixture(owners[order], suspect, others=others, affine=True))
    assert not np.allclose(weights, owner_mixture(owners, suspect + moved, others=others))
    assert owner_mixture(owners, 3 * owners[4] + 1, affine=True).argmax() == 4
    few = owners[:, :10]
    assert np.array_equal(owner_mixture(few, suspect[:10], affine=True), owner_mixture(few, suspect[:10]))
    flat = np.concatenate([owners[:, :, :1], np.ones((7, 40, 1))], axis=2)  # an output on which all agree
    assert np.isfinite(owner_mixture(flat, suspect[:, :2], affine=True)).all()


def test_queries_on_which_all_owners_agree_count_for_nothing(owners: np.ndarray) -> None:
    suspect = np.random.default_rng(4).normal(size=(40, 3))
    still = np.concatenate([owners, np.ones((7, 10, 3))], axis=1)
    assert np.isfinite(owner_mixture(still, np.concatenate([suspect, 9 * np.ones((10, 3))]))).all()
    assert np.array_equal(owner_mixture(np.ones((4, 5, 2)), np.zeros((5, 2))), np.zeros(4))


def test_too_few_owners_other_shapes_and_nan_are_refused(owners: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="at least 2 twins, got 2 owners"):
        owner_mixture(owners[:2], owners[0])
    with pytest.raises(ShapeError, match=r"shape \(40, 3\)"):
        owner_mixture(owners, owners[0][:39])
    with pytest.raises(ShapeError, match="finite"):
        owner_mixture(owners, np.full((40, 3), np.nan))


def test_an_owner_to_whom_references_lean_is_named() -> None:
    random = np.random.default_rng(5)
    weights = random.normal(size=(8, 20))
    assert attractors(list(weights))["attractors"] == []
    weights[:, 0] += 5
    facts = attractors(list(weights))
    assert facts["attractors"] == [0]
    assert facts["leaning"][0] == 8
    assert "8 of 8" in facts["warnings"][0]
    assert attractors([]) == {}
