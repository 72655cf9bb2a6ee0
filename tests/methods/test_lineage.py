"""Lineage: kinks and plain answers in one claim; every owner is treated alike."""

from dataclasses import replace

import numpy as np
import pytest

from birthmark import stats
from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError, ShapeError
from birthmark.methods.lineage import Lineage, _in_turns
from birthmark.oracle import HardLabels
from birthmark.scoring.kinks import others_rows
from birthmark.verify import Terms, verify
from birthmark.workshop.training import outputs, probabilities
from birthmark.workshop.whitebox import Open
from formulas import left_out
from tasks_bench import Workshop, diabetes, digits

METHOD = Lineage(queries=180, placebos=9, references=4)


@pytest.fixture(scope="module")
def regression() -> tuple[Workshop, Claim]:
    return diabetes(), replace(METHOD, starts="wide").fit(diabetes().owner(), seed=0)


@pytest.fixture(scope="module")
def classes() -> tuple[Workshop, Claim]:
    return digits(), METHOD.fit(digits().owner(), seed=0)


def rank(scores: Scores) -> float:
    return stats.rank_p(scores.source, scores.placebos)


def test_blocks_of_plain_queries_and_of_kinks_come_in_turns(classes: tuple[Workshop, Claim]) -> None:
    _, claim = classes
    kink = claim.tensors["kink"]
    assert (len(kink), kink.sum()) == (180, 90)
    assert kink[:120].tolist() == [0] * 30 + [1] * 30 + [0] * 30 + [1] * 30
    assert _in_turns(7, 4, 3).tolist() == [0, 1, 2, 7, 8, 9, 3, 4, 5, 10, 6]


@pytest.mark.parametrize(
    ("attack", "settings"), [("ftal", {"epochs": 2}), ("prune", {"amount": 0.3}), ("distill", {"student": "mlp"})]
)
def test_copies_and_students_rank_first(
    regression: tuple[Workshop, Claim], attack: str, settings: dict[str, object]
) -> None:
    task, claim = regression
    assert rank(METHOD.score(claim, outputs(task.stolen(attack, **settings), claim.queries))) <= (
        0.2 if attack == "distill" else 0.1
    )


def test_innocents_are_accused_no_more_often_than_chance_allows(regression: tuple[Workshop, Claim]) -> None:
    task, claim = regression
    p = [
        rank(METHOD.score(claim, outputs(task.innocent(300 + i, ("innocent", "owner")[i % 2]), claim.queries)))
        for i in range(20)
    ]
    assert sum(value <= 0.1 for value in p) <= 6  # binomial of 20 trials at .1: more than 6 happens once in 400 runs


def test_relabelling_the_owners_relabels_the_scores(regression: tuple[Workshop, Claim]) -> None:
    task, claim = regression
    answers = outputs(task.innocent(300), claim.queries)
    order = np.random.default_rng(0).permutation(10)
    other = replace(
        claim, tensors={**claim.tensors, **{key: claim.tensors[key][order] for key in ("owners", "clipped")}}
    )
    first, second = (
        np.array([s.source, *s.placebos]) for s in (METHOD.score(claim, answers), METHOD.score(other, answers))
    )
    assert np.allclose(first[order], second)


def test_labels_are_scored_by_plain_answers_alone(classes: tuple[Workshop, Claim]) -> None:
    task, claim = classes
    copy = Open(task.stolen("quantise", bits=8))
    labels = HardLabels(copy)(claim.queries)
    plain = claim.tensors["kink"] == 0
    spoiled = np.where(plain[:, None], labels, np.eye(10)[0])
    assert METHOD.score(claim, labels) == METHOD.score(claim, spoiled)
    assert rank(METHOD.score(claim, labels)) == 0.1


def test_a_left_out_twin_takes_its_own_kinks_with_it(classes: tuple[Workshop, Claim]) -> None:
    task, claim = classes
    assert others_rows(13, 2, 1).tolist() == [0, 1, 2, 6, 7, 8]
    small, rows = left_out(claim, 3, 180)
    assert (len(rows), len(small.tensors["owners"])) == (180 - 9, 9)
    twin = task.owner().twins(9)[3]
    assert np.allclose(rows, probabilities(twin, small.queries), atol=1e-5)
    assert len(verify(claim, Open(task.stolen("quantise", bits=8)), alpha=0.1, terms=Terms(repeats=0)).reruns_z) == 9


def test_bad_settings_and_shapes(regression: tuple[Workshop, Claim]) -> None:
    with pytest.raises(SettingError, match="raise them to 120"):
        Lineage(queries=100)
    with pytest.raises(SettingError, match="starts"):
        Lineage(starts="nowhere")
    with pytest.raises(ShapeError, match="1 outputs"):
        METHOD.score(regression[1], np.zeros((180, 2)))
    with pytest.raises(ShapeError, match="ask more"):
        METHOD.score(regression[1], np.zeros((0, 1)))
