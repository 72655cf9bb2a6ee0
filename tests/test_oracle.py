"""Oracles around oracles: what they hide, count, record and replay."""

import json
from pathlib import Path

import numpy as np
import pytest

from birthmark.answers import rounding_step
from birthmark.errors import ArtifactError, BudgetError, OracleError
from birthmark.oracle import Function, HardLabels, Metered, Probabilities, Rounded, TopK
from birthmark.transcript import Recorded, Replay, Transcript
from birthmark.types import Access, Answers, Array, Floats

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3))
INPUTS = np.random.default_rng(1).random((20, 4), dtype=np.float32)


def logits(inputs: Array) -> Floats:
    return np.asarray(inputs.astype(float) @ WEIGHTS)


def model() -> Function:
    return Function(logits, Answers.LOGITS, "linear")


def test_wrappers_show_less_and_agree_on_the_top_class() -> None:
    full = Probabilities(model())(INPUTS)
    assert np.allclose(full.sum(1), 1)
    for shown in (HardLabels(model()), TopK(model(), 1), TopK(model(), 2), Rounded(model(), 2)):
        rows = shown(INPUTS)
        assert (rows.argmax(1) == full.argmax(1)).all() or isinstance(shown, Rounded)
    assert HardLabels(model()).access is Access.LABELS
    assert (TopK(model(), 2)(INPUTS) > 0).sum(1).tolist() == [2] * 20
    assert rounding_step(Rounded(model(), 2)(INPUTS)) == 0.01
    assert rounding_step(full) == 0


def test_metered_refuses_before_it_sends() -> None:
    metered = Metered(model(), budget=25)
    metered(INPUTS)
    with pytest.raises(BudgetError, match="overspend the budget of 25 \\(20 spent\\)"):
        metered(INPUTS)
    assert (metered.spent, metered.left) == (20, 5)


def test_a_transcript_is_never_asked_twice_and_replays(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    metered = Metered(model())
    first = Recorded(metered, Transcript(path, suspect="linear", answers=Answers.LOGITS))
    rows = first(INPUTS[:12])
    first.transcript.close()
    again = Recorded(metered, Transcript(path, suspect="linear", answers=Answers.LOGITS))
    assert np.array_equal(again(INPUTS)[:12], rows)
    again.transcript.close()
    assert metered.spent == 20
    assert np.array_equal(Replay(path)(INPUTS), logits(INPUTS))
    with pytest.raises(OracleError, match="does not hold one of the queries"):
        Replay(path)(INPUTS + 1)


def test_equal_queries_in_one_batch_are_sent_once(tmp_path: Path) -> None:
    metered = Metered(model())
    rows = Recorded(metered, Transcript(None, suspect="linear", answers=Answers.LOGITS))(INPUTS[[0, 1, 0, 0]])
    assert metered.spent == 2
    assert np.array_equal(rows, logits(INPUTS[[0, 1, 0, 0]]))


def test_a_torn_last_line_is_dropped_and_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    recorded = Recorded(model(), Transcript(path, suspect="linear", answers=Answers.LOGITS))
    recorded(INPUTS)
    recorded.transcript.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    metered = Metered(model())
    resumed = Recorded(metered, Transcript(path, suspect="linear", answers=Answers.LOGITS))
    assert np.allclose(resumed(INPUTS), logits(INPUTS), rtol=1e-12)
    resumed.transcript.close()
    assert metered.spent == 1
    assert np.allclose(
        [json.loads(line)["answer"] for line in path.read_text().splitlines()[1:]], logits(INPUTS), rtol=1e-12
    )


def test_another_suspects_transcript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    recorded = Recorded(model(), Transcript(path, suspect="linear", answers=Answers.LOGITS))
    recorded(INPUTS)
    recorded.transcript.close()
    with pytest.raises(ArtifactError, match="expected a transcript of 'other'"):
        Transcript(path, suspect="other", answers=Answers.LOGITS)
