"""Kinship: symmetric in the owners, blind to what they share, and powerful where it should be."""

import numpy as np
import pytest

from birthmark.claim import Claim, Task
from birthmark.errors import SettingError, ShapeError
from birthmark.methods.kinship import Kinship
from birthmark.owner import Owner
from birthmark.scoring.likeness import disagreement


def probabilities(random: np.random.Generator, *shape: int) -> np.ndarray:
    raw = np.exp(2 * random.normal(size=shape))
    return raw / raw.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def made(owner: Owner) -> Claim:
    return Kinship(queries=60, placebos=6, references=2).fit(owner, seed=0)


def claim_of(owners: np.ndarray, **tensors: np.ndarray) -> Claim:
    queries = np.zeros((owners.shape[1], 2), dtype=np.float32)
    return Claim("kinship", {}, Task((2,), owners.shape[2]), 0, {"queries": queries, "owners": owners, **tensors})


@pytest.mark.parametrize("labels", [False, True])
def test_relabelling_the_owners_relabels_the_scores(labels: bool) -> None:
    random = np.random.default_rng(0)
    owners, suspect = probabilities(random, 6, 300, 5), probabilities(random, 300, 5)
    references = probabilities(random, 3, 300, 5)
    if labels:
        suspect = np.eye(5)[suspect.argmax(1)]
    order = random.permutation(6)
    one = Kinship().score(claim_of(owners, references=references), suspect)
    other = Kinship().score(claim_of(owners[order], references=references), suspect)
    scores = np.array([one.source, *one.placebos])
    assert np.allclose(scores[order], [other.source, *other.placebos])


@pytest.mark.parametrize("labels", [False, True])
def test_an_owner_as_suspect_scores_highest_on_itself(labels: bool) -> None:
    random = np.random.default_rng(1)
    owners = probabilities(random, 8, 200, 5)
    for j in range(8):
        suspect = np.eye(5)[owners[j].argmax(1)] if labels else owners[j]
        found = Kinship().score(claim_of(owners), suspect)
        assert np.argmax([found.source, *found.placebos]) == j


def test_queries_are_those_of_most_disagreement_by_a_symmetric_rule(owner: Owner, made: Claim) -> None:
    random = np.random.default_rng(2)
    owners = probabilities(random, 5, 50, 4)
    assert np.allclose(disagreement(owners), disagreement(owners[::-1]))
    spread = disagreement(made.tensors["owners"])
    assert np.all(np.diff(spread) <= 1e-9)
    assert len(made.queries) <= 0.4 * len(owner.pool)


def test_the_same_seed_gives_the_same_claim(owner: Owner, made: Claim) -> None:
    again = Kinship(queries=60, placebos=6, references=2).fit(owner, seed=0)
    assert all(np.array_equal(again.tensors[key], value) for key, value in made.tensors.items())


def test_bad_settings_and_shapes_are_named(made: Claim) -> None:
    with pytest.raises(SettingError, match="at least 2 placebos"):
        Kinship(placebos=1)
    with pytest.raises(ShapeError, match=r"expected answers of shape \(60, 10\), got \(60, 9\)"):
        Kinship().score(made, np.full((60, 9), 1 / 9))


def test_top_k_answers_are_compared_on_the_classes_they_show() -> None:
    random = np.random.default_rng(3)
    owners = probabilities(random, 8, 300, 6)
    for k in (1, 2, 4):
        floor = np.sort(owners[3], axis=1)[:, -k][:, None]
        shown = np.where(owners[3] >= floor, owners[3], 0.0)
        found = Kinship().score(claim_of(owners), shown)
        assert np.argmax([found.source, *found.placebos]) == 3
