"""What rows look like, what is refused under which declaration, and how sigmoid scores are read."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from birthmark import data
from birthmark.answers import ENOUGH, as_labels, as_probabilities, checked, likeness, one_hot, rounding_step, softmax
from birthmark.errors import OracleError
from birthmark.oracle import Function, HardLabels, Oracle, Probabilities
from birthmark.types import Answers, Floats

CLASSES = (2, 3, 10)


def cast(kind: torch.dtype) -> Callable[[Floats], Floats]:
    return lambda p: torch.tensor(p).to(kind).double().numpy()


def top(p: Floats, k: int) -> Floats:
    return np.where(p >= np.sort(p, axis=1)[:, -k][:, None], p, 0)


PRECISIONS: dict[str, Callable[[Floats], Floats]] = {
    "float32": cast(torch.float32),
    "fp16": cast(torch.float16),
    "bf16": cast(torch.bfloat16),
    "fp8": cast(torch.float8_e4m3fn),
    **{f"{d} digits": (lambda p, d=d: np.round(p, d)) for d in (1, 2, 3, 4)},
    "cut to 2 digits": lambda p: np.floor(p * 100) / 100,
    "uint8": lambda p: np.round(p * 255) / 255,
    "4 bits": lambda p: np.round(p * 15) / 15,
    "clipped": lambda p: np.clip(p, 1e-4, 1),
    "top 1": lambda p: top(p, 1),
    "top 2": lambda p: top(p, 2),
}


@pytest.fixture(scope="module")
def logits() -> list[Floats]:
    """Logits (60, k) of small networks on digits: timid and confident ones, of two, three and ten classes."""
    samples, found = data.load("digits")["owner"], []
    for i in range(24):
        k, epochs, decay = CLASSES[i % 3], (1, 3, 12)[i // 3 % 3], (0.0, 0.3)[i % 2]
        torch.manual_seed(i)
        x = torch.from_numpy(samples.inputs[samples.targets < k])
        y = torch.from_numpy(samples.targets[samples.targets < k].astype(np.int64))
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, k))
        steps = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=decay)
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(64):
                steps.zero_grad()
                nn.functional.cross_entropy(net(x[batch]), y[batch], label_smoothing=0.1 * (i % 2)).backward()
                steps.step()
        found.append(net(x[:60]).detach().double().numpy())
    return found


def refused(rows: Floats, kind: Answers) -> str:
    try:
        checked(rows, len(rows), None, kind, "s")
    except OracleError as error:
        return str(error)
    return ""


def test_logits_are_logits(logits: list[Floats]) -> None:
    for rows in logits:
        for n in (1, 2, ENOUGH, 60):
            assert not refused(rows[:n], Answers.LOGITS)
        assert "declare answers logits" in refused(rows, Answers.PROBABILITIES)
        assert "declare answers logits" in refused(rows, Answers.SIGMOID)


@given(
    st.integers(2, 30),
    st.integers(1, 80),
    st.sampled_from([0.5, 2.0, 8.0, 40.0]),
    st.integers(0, 10**6),
    st.sampled_from(["normal", "relu", "rounded", "shifted"]),
)
@settings(max_examples=300, deadline=None)
def test_random_logits_are_not_refused(k: int, n: int, spread: float, seed: int, kind: str) -> None:
    rows = np.random.default_rng(seed).normal(size=(n, k)) * spread
    rows = {"relu": np.maximum(rows, 0), "rounded": np.round(rows, 1), "shifted": rows + 3 * spread}.get(kind, rows)
    fills = rows.min() > 0 and np.ptp(rows) > 90  # as shares of 100 or of 255 do
    assume(rows.min() < 0 or (k > 3 and rows.max() > 1 and not fills))
    assert likeness(rows).kind == "logits"


@pytest.mark.parametrize("how", PRECISIONS)
@pytest.mark.parametrize("scale", [1, 100])
def test_softmax_at_any_precision_is_no_logits(logits: list[Floats], how: str, scale: float) -> None:
    advice = f" and scale = {scale}" if scale > 1 else ""
    for rows in logits:
        if how.startswith("top") and (rows.shape[1] <= 3 or softmax(rows[:ENOUGH]).max() < 0.6):
            continue
        p = PRECISIONS[how](softmax(rows))
        kind = "(probabilities|topk)" if how.startswith("top") else "probabilities"
        for n in (ENOUGH, 60):
            with pytest.raises(OracleError, match=f"expected logits.* declare answers {kind}{advice}"):
                checked(p[:n] * scale, n, None, Answers.LOGITS, "s")
        if scale == 1:
            assert not any(refused(p[:n], Answers.PROBABILITIES) for n in (1, ENOUGH, 60))
        else:
            with pytest.raises(OracleError, match=f"in percent; declare answers {kind} and scale = 100"):
                checked(p * scale, 60, None, Answers.PROBABILITIES, "s")


def test_bytes_are_named(logits: list[Floats]) -> None:
    for rows in logits:
        for kind in (Answers.LOGITS, Answers.PROBABILITIES):
            said = refused(np.round(softmax(rows) * 255), kind)
            assert "in bytes 0..255; declare answers probabilities and scale = 255" in said


def test_sigmoid_scores_are_named_and_compete_when_declared(logits: list[Floats]) -> None:
    for rows in logits:
        wide = 4 * (rows - rows.mean(axis=1, keepdims=True)) - 1.5
        scores = 1 / (1 + np.exp(-wide))
        if (np.abs(scores.sum(axis=1) - 1) < 0.2).all() or np.ptp(scores) < 0.75:
            continue
        assert "look like sigmoid scores" in refused(scores, Answers.LOGITS)
        assert not refused(scores, Answers.SIGMOID)
        read = as_probabilities(scores, Answers.SIGMOID)
        assert np.allclose(read, softmax(np.clip(wide, -13.8155, 13.8155)), atol=1e-4)
        assert "sigmoid and scale = 100" in refused(scores * 100, Answers.SIGMOID)
    several = np.array([[0.9, 0.8, 0.1], [0.7, 0.9, 0.6]])
    assert "look like sigmoid scores, each class against the rest" in refused(several, Answers.PROBABILITIES)
    assert "look like probabilities" in refused(softmax(logits[2]), Answers.SIGMOID)


def test_one_score_is_the_second_of_two_classes() -> None:
    p = np.array([[0.25], [0.9], [0.5]])
    inner = Function(lambda x: p, Answers.SIGMOID)
    assert np.allclose(Probabilities(inner)(p), np.hstack([1 - p, p]))
    assert HardLabels(inner)(p).argmax(axis=1).tolist()[:2] == [0, 1]
    assert "expected sigmoid" in refused(p * 100, Answers.SIGMOID)


def test_a_server_that_answers_one_row_at_a_time_is_noticed_after_sixteen() -> None:
    rows = np.round(softmax(np.random.default_rng(0).normal(size=(80, 5)) * 3), 2)
    rows = rows[np.abs(rows.sum(axis=1) - 1) > 1e-3]
    assert len(rows) > ENOUGH > 1
    place = iter(range(80))
    oracle: Oracle = Probabilities(Function(lambda x: rows[[next(place)]], Answers.LOGITS))
    for _ in range(ENOUGH - 1):
        oracle(rows[:1])
    with pytest.raises(OracleError, match="declare answers probabilities"):
        oracle(rows[:1])


def test_a_scale_that_is_not_there_is_noticed(logits: list[Floats]) -> None:
    assert "too small" in refused(softmax(logits[0]) / 100, Answers.PROBABILITIES)


def test_rounding_is_seen(logits: list[Floats]) -> None:
    assert [rounding_step(np.round(softmax(logits[2]), d)) for d in (1, 2, 3)] == [0.1, 0.01, 0.001]
    assert rounding_step(softmax(logits[2])) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((2, 3), np.nan), "expected finite answers"),
        (np.zeros((3, 3)), r"expected answers of shape \(2, 3\), got \(3, 3\)"),
        (np.array([[3.0, -1, 2], [0, 1, 5]]), "look like logits; declare"),
        (np.zeros((2, 3)), "all are zero"),
    ],
)
def test_impossible_answers_are_named(rows: Floats, message: str) -> None:
    with pytest.raises(OracleError, match=message):
        checked(rows, 2, 3, Answers.PROBABILITIES, "suspect")


def test_one_hot_rows_of_many_classes_take_their_own_memory_alone() -> None:
    assert one_hot([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot(1, 3).tolist() == [0, 1, 0]
    assert one_hot([[1], [0]], 2).tolist() == [[[0, 1]], [[1, 0]]]
    rows = np.zeros((2, 3, 4))
    rows[1, 2, 3] = 1
    assert as_labels(rows).shape == (2, 3, 4)
    assert as_labels(rows).argmax(axis=2).tolist() == [[0, 0, 0], [0, 0, 3]]
    tracemalloc.start()
    as_labels(np.zeros((3, 5000)))
    assert tracemalloc.get_traced_memory()[1] < 10 * 3 * 5000 * 8  # a 5000 x 5000 matrix takes 200 MB
    tracemalloc.stop()
