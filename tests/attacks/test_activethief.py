"""Which inputs are asked next."""

import numpy as np
import pytest

from birthmark.attacks.activethief import chosen_next, farthest


def test_the_farthest_point_comes_first_and_none_twice() -> None:
    points = np.array([[0.0], [10.0], [4.0], [9.0]])
    assert farthest(points, np.array([[0.0]]), 4).tolist() == [1, 2, 3, 0]
    assert farthest(points, np.zeros((0, 1)), 1).tolist() == [0]


def test_uncertainty_is_entropy() -> None:
    pool = np.array([[1.0, 0.0], [0.5, 0.5], [0.9, 0.1], [0.6, 0.4]])
    assert chosen_next(pool, pool[:1], 2, "uncertainty").tolist() == [1, 3]
    assert chosen_next(pool, pool[:1], 9, "uncertainty").tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize(("strategy", "place"), [("k-centre", 3), ("both", 0)])
def test_both_looks_for_the_farthest_among_the_uncertain_alone(strategy: str, place: int) -> None:
    pool = np.array([[0.5, 0.5], [0.55, 0.45], [0.9, 0.1], [0.0, 1.0]])
    assert chosen_next(pool, np.array([[1.0, 0.0]]), 1, strategy).tolist() == [place]
