"""The mark keeps its promises to the API's users, and the claims tell students from innocents, through verify."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_classification
from torch import nn

from birthmark import data, registry, stats
from birthmark.claim import Claim
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.evidence import Verdict
from birthmark.marks.field import Ground, Waves, aligned
from birthmark.marks.keyring import ClientKey, Keyring, lenient, logged
from birthmark.marks.rule import mark_row, mark_rows, near_ties, softly
from birthmark.marks.ties import Ties, divided, surprise
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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.floats(0.01, 0.4), st.floats(0.3, 20))
def test_softly_never_changes_the_top_class(seed: int, k: int, epsilon: float, sharp: float) -> None:
    random = np.random.default_rng(seed)
    rows = random.dirichlet(np.ones(k) / sharp, size=20)
    h = random.normal(size=(20, k))
    marked = softly(rows, h, epsilon, 5.0, 0.9, False)
    assert (marked.argmax(axis=1) == rows.argmax(axis=1)).all()
    np.testing.assert_allclose(marked.sum(axis=1), 1, atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from([0.0, 0.3, 0.5]), st.booleans(), st.booleans())
def test_plain_python_and_numpy_hold_the_same_rule(
    seed: int, k: int, delta: float, hidden: bool, rounded: bool
) -> None:
    random = np.random.default_rng(seed)
    rows = random.dirichlet(np.full(k, 0.3), 3)
    if rounded:  # exact ties and zeros
        rows = rows.round(1) + np.eye(k)[:3].sum(axis=0) * (rows.round(1).sum(axis=1, keepdims=True) == 0)
    if hidden:
        rows[rows < 0.05] = 0
    h = random.normal(scale=1.5, size=rows.shape)
    how = (delta, 0.1, 5.0, 0.9, hidden)
    many = mark_rows(np.tile(rows, (30, 1)), np.tile(h, (30, 1)), *how)[:3]
    one = [mark_row(row, lift, *how) for row, lift in zip(rows.tolist(), h.tolist(), strict=True)]
    np.testing.assert_allclose(one, many, atol=1e-12)
    assert near_ties(rows, 0.3) == near_ties(np.tile(rows, (64, 1)), 0.3)[: len(near_ties(rows, 0.3))]


def test_most_divided_ties_come_first_and_what_unmarked_models_foretell_is_no_evidence() -> None:
    random = np.random.default_rng(0)
    ties = Ties(np.arange(60), np.zeros(60, np.int64), np.ones(60, np.int64))
    share = random.random((8, 60))
    share[:, 30:] = np.where(
        np.arange(8)[:, None] % 2, 0.9, 0.1
    )  # of these, half of the models say one class, half the other
    references = np.stack([1 - share, share], axis=2)
    references[:, :30] = [0.9, 0.1]
    assert set(divided(ties, references)[:30]) == set(range(30, 60))
    assert list(divided(ties, references[:0])) == list(range(60))
    usual = ties.leaning(np.stack([1 - share, share], axis=2))
    copied, chance = surprise(np.sign(usual[0]), usual), surprise(np.where(random.random(60) < 0.5, 1.0, -1.0), usual)
    assert np.abs(copied).mean() < 0.6 * np.abs(chance).mean()
    assert np.abs(surprise(np.ones(60), usual)).mean() < 0.2  # a suspect that always says the same surprises nobody


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


def test_unmarked_answers_rank_uniformly_among_screened_keys(ring: Keyring, digits: data.Data) -> None:
    """Mean p over 200 keys of one honest model: 1/2 within 5 standard errors of independent keys."""
    rows = probabilities(trained(digits["attacker"], seed=50), ring.queries)
    ground = Ground(ring.whitening(ring.queries), ring.source, ring.references)
    secrets = [ring.client(MASTER, f"c{i}").secret for i in range(200)] + [ring.placebo(i) for i in ring.placebos]
    found = aligned(ground, ground.residual(rows)[None], ring.expand(secrets), ring.omega)[0]
    p = np.array([stats.rank_p(t, found[200:]) for t in found[:200]])
    assert abs(p.mean() - 0.5) < 5 / np.sqrt(12 * 200)
    assert (p <= 0.01).mean() <= 0.05


def test_keys_that_lean_on_unmarked_models_are_discarded(ring: Keyring, alice: ClientKey) -> None:
    assert ring.lean([alice.secret])[0] <= lenient(len(ring.references))
    kept = set(ring.placebos)
    thrown = [i for i in range(max(kept)) if i not in kept]
    assert thrown
    assert (ring.lean([ring.placebo(i) for i in thrown[:20]]) > lenient(len(ring.references))).all()


def test_a_keyring_without_references_screens_nothing(ring: Keyring) -> None:
    bare = Keyring.make(ring.queries, ring.queries, ring.source, ring.references[:0], seed=0, placebos=19)
    assert bare.placebos == tuple(range(19))
    mark = DynaMarks(placebos=19, key=bare.client(MASTER, "alice"))
    scores = mark.score(mark.claim(), mark.mark(bare.queries, bare.source))
    assert scores.source > max(scores.placebos)


def test_fields_have_unit_variance_and_balanced_codes() -> None:
    waves = Waves.of([MASTER.derive("x", i) for i in range(50)], 8, 16, 10)
    np.testing.assert_allclose(np.linalg.norm(waves.directions, axis=2), 1)
    assert (waves.codes.sum(axis=2) == 0).all()
    h = waves.at(np.random.default_rng(0).normal(size=(400, 16)), 2.0)
    assert abs(h.var() - 1) < 0.1


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
