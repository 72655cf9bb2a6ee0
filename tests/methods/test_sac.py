import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from birthmark import registry
from birthmark.claim import Claim
from birthmark.crafting.images import cutmix, eight_bit, jpeg
from birthmark.errors import SettingError, ShapeError
from birthmark.methods.sac import by_common_mistakes, in_turns
from birthmark.oracle import Function, HardLabels, Probabilities
from birthmark.scoring.correlation import closeness, features
from birthmark.verify import verify
from birthmark.workshop.whitebox import Open

sys.path.append(str(Path(__file__).parents[1] / "reference"))
from reference import sac_slow

SHARED = ["sac-normal", "sac-m", "sac-jc"]
OWN = ["sac-source", "sac-w"]
SMALL = {"queries": 60, "placebos": 4, "references": 2}


@pytest.fixture(scope="module")
def claims(owner):
    return {name: registry.make("methods", name, SMALL).fit(owner, seed=1) for name in SHARED + OWN}


@pytest.mark.parametrize("kernel", ["cosine", "rbf"])
def test_distance_agrees_with_the_slow_one(kernel):
    random = np.random.default_rng(0)
    a, b = random.dirichlet(np.ones(4), 7), random.dirichlet(np.ones(3), 7)  # other label sets, too
    assert closeness(a, b, "probabilities", kernel) == pytest.approx(
        -sac_slow.distance(a.tolist(), b.tolist(), kernel), abs=1e-12
    )
    hard = np.eye(3)[b.argmax(1)]
    slow = -sac_slow.distance([sac_slow.label_row(r) for r in a], [sac_slow.label_row(r) for r in b], kernel)
    assert closeness(a, hard, "probabilities", kernel) == pytest.approx(slow, abs=1e-12)


def test_scale_of_outputs_is_ignored_and_logits_are_recovered_up_to_a_constant():
    logits = np.random.default_rng(0).normal(size=(6, 5))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(features(p, "logits"), logits - logits.mean(1, keepdims=True), atol=0.02)
    assert closeness(p, 3 * p, "probabilities", "cosine") == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", SHARED + OWN)
def test_a_copy_beats_every_placebo_and_queries_survive_8_bits(claims, owner, name):
    claim = claims[name]
    assert np.array_equal(claim.queries, eight_bit(claim.queries))
    copy = verify(claim, Open(owner.source), alpha=0.2)
    assert copy.raw == pytest.approx(0, abs=1e-9)
    assert copy.p_value == 0.2
    assert verify(claim, HardLabels(Open(owner.source)), alpha=0.2).p_value == 0.2


@pytest.mark.parametrize("name", SHARED)
def test_shared_queries_do_not_depend_on_the_source(claims, owner, name):
    (twin,) = owner.twins(1)
    swapped = replace(owner, source=twin)
    assert np.array_equal(
        registry.make("methods", name, SMALL | {"placebos": 0}).fit(swapped, seed=1).queries, claims[name].queries
    )


@pytest.mark.parametrize("name", OWN)
def test_every_owner_has_as_many_queries_and_prefixes_are_fair(claims, name):
    claim = claims[name]
    per_owner = claim.tensors["belongs"][:, :30].sum(axis=1)
    assert per_owner.min() >= 4
    assert len(np.unique(claim.queries.reshape(60, -1), axis=0)) == 60
    assert len(registry.scorer(claim).score(claim, claim.tensors["owners"][0][:30]).placebos) == 4


def test_common_mistakes_come_first():
    truth = np.array([0, 0, 1, 1])
    model = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
    student = np.array([[0.8, 0.2], [0.4, 0.6], [0.6, 0.4], [0.9, 0.1]])
    order, wrong = by_common_mistakes(np.stack([model, student]), truth)
    assert wrong == 2
    assert order.tolist() == [1, 3, 2, 0]
    chosen, belongs = in_turns([order, order[::-1]], 3)
    assert chosen == [1, 0, 3]
    assert belongs.tolist() == [[True, False, True], [False, True, False]]


def test_a_suspect_with_other_classes_is_scored(claims, bench):
    other = bench.trained("innocent", 5, "cnn:width=8")
    merged = Probabilities(Open(other))
    five = Function(lambda x: _merge(merged(x)), merged.answers, "five")
    assert np.isfinite(verify(claims["sac-m"], five, alpha=0.2).score)


def _merge(rows):
    return rows[:, :5] + rows[:, 5:]


def test_cutmix_of_both_kinds_pastes_boxes_of_other_images():
    images = np.random.default_rng(0).random((20, 1, 32, 32)).astype(np.float32)
    small, wide = (cutmix(images, kind, seed=3) for kind in ("sac", "standard"))
    changed = (small != images).mean(axis=(1, 2, 3))
    assert 0 < changed.max() <= 36 / 1024
    assert 0.2 < (wide != images).mean() < 0.6
    assert np.isin(small, images).all()
    with pytest.raises(SettingError, match="standard"):
        cutmix(images, "other", seed=3)


def test_jpeg_changes_pixels_and_stays_in_range():
    images = np.random.default_rng(0).random((3, 3, 16, 16)).astype(np.float32)
    out = jpeg(images, 25)
    assert out.shape == images.shape
    assert out.min() >= 0
    assert out.max() <= 1
    assert not np.allclose(out, images, atol=0.05)
    with pytest.raises(ShapeError, match="grey or RGB"):
        jpeg(images.reshape(3, -1), 25)


@pytest.mark.parametrize("wrong", [{"queries": 1}, {"outputs": "labels"}, {"kernel": "rfb"}, {"placebos": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingError, match="expected"):
        registry.make("methods", "sac-m", wrong)


def test_too_few_answers_are_refused(claims):
    claim: Claim = claims["sac-w"]
    with pytest.raises(ShapeError, match="ask more"):
        registry.scorer(claim).score(claim, claim.tensors["owners"][0][:2])
