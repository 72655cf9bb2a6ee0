"""What the thief of AKH learns from."""

from typing import Any

import numpy as np
import pytest
from torch import nn

from birthmark.attacks import adaptive_akh
from birthmark.oracle import Function
from birthmark.types import Answers, Samples


def test_mistakes_become_truth_and_what_is_unsure_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[tuple[Samples, Any]]()

    def fit(model: nn.Module, samples: Samples, *rest: object, soft: Any, **named: object) -> nn.Module:
        seen.append((samples, soft))
        return model

    monkeypatch.setattr(adaptive_akh, "fit", fit)
    rows = np.array([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])  # sure, unsure, wrong, sure
    data = Samples(np.random.default_rng(0).random((4, 6)).astype(np.float32), np.array([0, 0, 2, 2]), 3)
    target = Function(lambda x: rows[: len(x)], Answers.PROBABILITIES)
    adaptive_akh.AdaptiveAKH(student="mlp", sure=0.6).steal(target, data, seed=0)
    ((samples, soft),) = seen
    assert np.array_equal(samples.inputs, data.inputs[[0, 2, 3]])
    assert samples.targets.tolist() == [0, 2, 2]
    assert np.allclose(soft, [[0.9, 0.05, 0.05], [0, 0, 1], [0.2, 0.2, 0.6]])
