"""Students learn values, too."""

import numpy as np

from birthmark import registry
from birthmark.data import Data
from birthmark.oracle import Function
from birthmark.types import Answers
from birthmark.workshop.training import outputs


def test_regressors_can_be_stolen_too(digits: Data) -> None:
    weights = np.random.default_rng(0).normal(size=(64, 2))
    oracle = Function(lambda x: np.tanh(x.reshape(len(x), -1) @ weights / 8), Answers.VALUES)
    student = registry.make("attacks", "distill", {"student": "mlp"}).steal(oracle, digits["attacker"], seed=0)
    x = digits["test"].inputs
    assert np.corrcoef(outputs(student, x).ravel(), oracle(x).ravel())[0, 1] > 0.9
