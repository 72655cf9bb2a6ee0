"""A keyring from unmarked models alone, and keys with a date."""

import numpy as np
import pytest
from torch import nn

from birthmark import data, imprint
from birthmark.errors import SettingError, ShapeError
from birthmark.imprint.ring import checked
from birthmark.marks.keyring import Keyring
from birthmark.types import Floats
from birthmark.workshop.training import probabilities
from imprint.conftest import MASTER, VALUE


def test_the_ground_are_unmarked_models(ring: Keyring, unmarked: Floats) -> None:
    np.testing.assert_allclose(ring.source, unmarked.mean(axis=0))
    np.testing.assert_array_equal(ring.references, unmarked)
    assert len(ring.placebos) == 199


def test_bad_grounds(digits: data.Data, unmarked: Floats) -> None:
    own, x = digits["owner"].inputs, digits["queries"].inputs
    with pytest.raises(SettingError, match="at least 4 unmarked models"):
        imprint.keyring(own, x, unmarked[:3], seed=0)
    with pytest.raises(SettingError, match="two or more classes"):
        imprint.keyring(own, x, unmarked[:, :, :1], seed=0)
    with pytest.raises(ShapeError, match="NaN"):
        imprint.keyring(own, x, np.full_like(unmarked, np.nan), seed=0)
    with pytest.raises(ShapeError, match="expected answers to"):
        imprint.keyring(own, x[:-1], unmarked, seed=0)


def test_a_date_is_a_public_value_that_decides_the_key() -> None:
    assert imprint.dated(MASTER, VALUE) == imprint.dated(MASTER, VALUE.upper())
    assert imprint.dated(MASTER, VALUE) != imprint.dated(MASTER, "cd" * 16)
    for value in ("", "today", "ab" * 15):
        with pytest.raises(SettingError, match="public random value"):
            imprint.dated(MASTER, value)


def test_a_keyring_of_another_model_is_refused(ring: Keyring, plain: list[nn.Module]) -> None:
    other = probabilities(plain[5], ring.queries)
    assert checked(ring, other) is ring  # its ground are unmarked models, whatever the source
    made = Keyring.make(ring.queries, ring.queries, other, ring.references, seed=0, placebos=9)
    assert checked(made, other) is made
    with pytest.raises(SettingError, match="made of another model"):
        checked(made, probabilities(plain[4], ring.queries))
