"""Declarations: how inputs are written and answers are read."""

from pathlib import Path

import numpy as np
import pytest

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.oracle import Function, Probabilities
from birthmark.suspects.description import SuspectSpec, declared
from birthmark.suspects.files import Translated
from birthmark.suspects.reading import rows
from birthmark.suspects.writing import Writing, encoded, layout_of, picture
from birthmark.types import Answers

COLOUR = np.random.default_rng(0).random((2, 3, 4, 5), dtype=np.float32)
TASK = Task((3, 4, 5), 3)


def test_inputs_are_written_as_declared() -> None:
    assert np.array_equal(encoded(COLOUR, Writing()), COLOUR)
    assert np.array_equal(encoded(COLOUR, Writing(layout="nhwc")), COLOUR.transpose(0, 2, 3, 1))
    assert encoded(COLOUR, Writing(layout="flat")).shape == (2, 60)
    pixels = encoded(COLOUR, Writing(high=255.0, datatype="UINT8"))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels / 255 - COLOUR).max() <= 0.5 / 255 + 1e-6
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    normal = encoded(COLOUR, Writing(mean=mean, std=std, layout="nhwc"))
    assert np.allclose(normal, (COLOUR.transpose(0, 2, 3, 1) - mean) / std, atol=1e-6)
    with pytest.raises(SettingError, match="one mean and std a channel"):
        encoded(COLOUR[:, :1], Writing(mean=mean))
    with pytest.raises(SettingError, match="nhwc is for images"):
        encoded(COLOUR.reshape(2, 60), Writing(layout="nhwc"))
    assert picture(COLOUR[0], "png")[:4] == b"\x89PNG"
    assert picture(COLOUR[0], "jpeg")[:2] == b"\xff\xd8"


def test_a_layout_is_read_from_metadata_or_asked_for() -> None:
    assert layout_of([3, 4, 5], TASK.shape) == "nchw"
    assert layout_of([4, 5, 3], TASK.shape) == "nhwc"
    assert layout_of([60], TASK.shape) == "flat"
    assert layout_of([-1, -1, -1], TASK.shape) == ""
    assert layout_of([-1, -1, 3], TASK.shape) == "nhwc"
    with pytest.raises(SettingError, match="made for another task"):
        layout_of([1, 28, 28], TASK.shape)


def test_answers_are_read_in_every_form() -> None:
    want = np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
    spec = declared(SuspectSpec(), TASK).reading
    named = declared(SuspectSpec(labels=("a", "b", "c")), TASK).reading
    assert np.array_equal(rows(want.tolist(), 2, spec, TASK, "s"), want)
    assert np.array_equal(
        rows([dict(zip("abc", row, strict=True)) for row in want.tolist()], 2, named, TASK, "s"), want
    )
    pairs = [[{"label": "cba"[i], "score": row[2 - i]} for i in range(3)] for row in want.tolist()]
    assert np.array_equal(rows(pairs, 2, named, TASK, "s"), want)
    labels = declared(SuspectSpec(labels=("a", "b", "c"), answers="labels"), TASK).reading
    assert np.array_equal(rows(["b", "a"], 2, labels, TASK, "s"), np.eye(3)[[1, 0]])
    assert np.array_equal(
        rows([[2], [0]], 2, declared(SuspectSpec(answers="labels", order=(1, 2, 0)), TASK).reading, TASK, "s"),
        np.eye(3)[[1, 2]],
    )
    assert rows(
        [1.5, 2], 2, declared(SuspectSpec(), Task((3,), 1, True)).reading, Task((3,), 1, True), "s"
    ).tolist() == [[1.5], [2]]


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ([[1, 2, 3]], "expected 2 answers, got 1"),
        (None, "expected 2 answers"),
        ({"a": 1}, "got one object with a"),
        ([[1, 2], [1, 2, 3]], "rows of equal length"),
        ([["x"], [None]], "rows of equal length"),
        ([0, 1], "one number a query; declare answers labels"),
        ([{"a": 0.5}, {"a": 1}], "class names such as 'a'"),
        ([{"label": "a", "score": "high"}] * 2, "expected a number for class 'a'"),
    ],
)
def test_answers_of_other_forms_are_named(value: object, match: str) -> None:
    with pytest.raises(OracleError, match=match):
        rows(value, 2, declared(SuspectSpec(), TASK).reading, TASK, "s")


def test_labels_that_are_not_declared_are_named() -> None:
    spec = declared(SuspectSpec(labels=("a", "b", "c"), answers="labels"), TASK).reading
    with pytest.raises(OracleError, match="label 'd' that labels does not hold"):
        rows(["a", "d"], 2, spec, TASK, "s")
    with pytest.raises(OracleError, match="to which labels says nothing; declare order"):
        rows([[0.1, 0.2, 0.7]] * 2, 2, spec, TASK, "s")
    with pytest.raises(OracleError, match="answers class 7"):
        rows([1, 7], 2, declared(SuspectSpec(answers="labels"), TASK).reading, TASK, "s")


def test_a_description_is_checked(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    (tmp_path / "s.toml").write_text('url = "https://h"\nlabels = "names.txt"\nmean = [0.5]\nstd = [1]\ntimeout = 5\n')
    spec = SuspectSpec.read(tmp_path / "s.toml")
    assert (spec.reading.labels, spec.writing.mean, spec.transport.timeout) == (("a", "b", "c"), (0.5,), 5.0)
    for text, match in (
        ("timeouts = 5", "unknown key timeouts"),
        ('batch = "many"', "expected batch to be a integer"),
        ('answers = "scores"', "expected answers to be '', 'labels'"),
        ("order = [0, 0]", "every column once"),
        ('labels = ["a", "a"]', "cannot share a name"),
        ("std = [0]", "std.0. to be greater than 0"),
        ("timeout = 0", "timeout to be greater than 0"),
        ("= 1", "not a TOML file"),
    ):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(SettingError, match=match):
            SuspectSpec.read(tmp_path / "bad.toml")
    with pytest.raises(SettingError, match="expected order for 3 classes, got 2"):
        declared(SuspectSpec(order=(1, 0)), TASK)
    with pytest.raises(SettingError, match="the claim is about classes"):
        declared(SuspectSpec(answers="values"), TASK)


def test_a_local_model_is_translated_too() -> None:
    seen = []
    model = Function(lambda x: seen.append(x) or np.arange(6.0).reshape(2, 3), Answers.LOGITS)
    answers = Translated(model, SuspectSpec(high=255.0, order=(2, 0, 1)), TASK)(COLOUR)
    assert np.allclose(seen[0], COLOUR * 255)
    assert answers.tolist() == [[2, 0, 1], [5, 3, 4]]


def test_probabilities_declared_as_logits_are_noticed() -> None:
    with pytest.raises(OracleError, match=r"expected logits, got .* look like probabilities; declare answers probab"):
        Probabilities(Function(lambda x: np.full((len(x), 4), 0.25), Answers.LOGITS))(COLOUR)
