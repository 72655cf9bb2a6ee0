"""Whatever a suspect answers, nobody is accused by an accident of arithmetic (case A3): all methods and watermarks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birthmark import registry
from birthmark.answers import as_labels
from birthmark.claim import Claim
from birthmark.errors import BirthmarkError
from birthmark.evidence import Verdict
from birthmark.types import Floats
from birthmark.verdict import conclude
from registered import METHODS, NAMES, claimed

VALUES = tuple(n for n in METHODS if "values" in registry.found("methods")[n].tasks and n != "moments")
CASES = [*((name, False) for name in NAMES), *((name, True) for name in VALUES)]
NOT_FINITE = st.sampled_from([np.nan, np.inf, -np.inf])
EXTREME = st.sampled_from([1.797e308, -1.797e308, 1e308, 1e200, -1e154, 3.4e38, -3.4e38, 1e30])
SMALL = st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1e-310, 2.2e-308])


def ends(claim: Claim, answers: Floats) -> Verdict | None:
    """The verdict, by whichever null accuses more; None for an error of ours. Any other error is a failure."""
    found = []
    for null in ("placebos", "references"):
        try:
            found.append(conclude(claim, answers, 0.5, null).verdict)
        except BirthmarkError:
            continue
    return Verdict.SUPPORTED if Verdict.SUPPORTED in found else found[0] if found else None


@pytest.mark.parametrize(("name", "values"), CASES)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_numbers_that_are_none_or_absurd_accuse_nobody(name: str, values: bool, data: st.DataObject) -> None:
    """Some of the source's own answers, which alone would be supported, are spoilt."""
    claim, rows = claimed(name, values)
    odd = data.draw(NOT_FINITE | EXTREME, "value")
    q = data.draw(st.sampled_from([len(rows), len(rows) // 2]), "queries")
    places = data.draw(st.lists(st.integers(0, q * rows.shape[1] - 1), min_size=1, max_size=20), "places")
    answers = (as_labels(rows) if data.draw(st.booleans(), "labels") and not values else rows)[:q].copy()
    answers.flat[places] = odd
    assert ends(claim, answers) is not Verdict.SUPPORTED


@pytest.mark.parametrize(("name", "values"), CASES)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_answers_without_content_accuse_nobody(name: str, values: bool, data: st.DataObject) -> None:
    """One row for all queries, ties of all classes, and numbers next to nothing."""
    claim, rows = claimed(name, values)
    if len(rows) < 20:
        return
    k = rows.shape[1]
    constant = st.integers(0, k - 1).map(lambda c: np.eye(k)[c]) | st.just(np.full(k, 1 / k)) | st.just(rows[0])
    row = data.draw(constant | SMALL.map(lambda value: np.full(k, value)), "row")
    answers = np.repeat(row[None], len(rows), axis=0)
    assert ends(claim, answers) is not Verdict.SUPPORTED
    noise = np.array(data.draw(st.lists(SMALL, min_size=7, max_size=7), "noise"))
    assert ends(claim, answers + np.resize(noise, answers.shape)) is not Verdict.SUPPORTED


@pytest.mark.parametrize(("name", "values"), CASES)
def test_a_score_tied_with_a_placebo_is_beaten(name: str, values: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, rows = claimed(name, values)
    cls = type(registry.scorer(claim))
    real = cls.scores

    def tied(self, one, candidates):
        found = real(self, one, candidates)
        return [type(s)(max((s.source, *s.placebos)), (s.source,) * len(s.placebos), 0.0) for s in found]

    monkeypatch.setattr(cls, "scores", tied)
    assert ends(claim, rows) is not Verdict.SUPPORTED
