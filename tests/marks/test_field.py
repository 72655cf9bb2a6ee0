"""Keyed fields are what their docstrings say."""

import numpy as np

from birthmark.marks.field import Waves
from birthmark.marks.keys import Secret

MASTER = Secret(b"m" * 32)


def test_fields_have_unit_variance_and_balanced_codes() -> None:
    waves = Waves.of([MASTER.derive("x", i) for i in range(50)], 8, 16, 10)
    np.testing.assert_allclose(np.linalg.norm(waves.directions, axis=2), 1)
    assert (waves.codes.sum(axis=2) == 0).all()
    h = waves.at(np.random.default_rng(0).normal(size=(400, 16)), 2.0)
    assert abs(h.var() - 1) < 0.1
