"""DAWN lies at its rate, and a student who memorised the lies is found by logged queries."""

import numpy as np
import pytest
from torch import nn

from birthmark import data
from birthmark.errors import DataError, SettingError
from birthmark.evidence import Verdict
from birthmark.marks.keyring import ClientKey, logged
from birthmark.oracle import HardLabels, Probabilities
from birthmark.types import Samples
from birthmark.verify import verify
from birthmark.watermarks.dawn import DAWN
from birthmark.workshop.training import probabilities
from birthmark.workshop.whitebox import Open
from watermarks.conftest import trained


def test_share_of_lies_and_probabilities_kept(alice: ClientKey) -> None:
    random = np.random.default_rng(0)
    x, p = random.random((4000, 1, 8, 8)).astype(np.float32), random.dirichlet(np.ones(10), size=4000)
    rows = DAWN(rate=0.05, key=alice).mark(x, p)
    changed = (rows.argmax(axis=1) != p.argmax(axis=1)).mean()
    assert abs(changed - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 4000)  # fails once in 16,000 keys
    np.testing.assert_allclose(np.sort(rows, axis=1), np.sort(p, axis=1))
    np.testing.assert_array_equal(rows, DAWN(rate=0.05, key=alice).mark(x + np.float32(1e-7), p))


def test_student_of_lies_is_supported_and_an_innocent_is_not(
    source: nn.Module, unmarked: list[nn.Module], alice: ClientKey, digits: data.Data
) -> None:
    x = digits["attacker"].inputs
    plain = probabilities(source, x)
    mark = DAWN(rate=0.08, key=alice)
    labels = mark.mark(x, plain).argmax(axis=1).astype(np.int64)
    student = trained(Samples(x, labels, 10), seed=60, epochs=60, rate=3e-3)
    claim = DAWN(rate=0.08, key=logged(alice, x, plain, np.stack([probabilities(m, x) for m in unmarked]))).claim()
    assert verify(claim, HardLabels(Probabilities(Open(student)))).verdict is Verdict.SUPPORTED
    assert verify(claim, HardLabels(Probabilities(Open(unmarked[0])))).verdict is not Verdict.SUPPORTED


def test_bad_settings_and_too_few_lies(alice: ClientKey) -> None:
    with pytest.raises(SettingError, match="rate"):
        DAWN(rate=0)
    with pytest.raises(DataError, match="at least 10 marked answers"):
        DAWN(rate=0.0001, key=alice).claim()
