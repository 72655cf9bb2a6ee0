"""The mark keeps its promises to the API's users, and the claims tell students from innocents, through verify."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification
from torch import nn

from birthmark import data, registry, stats
from birthmark.claim import Claim
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.evidence import Verdict
from birthmark.marks.keyring import ClientKey, Keyring, logged
from birthmark.oracle import HardLabels, Probabilities
from birthmark.types import Floats, Samples
from birthmark.verify import verify
from birthmark.watermark import Marked
from birthmark.watermarks.dynamarks import DynaMarks, DynaMarksTies
from birthmark.workshop import architectures
from birthmark.workshop.training import Training, fit, probabilities
from birthmark.workshop.whitebox import Open
from watermarks.conftest import MASTER, trained


def test_soft_mark_keeps_the_top_answer_the_simplex_and_its_bound(ring: Keyring, alice: ClientKey) -> None:
    for strength in ("light", "default"):
        mark = DynaMarks(strength=strength, key=alice)
        rows = mark.mark(ring.queries, ring.source)
        assert (rows.argmax(axis=1) == ring.source.argmax(axis=1)).all()
        assert rows.min() >= 0
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-9)
        shift = np.abs(rows - ring.source).sum(axis=1)
        assert shift.max() <= 2 * mark.epsilon + 1e-9
        assert shift.mean() > 0.2 * mark.epsilon


def test_mark_is_the_same_alone_and_in_a_batch_and_of_any_replica(
    ring: Keyring, alice: ClientKey, tmp_path: Path
) -> None:
    ring.save(tmp_path / "ring")
    replica = Keyring.load(tmp_path / "ring").client(MASTER, "alice")
    assert replica.secret == alice.secret
    x, p = ring.queries[:40], ring.source[:40]
    whole = DynaMarks(strength="strong", key=alice).mark(x, p)
    single = np.concatenate(
        [DynaMarks(strength="strong", key=replica).mark(x[i : i + 1], p[i : i + 1]) for i in range(40)]
    )
    np.testing.assert_allclose(single, whole, atol=1e-5)


def test_clients_get_different_marks(ring: Keyring, alice: ClientKey) -> None:
    bob = ring.client(MASTER, "bob")
    a, b = (DynaMarks(key=key).mark(ring.queries, ring.source) for key in (alice, bob))
    assert np.abs(a - b).sum(axis=1).mean() > 0.01


def test_top_k_zeros_stay_hidden_and_labels_stay_labels(ring: Keyring, alice: ClientKey) -> None:
    p = np.where(ring.source >= np.sort(ring.source, axis=1)[:, [-3]], ring.source, 0)
    rows = DynaMarks(answers="top-k", key=alice).mark(ring.queries, p)
    assert ((rows > 0) <= (p > 0)).all()
    np.testing.assert_allclose(rows.sum(axis=1), p.sum(axis=1), atol=1e-9)
    labels = DynaMarks(strength="strong", answers="labels", key=alice).mark(ring.queries, ring.source)
    assert set(np.unique(labels)) == {0.0, 1.0}
    changed = (labels.argmax(axis=1) != ring.source.argmax(axis=1)).mean()
    assert 0 < changed < 0.1


def test_values_move_within_the_tolerance(alice: ClientKey) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 5)).astype(np.float32)
    y = np.stack([x.sum(axis=1), x[:, 0] * x[:, 1]], axis=1).astype(float)
    ring = Keyring.make(
        x, x, y, y[None] + random.normal(scale=0.1, size=(1, *y.shape)), seed=0, values=True, placebos=99
    )
    mark = DynaMarks(key=ring.client(MASTER, "alice"), placebos=99)
    rows = mark.mark(x, y)
    assert (np.abs(rows - y) <= mark.tolerance * y.std(axis=0) + 1e-12).all()
    scores = mark.score(mark.claim(), rows + random.normal(scale=0.02, size=y.shape))
    assert stats.rank_p(scores.source, scores.placebos) == 0.01


@pytest.fixture(scope="module")
def thief(digits: data.Data, source: nn.Module, alice: ClientKey) -> nn.Module:
    """A student of strongly marked probabilities."""
    x = np.concatenate([digits["attacker"].inputs, digits["innocent"].inputs])
    rows = Marked(Open(source), DynaMarks(strength="strong", key=alice))(x)
    return trained(Samples(x, rows.argmax(axis=1).astype(np.int64), 10), seed=30, epochs=50, soft=rows, rate=3e-3)


def test_verify_supports_the_claim_on_a_student_and_not_on_an_innocent(
    alice: ClientKey, thief: nn.Module, digits: data.Data, tmp_path: Path
) -> None:
    DynaMarks(strength="strong", key=alice).claim().save(tmp_path / "claim")
    claim, _ = Claim.load(tmp_path / "claim")
    evidence = verify(claim, Probabilities(Open(thief)), alpha=0.01)
    assert evidence.verdict is Verdict.SUPPORTED, evidence.reason
    honest = trained(digits["innocent"], seed=31)
    assert verify(claim, Probabilities(Open(honest)), alpha=0.01).verdict is not Verdict.SUPPORTED
    said = json.dumps(evidence.as_dict())
    assert alice.secret.value.hex() not in said
    assert "directions" not in said


def test_label_only_student_is_found_by_logged_ties(
    source: nn.Module, unmarked: list[nn.Module], alice: ClientKey, digits: data.Data
) -> None:
    x = np.concatenate([digits["attacker"].inputs, digits["innocent"].inputs])
    random = np.random.default_rng(0)
    blurred = [
        np.float32(0.55) * x + np.float32(0.45) * x[random.permutation(len(x))] for _ in range(2)
    ]  # digits have few near-ties
    x = np.concatenate([x, *blurred])
    plain = probabilities(source, x)
    labels = DynaMarks(strength="strong", answers="labels", key=alice).mark(x, plain)
    student = trained(Samples(x, labels.argmax(axis=1).astype(np.int64), 10), seed=40, epochs=25)
    key = logged(alice, x, plain, np.stack([probabilities(m, x) for m in unmarked]))
    claim = DynaMarksTies(key=key).claim()
    evidence = verify(claim, HardLabels(Probabilities(Open(student))), alpha=0.01)
    assert evidence.verdict is Verdict.SUPPORTED, evidence.reason
    other = trained(Samples(x, plain.argmax(axis=1).astype(np.int64), 10), seed=41, epochs=25)
    assert verify(claim, HardLabels(Probabilities(Open(other))), alpha=0.01).verdict is not Verdict.SUPPORTED


def test_bad_input_is_told(ring: Keyring, alice: ClientKey) -> None:
    with pytest.raises(SettingError, match="strength"):
        DynaMarks(strength="huge")
    with pytest.raises(SettingError, match="needs a client's key"):
        DynaMarks().mark(ring.queries, ring.source)
    bad = ring.source.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ShapeError, match="NaN"):
        DynaMarks(key=alice).mark(ring.queries, bad)
    with pytest.raises(ShapeError, match="expected inputs of 64"):
        DynaMarks(key=alice).mark(ring.queries[:, :, :4], ring.source)
    with pytest.raises(SettingError, match="leaves near-ties alone"):
        DynaMarksTies(strength="default")
    sure = replace(ring, source=np.eye(10)[ring.source.argmax(axis=1)])
    with pytest.raises(DataError, match="near-ties"):
        DynaMarksTies(key=replace(alice, ring=sure)).claim()
    with pytest.raises(SettingError, match="two or more classes"):
        Keyring.make(ring.queries, ring.queries, ring.source[:, :1], ring.references[:, :, :1], seed=0)


def table(classes: int) -> data.Data:
    """A made-up table of 20 columns, standardised: 9,000 rows to train on, 3,000 held out."""
    x, y = make_classification(
        12_000,
        20,
        n_informative=12,
        n_classes=classes,
        n_clusters_per_class=8 // classes + 1,
        class_sep=1.5,
        random_state=classes,
    )
    samples = Samples(((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32), y.astype(np.int64), classes)
    return data.split(f"table of {classes} classes", samples[:9000], samples[9000:], seed=0)


def test_two_classes_are_marked_by_how_much_and_a_student_is_found() -> None:
    parts = table(2)
    own, reserve, attacker, x = (
        parts["owner[:1500]"],
        parts["reserve"],
        parts["attacker"],
        parts["queries"].inputs[:800],
    )

    def learned(samples: Samples, seed: int, soft: Floats | None = None) -> nn.Module:
        network = architectures.build("mlp", samples.shape, 2, seed=seed)
        return fit(network, samples, Training(epochs=25, batch=64, bf16=False), seed=seed, soft=soft)

    source, references = learned(own, 1), [learned(reserve, i) for i in (2, 3)]
    ring = Keyring.make(
        own.inputs, x, probabilities(source, x), np.stack([probabilities(m, x) for m in references]), seed=0
    )
    mark = DynaMarks(strength="strong", key=ring.client(MASTER, "alice"))
    plain = probabilities(source, attacker.inputs)
    rows = mark.mark(attacker.inputs, plain)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-9)
    assert (rows.argmax(axis=1) != plain.argmax(axis=1)).mean() <= 0.05  # near-ties alone
    assert np.abs(rows - plain)[plain.max(axis=1) > 0.9].max() <= 0.1
    scores = mark.score(mark.claim(), probabilities(learned(attacker, 9, rows), x))
    assert stats.rank_p(scores.source, scores.placebos) <= 0.005


def test_registry_finds_all_three() -> None:
    assert {"dynamarks", "dynamarks-ties", "dawn"} <= set(registry.found("watermarks"))
