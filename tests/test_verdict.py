"""The only road to a verdict: what every number of a standing can do, and that each guard bites."""

from dataclasses import replace

import pytest

from birthmark.evidence import Verdict
from birthmark.scoring.sanity import Doubt
from birthmark.verdict import Standing, verdict_of

GUILTY = Standing(p=0.05, z=3.0, placebos=19, references=8, treated=16, p_references=1 / 25, p_reruns=0.05)


def test_a_suspect_that_passes_every_guard_is_supported() -> None:
    verdict, reason = verdict_of(GUILTY, 0.05)
    assert verdict is Verdict.SUPPORTED
    assert reason == (
        "p = 0.05 among 19 placebos, and closer to the source than all 8 independent models and the 16 copies and "
        "students of them"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"p_references": 2 / 25},
            "one of the owner's own 8 independent models and the 16 copies and students of them",
        ),
        ({"p_reruns": 0.1}, "reruns of the source's own recipe come as close"),
        ({"margin": 3.4}, "z is 0.40 short of the margin"),
        ({"doubt": Doubt("its classes seem shuffled", shuffled=True)}, "but its classes seem shuffled"),
        ({"placebos": 18, "p": 1 / 19}, "18 placebos cannot give a p below 0.0526"),
    ],
)
def test_each_guard_alone_withholds_the_accusation(change: dict[str, object], said: str) -> None:
    verdict, reason = verdict_of(replace(GUILTY, **change), 0.05)
    assert verdict is Verdict.INCONCLUSIVE
    assert said in reason


@pytest.mark.parametrize("change", [{}, {"p_references": 1.0}, {"p_reruns": 1.0}, {"margin": 9.0}])
def test_guards_never_accuse(change: dict[str, float]) -> None:
    assert verdict_of(replace(GUILTY, p=0.1, **change), 0.05)[0] is Verdict.NOT_SUPPORTED


def test_a_doubt_spoils_an_acquittal_and_no_accusation() -> None:
    odd = Doubt("its input layout is probably not as declared")
    assert verdict_of(replace(GUILTY, doubt=odd), 0.05)[0] is Verdict.SUPPORTED
    verdict, reason = verdict_of(replace(GUILTY, p=0.1, doubt=odd), 0.05)
    assert verdict is Verdict.INCONCLUSIVE
    assert "input layout" in reason


def test_ranks_among_references_support_nothing_that_was_crafted_against_their_like() -> None:
    plain = Standing(p=0.05, z=3.0, null="references", references=19)
    assert verdict_of(plain, 0.05)[0] is Verdict.SUPPORTED
    verdict, reason = verdict_of(replace(plain, crafted_against=True), 0.05)
    assert verdict is Verdict.INCONCLUSIVE
    assert "crafted against independents" in reason
