"""Kinship: symmetric in the owners, blind to what they share, and powerful where it should be."""

from dataclasses import replace

import numpy as np
import pytest

from birthmark import registry, stats
from birthmark.claim import Claim, Task
from birthmark.errors import SettingError, ShapeError
from birthmark.evidence import Evidence, Verdict
from birthmark.methods.kinship import Kinship
from birthmark.methods.lineage import Lineage
from birthmark.oracle import Function
from birthmark.scoring.likeness import disagreement
from birthmark.types import Answers
from birthmark.verdict import nulls_of
from birthmark.verify import Terms, verify
from birthmark.workshop.cohort import reference_cards, treated_cards
from birthmark.workshop.owner import Owner


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
    independent = {"references": probabilities(random, 3, 300, 5), "treated": probabilities(random, 3, 2, 300, 5)}
    if labels:
        suspect = np.eye(5)[suspect.argmax(1)]
    order = random.permutation(6)
    one = Kinship().score(claim_of(owners, **independent), suspect)
    other = Kinship().score(claim_of(owners[order], **independent), suspect)
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


def test_what_pruned_independents_have_in_common_is_no_owners() -> None:
    """A source that happens to answer as pruned models do accuses a pruned innocent, unless pruned references are
    regressed out.
    """
    random = np.random.default_rng(4)
    owners, pruning = random.normal(size=(8, 200, 5)), random.normal(size=(200, 5))
    owners[0] += pruning
    references = random.normal(size=(4, 200, 5))
    treated = (references + 2 * pruning)[:, None] + 0.3 * random.normal(size=(4, 2, 200, 5))
    innocent = random.normal(size=(200, 5)) + 2 * pruning

    def z(**tensors: np.ndarray) -> float:
        claim = Claim(
            "kinship",
            {},
            Task((2,), 5, True),
            0,
            {"queries": np.zeros((200, 2), np.float32), "owners": owners, **tensors},
        )
        scores = Kinship().score(claim, innocent)
        return stats.standardised(scores.source, scores.placebos)

    assert z(references=references) > 5
    assert z(references=references, treated=treated) < 2


def test_treated_references_wait_until_there_are_ten_numbers_a_regressor() -> None:
    random = np.random.default_rng(5)
    owners, references, treated, suspect = (random.normal(size=(*n, 200, 1)) for n in ((8,), (2,), (2, 2), ()))
    tensors = {"queries": np.zeros((200, 2), np.float32), "owners": owners, "references": references}
    plain = Claim("kinship", {}, Task((2,), 1, values=True), 0, tensors)
    claim = replace(plain, tensors={**tensors, "treated": treated})
    enough = 10 * (8 + 2 + 4)  # one output
    assert Kinship().score(claim, suspect[: enough - 1]) == Kinship().score(plain, suspect[: enough - 1])
    assert Kinship().score(claim, suspect[:enough]) != Kinship().score(plain, suspect[:enough])


def test_references_and_what_was_made_of_them_are_enrolled(owner: Owner, made: Claim) -> None:
    q, k = made.tensors["owners"].shape[1:]
    assert made.treated.shape == (2, 2, q, k)
    references = reference_cards(owner.card, 2)
    first, second = ({card.attack for card in cards} for cards in treated_cards(owner.card, references, 2))
    assert first == second == {"distill", "ftal"}
    assert all(
        card.parents == (parent.key,)
        for parent, cards in zip(references, treated_cards(owner.card, references, 2), strict=True)
        for card in cards
    )
    alone = Kinship(queries=60, placebos=6, references=0).fit(owner, seed=0)
    assert alone.tensors.keys() == {"queries", "owners"}


def test_a_reference_is_judged_without_what_was_made_of_it(made: Claim) -> None:
    scores = nulls_of(made, made.references[0]).references
    for i, found in enumerate(scores):
        rest = {
            key: np.delete(value, i, axis=0) if key in ("references", "treated") else value
            for key, value in made.tensors.items()
        }
        alone = Claim("kinship", {}, made.task, 0, rest)
        expected = Kinship().score(alone, made.references[i])
        assert np.allclose([found.source, *found.placebos], [expected.source, *expected.placebos], rtol=1e-9, atol=1e-9)


def test_a_suspect_no_closer_than_a_treated_reference_is_not_accused() -> None:
    """A student of a reference lies closer to the source than the suspect does, and no untreated reference shows it."""
    random = np.random.default_rng(6)
    owners, references, treated = (random.normal(size=(*n, 100, 9)) for n in ((20,), (4,), (4, 1)))
    treated[0, 0] += owners[0]
    suspect = 0.5 * owners[0] + random.normal(size=(100, 9))
    tensors = {"queries": random.random((100, 2), dtype=np.float32), "owners": owners, "references": references}
    plain = Claim("kinship", {"placebos": 19}, Task((2,), 9, values=True), 0, tensors)
    claim = replace(plain, tensors={**tensors, "treated": treated})

    def judged(claim: Claim, null: str = "placebos") -> Evidence:
        return verify(
            claim, Function(lambda x: suspect[: len(x)], Answers.VALUES), alpha=0.05, null=null, terms=Terms(repeats=0)
        )

    evidence = judged(claim)
    assert judged(plain).verdict is Verdict.SUPPORTED
    assert (evidence.p_value, evidence.verdict) == (0.05, Verdict.INCONCLUSIVE)
    assert (len(evidence.references_z), len(evidence.treated_z)) == (4, 4)
    assert evidence.treated_z[0] > evidence.z > max(evidence.references_z)
    assert judged(claim, null="references").n_placebos == 4


def test_labels_are_judged_without_treated_references(made: Claim) -> None:
    labels = np.eye(10)[made.tensors["owners"][0].argmax(1)]
    evidence = verify(made, Function(lambda x: labels[: len(x)], Answers.LABELS), alpha=0.2, terms=Terms(repeats=0))
    assert len(evidence.references_z) == 2


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
    with pytest.raises(SettingError, match=r"kinship: expected placebos in \[2, inf\), got 1"):
        Kinship(placebos=1)
    for method in (Kinship, Lineage):
        for treated in (-1,) if method is Kinship else (-1, 0):  # who enrols from answers may have none
            with pytest.raises(SettingError, match=r"expected treated in \[[01], inf\), got"):
                method(treated=treated)
    with pytest.raises(ShapeError, match=r"expected answers of shape \(60, 10\), got \(60, 9\)"):
        Kinship().score(made, np.full((60, 9), 1 / 9))


@pytest.mark.parametrize("method", ["kinship", "lineage"])
def test_claims_of_earlier_versions_are_scored_or_refused_with_the_way_on(made: Claim, method: str) -> None:
    earlier = {"regress": True, "affine": True, "centring": 0.5} | (
        {"centring_from": 200} if method == "kinship" else {}
    )
    claim = replace(made, method=method, settings={"queries": 300, **earlier})
    assert registry.scorer(claim) == registry.make("methods", method, {"queries": 300})
    with pytest.raises(SettingError, match=r"enrolled with regress=False by an earlier version.*enroll again"):
        registry.scorer(replace(claim, settings={**claim.settings, "regress": False}))


def test_ties_of_an_earlier_version_are_scored_or_refused_with_the_way_on(made: Claim) -> None:
    claim = replace(made, method="dynamarks-ties", settings={"most": 300, "views": 1})
    assert registry.scorer(claim) == registry.make("watermarks", "dynamarks-ties", {"most": 300})
    with pytest.raises(SettingError, match=r"enrolled with views=5 by an earlier version.*birthmark key claim --log"):
        registry.scorer(replace(claim, settings={"views": 5}))


def test_top_k_answers_are_compared_on_the_classes_they_show() -> None:
    random = np.random.default_rng(3)
    owners = probabilities(random, 8, 300, 6)
    for k in (1, 2, 4):
        floor = np.sort(owners[3], axis=1)[:, -k][:, None]
        shown = np.where(owners[3] >= floor, owners[3], 0.0)
        found = Kinship().score(claim_of(owners), shown)
        assert np.argmax([found.source, *found.placebos]) == 3
