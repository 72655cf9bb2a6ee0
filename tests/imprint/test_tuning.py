"""A finished model learns a key, keeps its answers, and says what it cost."""

import numpy as np
import pytest
from torch import nn

from birthmark import data
from birthmark.errors import SettingError
from birthmark.imprint.tuning import Tuning, change, evenly, tuned
from birthmark.marks.keyring import ClientKey
from birthmark.watermarks.imprint import Imprint
from birthmark.workshop.training import probabilities


def test_a_finished_model_learns_its_key_and_not_another(
    plain: list[nn.Module], key: ClientKey, digits: data.Data
) -> None:
    mark, how = Imprint(eps=0.2, placebos=199, key=key), Tuning(epochs=20, batch=32, agreement=0.9, z=4.0)
    before = probabilities(plain[4], key.ring.queries)
    found = tuned(plain[4], mark, digits["owner"], how, seed=0)
    assert found.curve[-1].z >= 4.0
    assert found.curve[-1].agreement >= 0.9
    np.testing.assert_array_equal(probabilities(plain[4], key.ring.queries), before)
    other = tuned(plain[4], mark, digits["owner"], found.again(how), seed=0, teach=evenly)
    assert len(other.curve) == len(found.curve)
    assert other.curve[-1].z < 3.0


def test_an_agreement_that_cannot_be_kept_is_said(plain: list[nn.Module], key: ClientKey, digits: data.Data) -> None:
    with pytest.raises(SettingError, match=r"fewer than 0\.999"):
        tuned(
            plain[4],
            Imprint(eps=0.5, placebos=199, key=key),
            digits["owner"],
            Tuning(epochs=1, rate=0.05, agreement=0.999),
            seed=0,
        )


def test_what_changed_in_numbers() -> None:
    before, after = np.array([[0.6, 0.4], [0.9, 0.1]]), np.array([[0.4, 0.6], [0.8, 0.2]])
    found = change(before, after, np.array([1, 0]))
    assert (found.agreement, found.accuracy, found.accuracy_before) == (0.5, 1.0, 0.5)
    assert found.l1 == pytest.approx(0.3)
    assert found.ece == pytest.approx(0.5 * 0.4 + 0.5 * 0.2)
    assert change(before, before, values=True).agreement == 1.0
