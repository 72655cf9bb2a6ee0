"""The report on a judgement: what an expert needs, and no more than was found."""

from typing import Any

import pytest

from birthmark.report.judgement import Ratio, likelihood, page

NUMBERS: dict[str, Any] = {
    **{"suspect": "<b>theirs</b>", "p_value": 0.05, "n_placebos": 19, "null": "placebos", "z": 4.0, "queries": 100},
    **{"answers": "probabilities", "claim": "0" * 64},
}


def power(*ranks: float, answers: str = "probabilities") -> dict[str, Any]:
    return {"power": [{"answers": answers, "by_queries": [{"p": 1.0}, {"p": rank}]} for rank in ranks]}


def judgement(finding: str) -> dict[str, Any]:
    checks = [
        {"name": "numbers", "outcome": "held", "words": "every number follows"},
        {"name": "asked", "outcome": "not done", "words": "nobody but the accuser has asked the suspect"},
    ]
    return {"finding": finding, "reason": "because", "checks": checks, "numbers": NUMBERS, "alpha": 0.05}


def test_a_ratio_is_the_share_of_thefts_found_over_p() -> None:
    found = likelihood(power(0.05, 0.05, 0.5), NUMBERS)
    assert found is not None
    assert (found.found, found.tried, round(found.value, 2)) == (2, 3, 13.33)
    assert found.low < found.value < found.high
    assert likelihood(power(0.05, answers="labels"), NUMBERS) is None
    assert likelihood({}, NUMBERS) is None
    assert likelihood(power(0.05), {**NUMBERS, "p_value": None}) is None


@pytest.mark.parametrize(
    ("low", "verbal"), [(0.5, "no support"), (2.0, "weak support"), (150, "moderately strong support")]
)
def test_the_words_follow_the_lower_end(low: float, verbal: str) -> None:
    assert Ratio(1e9, low, 1e9, 3, 3).verbal == verbal


@pytest.mark.parametrize("finding", ["upheld", "rejected", "inconclusive"])
def test_the_page_holds_what_an_expert_needs(finding: str) -> None:
    html = page(judgement(finding), power(0.05, 0.05, 0.05))
    for part in ("Proposition of the accuser", "Proposition of the accused", "Error rates", "not tested", "can rebut"):
        assert part in html
    assert "95 % interval" in html
    assert "nobody but the accuser has asked the suspect." in html
    assert "stolen" not in html
    assert "<b>theirs" not in html
    assert "None can be had" in page(judgement(finding), {})
