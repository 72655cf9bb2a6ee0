# ruff: noqa: F811
"""A model that learned keyed targets is found with its copies and students; unmarked ones and other keys are not."""

from copy import deepcopy

import numpy as np
import pytest
from torch import nn

from birthmark import data, imprint
from birthmark.errors import SettingError, ShapeError
from birthmark.evidence import Verdict
from birthmark.marks.keyring import ClientKey, Keyring, logged
from birthmark.marks.keys import Secret
from birthmark.oracle import HardLabels, Probabilities
from birthmark.types import Samples
from birthmark.verify import verify
from birthmark.watermarks.imprint import NO_DATE, Imprint, ImprintLabels
from birthmark.workshop.training import Training, fit, probabilities
from birthmark.workshop.whitebox import Open
from imprint.conftest import imprinted, key, plain, ring, unmarked  # noqa: F401
from watermarks.conftest import trained

DATED = "a commitment's digest"


def test_the_marked_model_and_its_students_are_found(imprinted: nn.Module, key: ClientKey, digits: data.Data) -> None:
    claim = Imprint(eps=0.2, placebos=199, date=DATED, key=key).claim()
    x = digits["attacker"].inputs
    student = trained(Samples(x, digits["attacker"].targets, 10), seed=70, epochs=40, soft=probabilities(imprinted, x))
    copy = fit(deepcopy(imprinted), digits["attacker"], Training(epochs=3, rate=1e-3), seed=1)
    for suspect in (imprinted, student, copy):
        found = verify(claim, Open(suspect), alpha=0.01)
        assert found.verdict is Verdict.SUPPORTED, found
        assert NO_DATE not in found.notes


def test_unmarked_models_and_other_keys_are_not(
    imprinted: nn.Module, plain: list[nn.Module], key: ClientKey, ring: Keyring, digits: data.Data
) -> None:
    claim = Imprint(placebos=199, key=key).claim()
    even = trained(digits["owner"], seed=20, epochs=60)
    for suspect in (*plain[4:], even):
        assert verify(claim, Open(suspect), alpha=0.01).verdict is not Verdict.SUPPORTED
    for name in "abcde":
        wrong = Imprint(placebos=199, key=ring.client(Secret(b"w" * 32), name)).claim()
        assert verify(wrong, Open(imprinted), alpha=0.01).verdict is not Verdict.SUPPORTED


def test_evidence_says_that_a_key_has_no_date(imprinted: nn.Module, key: ClientKey) -> None:
    assert NO_DATE in verify(Imprint(placebos=199, key=key).claim(), Open(imprinted)).notes


def test_labels_alone_are_read_at_mixtures(plain: list[nn.Module], key: ClientKey, digits: data.Data) -> None:
    own = digits["owner"]
    mixed = imprint.mixtures(own.inputs, len(own), seed=3)
    mean = np.mean([probabilities(model, mixed) for model in plain[:4]], axis=0)
    tilts = imprint.tilted(key, mixed, mean, 2.0)
    both = Samples(
        np.concatenate([own.inputs, mixed]), np.concatenate([own.targets, tilts.argmax(axis=1)]), own.classes
    )
    soft = np.concatenate([imprint.targets(key, own.inputs, own.targets, eps=0.2), tilts])
    model = trained(both, seed=21, epochs=60, soft=soft)
    asked = imprint.mixtures(digits["queries"].inputs, 1500, seed=4)
    rows = np.stack([probabilities(one, asked) for one in plain[:4]])
    claim = ImprintLabels(placebos=199, most=800, key=logged(key, asked, rows.mean(axis=0), rows)).claim()
    assert len(claim.queries) == 800
    assert verify(claim, HardLabels(Probabilities(Open(model))), alpha=0.01).verdict is Verdict.SUPPORTED
    for suspect in plain[4:]:
        found = verify(claim, HardLabels(Probabilities(Open(suspect))), alpha=0.01)
        assert found.verdict is not Verdict.SUPPORTED


def test_bad_settings(key: ClientKey) -> None:
    for eps in (0.0, 1.0, -0.1):
        with pytest.raises(SettingError, match=r"eps in \(0, 1\)"):
            Imprint(eps=eps)
    with pytest.raises(SettingError, match="fewer than 500"):
        Imprint(placebos=500, key=key)
    with pytest.raises(SettingError, match="most >= 20"):
        ImprintLabels(most=3)
    with pytest.raises(SettingError, match="needs a key"):
        Imprint().claim()
    with pytest.raises(ShapeError, match="finite answers"):
        Imprint(placebos=199, key=key).mark(key.ring.queries[:2], np.full((2, 10), np.nan))
