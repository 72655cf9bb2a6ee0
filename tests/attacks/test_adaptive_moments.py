"""Whitened components of real data."""

import numpy as np
import pytest

from birthmark.attacks.adaptive_moments import AdaptiveMoments
from birthmark.errors import DataError


def test_real_samples_have_the_identity_as_covariance() -> None:
    random = np.random.default_rng(0)
    real = random.normal(3, 1, (400, 8)) @ random.normal(size=(8, 8))
    centre, basis = AdaptiveMoments(components=5)._whitened(real)
    y = (real - centre) @ basis
    assert basis.shape == (8, 5)
    assert np.allclose(y.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(y.T @ y / len(y), np.eye(5), atol=1e-9)


def test_components_without_spread_are_left_out() -> None:
    real = np.outer(np.arange(10.0), [1.0, 2.0, 0.0])
    assert AdaptiveMoments()._whitened(real)[1].shape == (3, 1)
    with pytest.raises(DataError, match="all samples of the data are the same"):
        AdaptiveMoments()._whitened(np.ones((5, 3)))
