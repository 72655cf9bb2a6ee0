"""Source and twins are compared by more than accuracy, at a level and with a power that are said."""

import numpy as np
import pytest

from birthmark.types import Floats, Samples
from birthmark.workshop.reruns import LEVEL, Shown, compare, detectable, two_sided


def family(m: int, seed: int, n: int = 400, classes: int = 5) -> tuple[list[Floats], Samples]:
    """Probabilities (n, k) of m models that differ by noise, and what is true."""
    random = np.random.default_rng(seed)
    common = 2 * random.normal(size=(n, classes))
    rows = [np.exp(common + 0.5 * random.normal(size=common.shape)) for _ in range(m)]
    targets = (common + random.normal(size=common.shape)).argmax(axis=1)
    return [r / r.sum(axis=1, keepdims=True) for r in rows], Samples(np.zeros((n, 1), np.float32), targets, classes)


def refused(models: list[Floats], samples: Samples) -> set[str]:
    references, shown = np.stack(family(3, 99)[0]), Shown(np.stack(models), samples)
    return {one.name for one in compare(shown, shown, references, False) if one.p < one.level}


def test_honest_families_pass() -> None:
    assert sum(bool(refused(*family(20, seed))) for seed in range(60)) <= 2


def test_an_over_confident_source_is_found_though_its_accuracy_is_theirs() -> None:
    models, samples = family(20, 1)
    sharp = models[0] ** 1.3
    found = refused([sharp / sharp.sum(axis=1, keepdims=True), *models[1:]], samples)
    assert "margin" in found
    assert "accuracy" not in found


def test_a_source_that_lies_apart_is_found() -> None:
    models, samples = family(20, 2)
    stranger = family(1, 3)[0][0]
    mixed = [np.sqrt(models[0] * stranger), *models[1:]]
    mixed[0] /= mixed[0].sum(axis=1, keepdims=True)
    assert {"distance to the others", "agreement with the others"} <= refused(mixed, samples)


def test_values_are_compared_too() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(300, 2)).astype(np.float32)
    samples = Samples(np.zeros((300, 1), np.float32), truth, 0)

    def compared(models: list[Floats]) -> set[str]:
        shown = Shown(np.stack(models), samples)
        return {one.name for one in compare(shown, shown, np.zeros((0, 300, 2)), True) if one.p < one.level}

    models = [truth + 0.1 * random.normal(size=truth.shape) for _ in range(20)]
    assert not compared(models)
    models[0] = truth + 0.3 * random.normal(size=truth.shape)
    assert {"loss on held-out data", "distance to the others"} <= compared(models)


def test_the_test_is_students_with_a_least_spread() -> None:
    random = np.random.default_rng(0)
    p = [two_sided(x[0], x[1:], 0.0) for x in random.normal(size=(4000, 20))]
    assert np.mean(np.array(p) < 0.01) == pytest.approx(0.01, abs=0.005)
    assert two_sided(0.91, np.full(19, 0.9), 0.01) > 0.3


def test_the_power_that_is_said_is_had() -> None:
    level = LEVEL / 7
    random, shift = np.random.default_rng(1), detectable(19, level)
    x = random.normal(size=(2000, 20))
    found = np.mean([two_sided(row[0] + shift, row[1:], 0.0) < level for row in x])
    assert found == pytest.approx(0.9, abs=0.03)
    assert detectable(99, level) < shift < detectable(4, level)
