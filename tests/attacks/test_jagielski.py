"""How many inputs are asked, and that the rest only steadies the student."""

import numpy as np
import pytest

from birthmark.attacks.jagielski import Jagielski
from birthmark.oracle import Function, Metered
from birthmark.types import Answers, Samples


@pytest.mark.parametrize(("queries", "budget", "asked"), [(0, None, 20), (7, None, 7), (0, 5, 5)])
def test_half_of_the_data_is_asked_unless_told_otherwise(queries: int, budget: int | None, asked: int) -> None:
    seen = list[int]()

    def answer(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return np.eye(2)[(x[:, 0] > 0.5).astype(int)]

    data = Samples(np.random.default_rng(0).random((40, 6)).astype(np.float32), np.zeros(40, np.int64), 2)
    target = Metered(Function(answer, Answers.LABELS), budget=budget)
    Jagielski(queries=queries, student="mlp", epochs=1, least_steps=2).steal(target, data, seed=0)
    assert sum(seen) == asked
