"""Asking within a budget, and what a student learns from."""

import numpy as np
import pytest

from birthmark.errors import BudgetError, DataError, OracleError
from birthmark.oracle import Function, Metered
from birthmark.theft.asking import affordable, ask, at_least, labelled, queries_left
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Answers, Array, Floats
from birthmark.workshop.training import Training

INPUTS = np.random.default_rng(0).random((300, 4)).astype(np.float32)


def share(x: Array) -> Floats:
    return np.stack([x[:, 0], 1 - x[:, 0]], axis=1).astype(float)


MODEL = Function(share, Answers.PROBABILITIES)


def test_the_tightest_budget_of_the_chain_decides() -> None:
    assert queries_left(MODEL) is None
    assert queries_left(Metered(Metered(MODEL, budget=7), budget=9)) == 7
    assert affordable(MODEL, INPUTS) == 300


def test_as_many_are_asked_as_the_budget_allows() -> None:
    target = Metered(MODEL, budget=200)
    assert np.allclose(ask(target, INPUTS), share(INPUTS[:200]))
    with pytest.raises(BudgetError, match="the budget allows no query"):
        ask(target, INPUTS)
    with pytest.raises(DataError, match="got none"):
        ask(MODEL, INPUTS[:0])


def test_what_the_transcript_holds_costs_nothing() -> None:
    target = Recorded(Metered(MODEL, budget=10), Transcript(None, MODEL))
    ask(target, INPUTS[:10])
    assert affordable(target, INPUTS[:12]) == 10
    assert affordable(target, INPUTS[:10]) == 10
    assert affordable(target, np.concatenate([INPUTS[10:11], INPUTS[:10]])) == 0


def test_a_failure_says_how_far_it_came() -> None:
    def fails(x: Array) -> Floats:
        if (x[0] == INPUTS[128]).all():
            raise OracleError("gone")
        return share(x)

    with pytest.raises(OracleError, match=r"gone \(after 128 of 300 answers, not recorded\)"):
        ask(Function(fails, Answers.PROBABILITIES), INPUTS)


def test_answers_become_lessons() -> None:
    rows = np.array([[0.9, 0.1], [0.2, 0.2], [0.0, 0.5]])
    samples, soft = labelled(INPUTS[:3], rows, Answers.PROBABILITIES)
    assert samples.targets.tolist() == [0, 0, 1]
    assert np.allclose(soft, [[0.9, 0.1], [0.5, 0.5], [0, 1]])
    assert labelled(INPUTS[:3], np.eye(2)[[0, 1, 1]], Answers.LABELS)[1] is None
    values, none = labelled(INPUTS[:3], rows, Answers.VALUES)
    assert (values.classes, none) == (0, None)
    assert np.allclose(values.targets, rows)
    with pytest.raises(DataError, match="answered class 0 to all 3 inputs"):
        labelled(INPUTS[:3], np.eye(2)[[0, 0, 0]], Answers.LABELS)


@pytest.mark.parametrize(
    ("n", "steps", "epochs"), [(100, 60, 30), (64, 10, 10), (65, 11, 6), (0, 60, 5), (10**6, 60, 5)]
)
def test_small_data_are_gone_through_more_often(n: int, steps: int, epochs: int) -> None:
    assert at_least(Training(epochs=5, batch=64), n, steps).epochs == epochs
