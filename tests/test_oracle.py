"""Oracles around oracles: what they hide, count, record and replay."""

import numpy as np
import pytest

from birthmark.answers import rounding_step
from birthmark.errors import BudgetError
from birthmark.oracle import Function, HardLabels, Metered, Probabilities, Rounded, TopK
from birthmark.types import Access, Answers, Array, Floats

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3))
INPUTS = np.random.default_rng(1).random((20, 4), dtype=np.float32)


def logits(inputs: Array) -> Floats:
    return np.asarray(inputs.astype(float) @ WEIGHTS)


def model() -> Function:
    return Function(logits, Answers.LOGITS, "linear")


def test_wrappers_show_less_and_agree_on_the_top_class() -> None:
    full = Probabilities(model())(INPUTS)
    assert np.allclose(full.sum(1), 1)
    for shown in (HardLabels(model()), TopK(model(), 1), TopK(model(), 2)):
        assert (shown(INPUTS).argmax(1) == full.argmax(1)).all()
    assert np.abs(Rounded(model(), 2)(INPUTS) - full).max() <= 0.005 + 1e-9
    assert HardLabels(model()).access is Access.LABELS
    assert (TopK(model(), 2)(INPUTS) > 0).sum(1).tolist() == [2] * 20
    assert rounding_step(Rounded(model(), 2)(INPUTS)) == 0.01
    assert rounding_step(full) == 0


def test_metered_refuses_before_it_sends() -> None:
    metered = Metered(model(), budget=25)
    metered(INPUTS)
    with pytest.raises(BudgetError, match="overspend the budget of 25 \\(20 spent\\)"):
        metered(INPUTS)
    assert (metered.spent, metered.left) == (20, 5)
