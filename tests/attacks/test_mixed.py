"""The teacher between the target and a model of the thief's own."""

import numpy as np
import pytest

from birthmark.attacks.mixed import Mixed
from birthmark.oracle import Function
from birthmark.types import Answers, Floats, Samples

DATA = Samples(np.random.default_rng(0).random((40, 6)).astype(np.float32), np.arange(40) % 2, 2)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_teacher_holds_the_share_that_was_said(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = list[Floats]()
    monkeypatch.setattr(Mixed, "learned", lambda self, inputs, answers, kind, *, seed: taught.append(answers))
    mixed = Mixed(share=share, student="mlp", own="mlp", epochs=1, least_steps=2)
    for sure in (0.0, 1.0):
        mixed.steal(Function(lambda x, p=sure: np.tile([p, 1 - p], (len(x), 1)), Answers.PROBABILITIES), DATA, seed=0)
    assert np.allclose(taught[1] - taught[0], [share, -share])
    assert np.allclose(taught[0].sum(axis=1), 1)
