from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birthmark import stats
from birthmark.evidence import Verdict
from birthmark.report import plots, words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.05, "0.05"),
        (0, "0"),
        (None, "–"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
        (-1.5, "−1.5"),
        (1.6e-12, "1.6 × 10⁻¹²"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_read_as_print(value, text):
    assert words.number(value) == text


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=200), st.floats(-10, 10))
def test_a_rank_p_is_said_as_cases_that_give_it_back(null, score):
    p = stats.rank_p(score, null)
    hits, _, cases = words.chance(p, len(null)).partition(" of ")
    assert int(hits) / int(cases) == pytest.approx(p)


def test_words_never_say_more_than_the_verdict(tested):
    evidence = tested[0][0]
    for null in (words.TWINS, words.KEYS, words.REFERENCES):
        for p in (0.1, 0.2, 1.0):
            text = words.found(replace(evidence, p_value=p), null)
            assert f"(p = {words.number(p)})" in text
            assert f"{round(10 * p)} of 10 cases" in text
        for verdict in Verdict:
            said = (
                words.meaning(replace(evidence, verdict=verdict), null)
                + words.LIMITS[verdict]
                + words.HEADLINE[verdict]
            )
            assert "proves" not in said
            assert ("supports that" in said) == (verdict is Verdict.SUPPORTED)


def test_watermarks_speak_of_keys(tested):
    evidence = tested[0][0]
    assert words.null_of(evidence, watermark=True) is words.KEYS
    assert words.null_of(evidence, watermark=False) is words.TWINS
    assert words.null_of(replace(evidence, null="references"), watermark=True) is words.REFERENCES


def test_many_suspects_are_corrected_and_it_is_said_when_none_can_stand(tested):
    evidence = tested[0][0]
    assert words.several([evidence]) == ""
    assert f"that takes {stats.needed(0.1 / 5)} placebos" in words.several([evidence] * 5)
    strong = replace(evidence, p_value=0.001, n_placebos=999)
    assert "5 stay at or below 0.1." in words.several([strong] * 5)


def test_known_origins_are_counted_with_intervals(tested):
    evidences = tested[0]
    assert words.truth(evidences, ["derived", "", "independent"]) == ""
    low, high = stats.clopper_pearson(0, 1)
    assert (
        f"0 of 1 independent models were supported (95 % interval {words.percent(low)} to {words.percent(high)})"
        in words.truth(evidences, ["derived", "derived", "independent"])
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_axes_keep_order_and_hold_everything(values):
    scale = plots.axis(values)
    places = [scale.at(v) for v in sorted(values)]
    assert places == sorted(places)
    assert all(
        plots.LEFT <= place <= plots.RIGHT for place in [*places, scale.at(float("inf")), scale.at(float("-inf"))]
    )
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)
    assert 2 <= len(scale.ticks) <= 19


def test_what_enrolment_found_is_told_as_far_as_it_is_known():
    facts = {
        "source": {"accuracy": 0.97},
        "twins": {"accuracy": [0.95, 0.98]},
        "self_check": {"n": 8, "accused_at_.05": 0},
    }
    told = dict(words.enrolled(facts))
    assert told["Source"] == "accuracy 97.0 % on held-out data; its twins 95.0 % to 98.0 %"
    assert "0 of the owner’s 8 independent references" in told["Self-check"]
    assert words.enrolled({}) == []
    assert words.enrolled({"source": "x", "twins": [1], "self_check": {"n": "8"}}) == []
