"""The matched test: units that changed places are found, with one joint order of a stream, and strangers' are not."""

import numpy as np

from birthmark.compare.match import assigned, balanced, match, measured
from birthmark.compare.pairing import paired


def test_permuted_and_scaled_copies_are_matched(made) -> None:
    source = made.network(1, 1)
    found = match(paired(source, made.disguised(made.copied(source))))
    assert found.units == 88
    assert found.agreed == 88
    assert found.score > 0.8
    assert found.p == 1 / (1 + len(measured()))


def test_strangers_are_not(made) -> None:
    scores = [match(paired(made.network(2 * i, 1), made.network(2 * i + 1, 1))).score for i in range(20)]
    assert max(scores) < 0.1
    assert match(paired(made.network(1, 1), made.network(3, 1))).p > 0.05


def test_units_that_kept_their_places_are_left_to_the_order(made) -> None:
    found = match(paired(made.network(1, 1), made.copied(made.network(1, 1))))
    assert (found.units, found.score, found.p) == (0, 0.0, 1.0)
    assert found.cosine > 0.9


def test_a_transformer_with_one_joint_stream_heads_and_gated_units(made) -> None:
    source = made.transformer(1)
    found = match(paired(source, made.disguised_transformer(made.copied(source, noise=0.3), 4)))
    assert found.score > 0.7
    assert found.agreed > 0.95 * found.units
    assert {name.split(".")[-2] for name in found.tensors} >= {"q_proj", "o_proj", "down_proj", "up_proj"}
    stranger = match(paired(source, made.disguised_transformer(made.transformer(2), 4)))
    assert stranger.score < 0.1


def test_a_stolen_backbone_under_a_new_head(made) -> None:
    source = made.network(1, 1, sizes=(20, 48, 40, 30, 10))
    stolen = made.disguised(source) | {"3.weight": np.random.default_rng(0).normal(size=(10, 30))}
    found = match(paired(source, stolen))
    assert found.agreed > 0.7 * found.units


def test_scales_are_taken_away_whatever_they_were() -> None:
    random = np.random.default_rng(0)
    value = random.normal(size=(12, 9, 2))
    scaled = value * np.exp(random.normal(size=(12, 1, 1))) * np.exp(random.normal(size=(1, 9, 1)))
    assert np.abs(balanced(value) - balanced(scaled)).max() < 0.05
    assert np.isfinite(balanced(np.zeros((8, 8, 1)))).all()


def test_very_many_units_are_assigned_by_nearest_neighbours() -> None:
    order = np.random.default_rng(0).permutation(1500)
    assert (assigned(np.eye(1500)[order]) == order).all()
    assert sorted(assigned(np.random.default_rng(1).normal(size=(1100, 1100)))) == list(range(1100))


def test_nothing_to_match() -> None:
    assert match([]) is None
