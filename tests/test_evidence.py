"""Evidence as plain data."""

import json

import numpy as np
import pytest

from birthmark.evidence import EXIT, Verdict, plain_data


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_null(number: float) -> None:
    assert plain_data({"a": [number, (1.5, number)]}) == {"a": [None, [1.5, None]]}


def test_text_is_clean_and_words_are_words() -> None:
    data = plain_data({"verdict": Verdict.SUPPORTED, "name": "m\x1b[2Jodel", "n": 3, "yes": True})
    assert json.loads(json.dumps(data)) == {"verdict": "supported", "name": "model", "n": 3, "yes": True}


def test_every_verdict_has_an_exit_code_of_its_own() -> None:
    assert {verdict.value: EXIT[verdict] for verdict in Verdict} == {
        "supported": 10,
        "not supported": 0,
        "inconclusive": 3,
    }
    assert plain_data(np.float64(2.5)) == 2.5
