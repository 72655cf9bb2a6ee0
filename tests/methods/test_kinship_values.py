"""Kinship of real values: regressors, several outputs, images; rounding costs nothing; other widths are refused."""

import numpy as np
import pytest

from birthmark import stats
from birthmark.claim import Claim
from birthmark.errors import ShapeError
from birthmark.methods.kinship import Kinship
from birthmark.workshop.training import outputs
from tasks_bench import Workshop, diabetes

METHOD = Kinship(queries=200, placebos=9, references=4)


@pytest.fixture(scope="module")
def regression() -> tuple[Workshop, Claim]:
    return diabetes(), METHOD.fit(diabetes().owner(), seed=0)


def rank(claim: Claim, answers: np.ndarray) -> float:
    scores = METHOD.score(claim, answers)
    return stats.rank_p(scores.source, scores.placebos)


@pytest.mark.parametrize(
    ("attack", "settings"),
    [
        ("ftal", {"epochs": 2}),
        ("quantise", {"bits": 4}),
        ("weight-noise", {"level": 0.1}),
        ("distill", {"student": "mlp:width=32", "epochs": 25}),
    ],
)
def test_copies_and_students_of_a_regressor_rank_first_exact_and_rounded(
    regression: tuple[Workshop, Claim], attack: str, settings: dict[str, object]
) -> None:
    task, claim = regression
    split = "queries[:1500]" if attack == "distill" else "attacker"  # a student needs more inputs than 115 patients
    answers = outputs(task.stolen(attack, split=split, **settings), claim.queries)
    assert rank(claim, answers) == 0.1
    assert rank(claim, np.round(answers, 2)) == 0.1
    assert rank(claim, 1.7 * answers + 3) == 0.1  # a thief who answers in other units


def test_innocent_regressors_are_accused_no_more_often_than_chance_allows(regression: tuple[Workshop, Claim]) -> None:
    task, claim = regression
    accused = sum(
        rank(claim, outputs(task.innocent(300 + i, ("innocent", "owner")[i % 2]), claim.queries)) <= 0.1
        for i in range(20)
    )
    assert accused <= 6  # binomial of 20 trials at .1: more than 6 happens once in 400 runs


def test_images_are_values_with_many_outputs() -> None:
    random = np.random.default_rng(0)
    owners = random.random((6, 30, 64))
    claim = Claim(
        "kinship",
        {},
        diabetes().owner().task.__class__((12,), 64, True),
        0,
        {"queries": np.zeros((30, 12), np.float32), "owners": owners},
    )
    blurred = 0.5 * owners[0] + 0.5 * random.random((30, 64))
    scores = METHOD.score(claim, np.round(blurred * 255) / 255)
    assert stats.rank_p(scores.source, scores.placebos) == 1 / 6
    with pytest.raises(ShapeError, match=r"\(30, 64\)"):
        METHOD.score(claim, blurred[:, :63])
    constant = METHOD.score(claim, np.zeros((30, 64)))
    assert np.isfinite([constant.source, *constant.placebos]).all()
