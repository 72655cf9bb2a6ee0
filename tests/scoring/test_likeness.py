"""Likeness of plain answers: what is compared, what is regressed out, what is centred."""

from dataclasses import replace

import numpy as np
import pytest

from birthmark.answers import as_labels
from birthmark.claim import Candidate, Claim, Task
from birthmark.scoring.likeness import How, centred_closeness, disagreement, log_centred
from formulas import closeness, mixture
from formulas import log_centred as log_seen


def simplex(*shape: int, seed: int = 0) -> np.ndarray:
    rows = np.exp(np.random.default_rng(seed).normal(size=shape))
    return rows / rows.sum(axis=-1, keepdims=True)


def claim(owners: np.ndarray, references: np.ndarray, treated: np.ndarray, values: bool) -> Claim:
    q, k = owners.shape[1:]
    tensors = {"queries": np.zeros((q, 1), np.float32), "owners": owners, "references": references, "treated": treated}
    return Claim("kinship", {}, Task((1,), k, values), 0, tensors)


def found(made: Claim, answers: np.ndarray, how: How) -> np.ndarray:
    return centred_closeness(made, [Candidate(answers)], np.arange(len(answers)), how)[0][0]


def test_logarithms_are_centred() -> None:
    p = np.array([[0.5, 0.3, 0.2]])
    logs = np.log(p + 0.01)
    assert np.allclose(log_centred(p.copy(), 0.01), logs - logs.mean())
    assert np.isfinite(log_centred(-p, 0.01)).all()


@pytest.mark.parametrize(
    ("kind", "hidden"), [("whole", False), ("cut", True), ("half cut", False), ("sum to one", False)]
)
def test_the_top_k_are_seen_where_all_rows_are_cut(kind: str, hidden: bool) -> None:
    rows = simplex(40, 5, seed=1)
    cut = np.where(rows >= np.sort(rows, axis=1)[:, -2:-1], rows, 0)
    kinds = {
        "whole": rows,
        "cut": cut,
        "half cut": np.where(np.arange(40)[:, None] < 20, cut, rows),
        "sum to one": cut / cut.sum(axis=1, keepdims=True),
    }
    answers, owners = kinds[kind], simplex(5, 40, 5)
    seen = answers > 0 if hidden else np.ones_like(answers, dtype=bool)
    mine, theirs = (log_seen(p, 0.01, seen) for p in (owners, answers))
    expected = mixture(mine, theirs, scaled=False)
    assert np.allclose(found(claim(owners, owners[:0], np.zeros((0, 0, 40, 5)), False), answers, How()), expected)


def test_disagreement_is_the_spread_over_owners() -> None:
    owners = np.zeros((2, 3, 2))
    owners[0, 1] = [1.0, 3.0]
    assert list(disagreement(owners)) == [0, 5, 0]


@pytest.mark.parametrize("kind", ["values", "labels", "probabilities", "rounded", "top one"])
def test_each_kind_of_answers_is_compared_in_its_own_way(kind: str) -> None:
    owners, answers, others = simplex(5, 40, 6), simplex(40, 6, seed=1), simplex(3, 40, 6, seed=2)
    how = How(eps=0.02, ridge=0.3)
    if kind == "values":
        expected = mixture(owners, answers, others=others, ridge=0.3, affine=True)
        assert not np.allclose(expected, mixture(owners, answers, others=others, ridge=0.3))
    elif kind in ("labels", "top one"):
        answers = as_labels(answers) * (1 if kind == "labels" else 0.6)
        expected = mixture(owners, as_labels(answers), ridge=0.3, scaled=False)
    else:
        answers = np.round(answers, 1) if kind == "rounded" else answers
        eps = 0.1 if kind == "rounded" else 0.02
        mine, theirs, known = (log_seen(rows, eps) for rows in (owners, answers, others))
        expected = mixture(mine, theirs, others=known, ridge=0.3, scaled=False)
    made = claim(owners, others, np.zeros((3, 0, 40, 6)), kind == "values")
    assert np.allclose(found(made, answers, replace(how, centring=0.0)), expected)


def test_treated_references_are_regressors_from_ten_numbers_each_on() -> None:
    random = np.random.default_rng(0)
    owners, references, treated = (
        random.normal(size=(4, 40, 2)),
        random.normal(size=(2, 40, 2)),
        random.normal(size=(2, 1, 40, 2)),
    )
    made = claim(owners, references, treated, values=True)
    how = How()
    for q, others in ((40, np.concatenate([references, treated[:, 0]])), (39, references)):
        scores, plain = centred_closeness(made, [Candidate(owners[0, :q])], np.arange(q), how)[0]
        assert np.array_equal(scores, plain)
        assert np.allclose(scores, closeness(owners[:, :q], owners[0, :q], True, how, others[:, :q]))


@pytest.mark.parametrize(("labels", "regress"), [(True, True), (True, False), (False, False)])
def test_where_nothing_is_regressed_out_references_centre(labels: bool, regress: bool) -> None:
    owners, references = simplex(4, 60, 5), simplex(3, 60, 5, seed=1)
    made = claim(owners, references, np.zeros((3, 0, 60, 5)), values=False)
    how = How(centring=0.25, regress=regress)
    answers = as_labels(owners[1]) if labels else owners[1]
    places = np.arange(60)
    scores, plain = centred_closeness(made, [Candidate(answers)], places, how)[0]
    known = as_labels(references) if labels else references
    assert np.allclose(plain, closeness(owners, answers, False, how))
    common = np.mean([closeness(owners, rows, False, how) for rows in known], axis=0)
    assert np.allclose(scores, plain - 0.25 * common)
    for bare in (How(centring=0.0, regress=regress), how):
        alone = made if not bare.centring else claim(owners, references[:0], np.zeros((0, 0, 60, 5)), values=False)
        scores, plain = centred_closeness(alone, [Candidate(answers)], places, bare)[0]
        assert np.array_equal(scores, plain)


def test_places_choose_the_queries() -> None:
    owners, references = simplex(4, 60, 5), simplex(3, 60, 5, seed=1)
    made = claim(owners, references, np.zeros((3, 0, 60, 5)), values=False)
    places = np.arange(5, 50, 2)
    found = centred_closeness(made, [Candidate(owners[2], row=2)], places, How())[0][0]
    assert np.allclose(found, closeness(owners[:, places], owners[2, places], False, How(), references[:, places]))
    assert found.argmax() == 2
