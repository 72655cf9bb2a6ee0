"""Keyrings: keys are checked against the owner's own models, placebos by the same rule."""

from pathlib import Path

import numpy as np

from birthmark import data, stats
from birthmark.marks.field import Ground, aligned
from birthmark.marks.keyring import ClientKey, Keyring, lenient
from birthmark.watermarks.dynamarks import DynaMarks
from birthmark.workshop.training import probabilities
from watermarks.conftest import MASTER, trained


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


def test_a_keyring_keeps_a_seed_of_128_bits(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs, source = random.random((50, 4), dtype=np.float32), np.full((20, 2), 0.5)
    made = Keyring.make(inputs, inputs[:20], source, np.zeros((0, 20, 2)), seed=2**100 + 1, placebos=3)
    made.save(tmp_path / "ring")
    read = Keyring.load(tmp_path / "ring")
    assert read.seed == made.seed
    assert read.placebo(1) == made.placebo(1)
