"""What makes answers unreadable or doubtful, from the suspect's and the references' answers alone."""

import numpy as np
import pytest

from birthmark.claim import Claim, Task
from birthmark.scoring.sanity import Doubt, absurd, agreement, doubt, matched_order


def claim(references: np.ndarray, values: bool = False) -> Claim:
    q, k = references.shape[1:]
    return Claim(
        "any", {}, Task((1,), k, values), 0, {"queries": np.zeros((q, 1), np.float32), "references": references}
    )


def classes(share: float = 1.0, n: int = 5, q: int = 60, k: int = 6) -> tuple[Claim, np.ndarray]:
    """References that agree on a share of queries, and what most of them say."""
    random = np.random.default_rng(0)
    truth = random.integers(k, size=q)
    said = np.where(random.random((n, q)) < share, truth, random.integers(k, size=(n, q)))
    return claim(np.eye(k)[said]), truth


def test_plain_answers_are_not_absurd() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(4, 30, 2))
    assert absurd(claim(values, values=True), values[0] * 100) == ""
    assert absurd(claim(np.full((4, 30, 2), 0.5)), np.eye(2)[random.integers(2, size=30)]) == ""


@pytest.mark.parametrize(("factor", "found"), [(999.9, False), (1000.1, True), (-1000.1, True), (-999.9, False)])
def test_values_are_absurd_from_a_thousand_ranges_on(factor: float, found: bool) -> None:
    known = np.linspace(2, 4, 120).reshape(4, 30, 1)  # range 2, middle 3
    answers = np.linspace(2, 4, 30)[:, None]
    answers[7] = 3 + 2 * factor
    why = absurd(claim(known, values=True), answers)
    assert bool(why) is found
    said = "1 of 30 answers lie more than 1000 times the range of the owner's independent models"
    assert (said in why, f"(2 to 4) away, up to {abs(answers[7, 0]):.3g}" in why) == (found, found)


def test_probabilities_are_held_against_zero_to_one() -> None:
    some, _ = classes()
    answers = np.tile([0.2, 0.8, 0, 0, 0, 0], (60, 1))
    answers[0], answers[1, 1] = 0.5, 1001
    assert "1 of 60 answers lie more than 1000 times" in absurd(some, answers)
    answers[1, 1] = 1000
    assert absurd(some, answers) == ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_not_finite_are_absurd(value: float) -> None:
    some, truth = classes()
    answers = np.eye(6)[truth]
    answers[3:5, 1] = value
    assert absurd(some, answers) == "2 of 60 answers hold NaN or infinity"


def test_one_answer_to_twenty_queries_says_nothing() -> None:
    known = np.random.default_rng(0).normal(size=(4, 30, 2))
    same = np.ones((20, 2))
    assert absurd(claim(known, values=True), same) == "all 20 queries are answered alike"
    assert absurd(claim(known, values=True), same[:19]) == ""
    nearly = same.copy()
    nearly[3, 1] += 1e-10
    assert absurd(claim(known, values=True), nearly) == "all 20 queries are answered alike"
    nearly[3, 1] += 1e-6
    assert absurd(claim(known, values=True), nearly) == ""
    assert (
        absurd(claim(np.ones((4, 30, 2)), values=True), 1e300 * (1 + np.eye(20)[:, :2])) == ""
    )  # no range to speak of
    assert absurd(claim(known[:0], values=True), same * 1e300) == ""


def test_a_suspect_that_agrees_raises_no_doubt() -> None:
    some, truth = classes(0.8)
    assert doubt(some, np.eye(6)[truth]) == Doubt("", shuffled=False)


def test_another_order_of_classes_is_named() -> None:
    some, truth = classes()
    order = [2, 0, 1, 4, 5, 3]
    found = doubt(some, np.eye(6)[truth][:, order])
    assert found.shuffled
    back = list(np.argsort(order))
    assert f"with its classes in about the order {list(map(int, back))} it would agree" in found.why
    assert "on 0% of queries, where those agree on 100%" in found.why


def test_nonsense_is_doubted_but_not_shuffled() -> None:
    some, _ = classes()
    found = doubt(some, np.eye(6)[np.random.default_rng(1).integers(6, size=60)])
    assert found.why.endswith("is probably not as declared, or it answers another task")
    assert not found.shuffled


def test_agreement_of_half_of_what_is_usual_is_enough() -> None:
    some, truth = classes()
    for right, doubted in ((30, False), (29, True)):
        said = np.where(np.arange(60) < right, truth, (truth + 1 + np.arange(60) % 5) % 6)
        assert bool(doubt(some, np.eye(6)[said]).why) is doubted


def test_where_nothing_can_be_said_nothing_is() -> None:
    some, truth = classes()
    shuffled = np.eye(6)[truth][:, [1, 2, 3, 4, 5, 0]]
    assert doubt(some, shuffled[:20]).why
    assert doubt(some, shuffled[:19]) == Doubt()  # too few queries
    assert doubt(claim(some.references[:3]), shuffled).why
    assert doubt(claim(some.references[:2]), shuffled) == Doubt()  # too few references
    assert doubt(claim(some.references, values=True), shuffled) == Doubt()
    assert doubt(some, shuffled[:, :5]) == Doubt()  # other classes
    quarrelling, _ = classes(0.1)
    assert doubt(quarrelling, shuffled) == Doubt()  # references disagree themselves


def test_agreement_and_orders() -> None:
    votes = np.array([[2.0, 1, 0], [0, 0, 3], [1, 2, 0], [0, 1, 2]])
    assert agreement(np.array([0, 2, 0, 0]), votes) == 0.5
    assert list(matched_order(np.array([1, 1, 2, 0]), np.array([0, 0, 1, 2]), 3)) == [1, 2, 0]
