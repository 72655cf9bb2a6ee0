"""ONNX graphs as people export them: a softmax inside or not, bytes, columns, tokens, texts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from birthmark.answers import softmax
from birthmark.claim import Task
from birthmark.errors import SettingError
from birthmark.inputs import records, texts
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.onnx import open_onnx
from birthmark.types import Answers, Form

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

W = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
X = np.random.default_rng(1).random((5, 12), dtype=np.float32)


def graph(path: Path, inputs: Sequence, nodes: Sequence, outputs: Sequence = ("y",), kind: int = TensorProto.FLOAT):
    """Write a graph of these nodes, with W at hand."""
    shown = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    made = helper.make_graph(nodes, "g", list(inputs), shown, [numpy_helper.from_array(W, "W")])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def given(name: str = "x", shape: Sequence = ("n", 12), kind: int = TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, list(shape))


def node(kind: str, inputs: Sequence[str], output: str, **how: object):
    return helper.make_node(kind, list(inputs), [output], **how)


LINEAR = node("MatMul", ["x", "W"], "z")


@pytest.mark.parametrize(
    ("last", "kind"), [("Softmax", Answers.PROBABILITIES), ("Identity", Answers.LOGITS), ("Sigmoid", Answers.SIGMOID)]
)
def test_a_last_softmax_is_noticed(tmp_path: Path, last: str, kind: Answers) -> None:
    nodes = [LINEAR, node(last, ["z"], "s"), node("Identity", ["s"], "y")]
    suspect = open_onnx(graph(tmp_path / "m.onnx", [given()], nodes), SuspectSpec(), Task((12,), 3))
    assert suspect.answers is kind
    if last == "Softmax":
        assert np.allclose(suspect(X), softmax((X @ W).astype(float)), atol=1e-5)


def test_what_is_declared_counts(tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", [given()], [LINEAR, node("Identity", ["z"], "y")])
    assert open_onnx(path, SuspectSpec(answers="probabilities"), Task((12,), 3)).answers is Answers.PROBABILITIES


def test_pixels_go_as_bytes_where_bytes_are_wanted_channels_last(tmp_path: Path) -> None:
    flat = numpy_helper.from_array(np.array([0, -1]), "flat")
    nodes = [
        node("Cast", ["x"], "f", to=TensorProto.FLOAT),
        node("Constant", [], "flat", value=flat),
        node("Reshape", ["f", "flat"], "r"),
        node("MatMul", ["r", "W"], "y"),
    ]
    path = graph(tmp_path / "m.onnx", [given(shape=("n", 2, 2, 3), kind=TensorProto.UINT8)], nodes)
    suspect = open_onnx(path, SuspectSpec(), Task((3, 2, 2), 3))
    pixels = X.reshape(5, 3, 2, 2)
    wanted = np.round(pixels.transpose(0, 2, 3, 1) * 255).reshape(5, 12) @ W
    assert np.allclose(suspect(pixels), wanted, atol=1e-2)
    assert "0..255" in suspect.name
    assert "nhwc" in suspect.name


def test_a_column_each_for_records_and_named_numbers(tmp_path: Path) -> None:
    nodes = [node("Add", ["a", "b"], "s"), node("Concat", ["a", "b", "s"], "y", axis=1)]
    inputs = [given("a", ("n", 1)), given("b", ("n", 1))]
    path = graph(tmp_path / "m.onnx", inputs, nodes)
    table = open_onnx(path, SuspectSpec(), Task((), 3, form=Form.RECORDS))
    assert table(records([{"a": 1, "b": 2}, {"b": 4, "a": 3}])).tolist() == [[1, 2, 3], [3, 4, 7]]
    numbers = open_onnx(path, SuspectSpec(columns=["b", "a"]), Task((2,), 3))
    assert numbers(np.float32([[2, 1]])).tolist() == [[1, 2, 3]]
    with pytest.raises(Exception, match="wants a column 'b', which the queries lack"):
        table(records([{"a": 1}]))
    with pytest.raises(SettingError, match="has inputs a, b; declare input_name"):
        open_onnx(path, SuspectSpec(), Task((2,), 3))


def test_tokens_get_their_mask(tmp_path: Path) -> None:
    names = ["input_ids", "attention_mask", "token_type_ids"]
    nodes = [node("Concat", names, "c", axis=1), node("Cast", ["c"], "y", to=TensorProto.FLOAT)]
    inputs = [given(name, ("n", "length"), TensorProto.INT64) for name in names]
    suspect = open_onnx(graph(tmp_path / "m.onnx", inputs, nodes), SuspectSpec(), Task((1,), 3))
    assert suspect(np.array([[7], [9]])).tolist() == [[7, 1, 0], [9, 1, 0]]


def test_texts(tmp_path: Path) -> None:
    table = numpy_helper.from_array(np.eye(3, dtype=np.float32), "T")
    hashed = [node("Constant", [], "good", value=helper.make_tensor("k", TensorProto.STRING, [1], [b"good"]))]
    nodes = [
        *hashed,
        node("Constant", [], "T", value=table),
        node("Equal", ["x", "good"], "e"),
        node("Cast", ["e"], "i", to=TensorProto.INT64),
        node("Gather", ["T", "i"], "y"),
    ]
    made = helper.make_graph(nodes, "g", [given("x", ("n",), TensorProto.STRING)], [given("y", ("n", 3))])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), tmp_path / "m.onnx")
    suspect = open_onnx(tmp_path / "m.onnx", SuspectSpec(), Task((), 3, form=Form.TEXT))
    assert suspect(texts(["good", "bad"])).argmax(axis=1).tolist() == [1, 0]
    with pytest.raises(SettingError, match=r"is tensor\(string\), the claim's queries are numbers"):
        open_onnx(tmp_path / "m.onnx", SuspectSpec(), Task((1,), 3))
