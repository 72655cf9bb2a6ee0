"""How answers are cleaned of a mark before a student sees them."""

import numpy as np
import pytest

from birthmark.attacks.adaptive_dynamarks import AdaptiveDynamarks, principal
from birthmark.oracle import Function, Metered, Probabilities
from birthmark.types import Access, Answers, Array, Floats

INPUTS = np.random.default_rng(0).random((60, 6)).astype(np.float32)


def wobbly(x: Array) -> Floats:
    """Probabilities with a fast wave on top of a slow field."""
    share = 0.5 + 0.2 * (x[:, 0] - 0.5) + 0.2 * np.sin(1e4 * x[:, 1:].sum(axis=1))
    return np.stack([share, 1 - share], axis=1).astype(float)


def test_averaging_takes_a_wave_off_within_the_budget() -> None:
    target = Metered(Function(wobbly, Answers.PROBABILITIES), budget=200)
    kept, answers = AdaptiveDynamarks(copies=20, noise=0.01)._averaged(target, INPUTS, np.random.default_rng(0))
    assert (len(kept), len(answers), target.left) == (10, 10, 0)
    smooth = 0.5 + 0.2 * (kept[:, 0] - 0.5)
    assert np.abs(answers[:, 0] - smooth).mean() < 0.5 * np.abs(wobbly(kept)[:, 0] - smooth).mean()


def test_near_ties_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = dict[str, object]()

    def learned(self: object, inputs: Array, answers: Floats, kind: Answers, *, seed: int) -> str:
        seen.update(inputs=inputs, answers=answers, kind=kind)
        return "student"

    monkeypatch.setattr(AdaptiveDynamarks, "learned", learned)
    rows = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]])
    target = Probabilities(Function(lambda x: rows[: len(x)], Answers.PROBABILITIES))
    assert target.access >= Access.PROBS
    from birthmark.types import Samples

    data = Samples(INPUTS[:3], np.array([0, 0, 1]), 2)
    assert AdaptiveDynamarks(way="labels", margin=0.3).steal(target, data, seed=0) == "student"
    assert np.array_equal(seen["inputs"], INPUTS[1:3])
    assert np.array_equal(seen["answers"], [[1, 0], [0, 1]])
    assert seen["kind"] is Answers.LABELS


def test_principal_axes_are_those_of_the_spread() -> None:
    flat = np.random.default_rng(0).normal(size=(500, 3)) * [5, 1, 0]
    mean, axes, spread = principal(flat)
    assert np.allclose(mean, flat.mean(axis=0))
    assert len(axes) == 2  # a direction without spread is none
    assert np.allclose(np.abs(axes[0]), [1, 0, 0], atol=0.05)
    assert np.allclose(spread, flat.std(axis=0)[:2], rtol=0.02)
