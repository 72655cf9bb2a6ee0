"""TAFA: copies of the weights stand out, innocents do not, and every owner is treated alike."""

from dataclasses import replace

import numpy as np
import pytest

from birthmark import stats
from birthmark.claim import Claim, Scores
from birthmark.errors import AccessError, SettingError, ShapeError
from birthmark.methods.tafa import Tafa
from birthmark.oracle import Function, HardLabels, Rounded, TopK
from birthmark.scoring.kinks import Rounds, bend_weights, logs, second_differences
from birthmark.types import Answers
from birthmark.verify import verify
from birthmark.workshop.training import outputs, probabilities
from birthmark.workshop.whitebox import Open
from tasks_bench import Workshop, diabetes, digits

METHOD = Tafa(queries=180, placebos=9, references=4)


@pytest.fixture(scope="module")
def regression() -> tuple[Workshop, Claim]:
    return diabetes(), METHOD.fit(diabetes().owner(), seed=0)


@pytest.fixture(scope="module")
def classes() -> tuple[Workshop, Claim]:
    return digits(), METHOD.fit(digits().owner(), seed=0)


def rank(scores: Scores) -> float:
    return stats.rank_p(scores.source, scores.placebos)


def z(scores: Scores) -> float:
    return stats.standardised(scores.source, scores.placebos)


@pytest.mark.parametrize(
    ("attack", "settings"),
    [("ftal", {"epochs": 2}), ("prune", {"amount": 0.3}), ("quantise", {"bits": 4}), ("weight-noise", {"level": 0.1})],
)
def test_copies_of_regressors_rank_first(
    regression: tuple[Workshop, Claim], attack: str, settings: dict[str, object]
) -> None:
    task, claim = regression
    scores = METHOD.score(claim, outputs(task.stolen(attack, **settings), claim.queries))
    assert rank(scores) == 0.1
    assert z(scores) > 3


@pytest.mark.parametrize(
    ("attack", "settings"),
    [("ftal", {"epochs": 1, "rate": 1e-4}), ("prune", {"amount": 0.3}), ("quantise", {"bits": 8})],
)
def test_copies_of_convolutional_classifiers_rank_first(
    classes: tuple[Workshop, Claim], attack: str, settings: dict[str, object]
) -> None:
    task, claim = classes
    scores = METHOD.score(claim, probabilities(task.stolen(attack, **settings), claim.queries))
    assert rank(scores) == 0.1
    assert z(scores) > 3


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
    permuted = {key: claim.tensors[key][order] for key in ("owners", "clipped")}
    other = replace(claim, tensors={**claim.tensors, **permuted})
    first, second = (
        np.array([s.source, *s.placebos]) for s in (METHOD.score(claim, answers), METHOD.score(other, answers))
    )
    assert np.allclose(first[order], second)


def test_a_prefix_is_scored_by_its_whole_rounds(regression: tuple[Workshop, Claim]) -> None:
    task, claim = regression
    answers = outputs(task.stolen("prune", amount=0.3), claim.queries)
    assert len(claim.queries) == 180
    assert METHOD.score(claim, answers[:89]) == METHOD.score(claim, answers[:60])
    assert rank(METHOD.score(claim, answers[:60])) == 0.1
    with pytest.raises(ShapeError, match="at least 30 queries"):
        METHOD.score(claim, answers[:29])


def test_every_owner_has_its_own_kinks_in_every_round(classes: tuple[Workshop, Claim]) -> None:
    _, claim = classes
    assert claim.queries.shape == (180, 1, 8, 8)
    assert claim.queries.min() >= 0
    assert claim.queries.max() <= 1
    bends = np.abs(second_differences(logs(claim.tensors["owners"], 1e-6), 0.0)).sum(axis=2)  # (m, kinks)
    own = np.array([bends[j, j::10].mean() for j in range(10)])
    assert (own > 0).all()
    assert len(np.unique(claim.queries.reshape(180, -1), axis=0)) > 170


def test_the_same_seed_gives_the_same_claim(classes: tuple[Workshop, Claim]) -> None:
    again = METHOD.fit(classes[0].owner(), seed=0)
    assert all(np.array_equal(again.tensors[key], value) for key, value in classes[1].tensors.items())
    assert not np.array_equal(METHOD.fit(classes[0].owner(), seed=1).queries, classes[1].queries)


def test_an_api_that_clips_its_inputs_is_noticed() -> None:
    task = diabetes()
    method = replace(METHOD, starts="wide")
    claim = method.fit(task.owner(), seed=0)
    pool = task.data["queries"].inputs
    low, high = pool.min(axis=0), pool.max(axis=0)
    assert "clipped" in claim.tensors
    stolen = task.stolen("quantise", bits=4)
    boxed = outputs(stolen, np.clip(claim.queries, low, high))
    sent, clipped = claim.tensors["owners"], claim.tensors["clipped"]
    rounds = Rounds(sent, clipped, True, method.temper, method.ridge)
    for answers, points in ((boxed, clipped), (outputs(stolen, claim.queries), sent)):
        expected = bend_weights(points, answers, True, temper=method.temper, ridge=method.ridge)
        assert np.allclose(rounds.weights([(answers, None)])[0], expected)
    assert rank(method.score(claim, boxed)) == 0.1
    blind = replace(claim, tensors={key: value for key, value in claim.tensors.items() if key != "clipped"})
    assert z(method.score(claim, boxed)) > z(method.score(blind, boxed))


def test_rounded_and_top_3_probabilities_still_serve_and_labels_are_refused(classes: tuple[Workshop, Claim]) -> None:
    task, claim = classes
    copy = Open(task.stolen("ftal", epochs=1, rate=1e-4))
    for shown in (Rounded(copy, 2), TopK(copy, 3)):
        assert rank(METHOD.score(claim, shown(claim.queries))) <= 0.2
    with pytest.raises(ShapeError, match="use kinship"):
        METHOD.score(claim, HardLabels(copy)(claim.queries))
    with pytest.raises(AccessError, match="kinship"):
        verify(claim, HardLabels(copy), alpha=0.2)


def test_values_rounded_to_a_hundredth_cost_no_verdict(regression: tuple[Workshop, Claim]) -> None:
    task, claim = regression
    for suspect in (task.stolen("quantise", bits=4), task.stolen("ftal", epochs=2)):
        rounded = METHOD.score(claim, np.round(outputs(suspect, claim.queries), 2))
        assert rank(rounded) == 0.1
        assert z(rounded) > 3


def test_constant_suspects_and_other_widths(regression: tuple[Workshop, Claim]) -> None:
    _, claim = regression
    scores = METHOD.score(claim, np.zeros((180, 1)))
    assert np.isfinite([scores.source, *scores.placebos]).all()
    with pytest.raises(ShapeError, match="1 outputs"):
        METHOD.score(claim, np.zeros((180, 2)))


def test_verify_reaches_a_verdict(regression: tuple[Workshop, Claim]) -> None:
    task, claim = regression
    guilty = verify(claim, Open(task.stolen("ftal", epochs=2), Answers.VALUES), alpha=0.1)
    assert guilty.verdict == "supported"
    assert guilty.queries == 180
    noisy = np.random.default_rng(0)
    shaky = verify(claim, Function(lambda x: noisy.normal(size=(len(x), 1)), Answers.VALUES), alpha=0.1)
    assert any("randomised" in note for note in shaky.notes)


def test_bad_settings_and_networks_without_kinks(regression: tuple[Workshop, Claim]) -> None:
    with pytest.raises(SettingError, match="expected placebos in"):
        Tafa(placebos=1)
    with pytest.raises(SettingError, match="raise them to 60"):
        Tafa(queries=30)
    with pytest.raises(SettingError, match="starts"):
        Tafa(starts="nowhere")
