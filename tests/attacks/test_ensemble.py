"""Shares of the answers, one a student."""

import numpy as np
import pytest

from birthmark.attacks.ensemble import Ensemble
from birthmark.errors import DataError
from birthmark.oracle import Function, Metered
from birthmark.types import Answers, Samples
from birthmark.workshop.training import probabilities

DATA = Samples(np.random.default_rng(0).random((40, 6)).astype(np.float32), np.arange(40) % 2, 2)
TARGET = Function(lambda x: np.eye(2)[(x[:, 0] > 0.5).astype(int)], Answers.LABELS)


def test_the_stolen_model_averages_its_members() -> None:
    model = Ensemble(parts=3, student="mlp", epochs=1, least_steps=5).steal(TARGET, DATA, seed=0)
    members = [probabilities(member, DATA.inputs) for member in model.children() for member in member]  # type: ignore[attr-defined]
    assert len(members) == 3
    assert np.allclose(probabilities(model, DATA.inputs), np.mean(members, axis=0), atol=1e-5)
    assert np.abs(members[0] - members[1]).max() > 1e-3


def test_too_few_answers_for_so_many_students_are_said() -> None:
    with pytest.raises(DataError, match="expected at least 6 answers for 3 students, got 5"):
        Ensemble(parts=3, student="mlp").steal(Metered(TARGET, budget=5), DATA, seed=0)
