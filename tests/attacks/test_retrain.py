"""Labels alone reach the student."""

import numpy as np
import pytest

from birthmark.attacks.retrain import Retrain
from birthmark.oracle import Function
from birthmark.types import Answers, Floats, Samples


def test_only_top_labels_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    taught = list[tuple[Floats, Answers]]()
    monkeypatch.setattr(Retrain, "learned", lambda self, inputs, answers, kind, *, seed: taught.append((answers, kind)))
    data = Samples(np.zeros((3, 6), np.float32), np.zeros(3, np.int64), 3)
    rows = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])
    Retrain().steal(Function(lambda x: rows[: len(x)], Answers.PROBABILITIES), data, seed=0)
    ((answers, kind),) = taught
    assert kind is Answers.LABELS
    assert np.array_equal(answers, np.eye(3)[[0, 2, 1]])
