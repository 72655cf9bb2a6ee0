"""One network behind softmax at every precision, percentages, sigmoids: read rightly as declared, else refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from birthmark import suspects
from birthmark.claim import Claim, Task
from birthmark.errors import OracleError, SettingError
from birthmark.evidence import Evidence, Verdict
from birthmark.oracle import Function, Oracle, Probabilities
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.files import Translated
from birthmark.types import Answers
from birthmark.verify import verify
from birthmark.workshop.whitebox import Open
from suspects.servers import serving, v1

F = onnx.TensorProto
Node = tuple[str, list[str], dict[str, object]]  # operator, further inputs, attributes
CONSTANTS = {"hundred": 100.0, "bytes": 255.0, "thousand": 1000.0, "floor": 1e-4, "one": 1.0}
SOFTMAX: Node = ("Softmax", [], {"axis": 1})
FLOAT: Node = ("Cast", [], {"to": F.FLOAT})
TAILS: dict[str, list[Node]] = {
    "float32": [SOFTMAX],
    "fp16": [SOFTMAX, ("Cast", [], {"to": F.FLOAT16})],
    "bf16": [SOFTMAX, ("Cast", [], {"to": F.BFLOAT16}), FLOAT],
    "3 digits": [SOFTMAX, ("Mul", ["thousand"], {}), ("Round", [], {}), ("Div", ["thousand"], {})],
    "uint8 / 255": [SOFTMAX, ("Mul", ["bytes"], {}), ("Cast", [], {"to": F.UINT8}), FLOAT, ("Div", ["bytes"], {})],
    "clipped": [SOFTMAX, ("Clip", ["floor", "one"], {})],
    "percent": [SOFTMAX, ("Mul", ["hundred"], {})],
    "uint8": [SOFTMAX, ("Mul", ["bytes"], {}), ("Round", [], {}), ("Cast", [], {"to": F.UINT8})],
    "sigmoid": [("Sigmoid", [], {})],
}
SCALES = {"percent": 100.0, "uint8": 255.0}


@pytest.fixture(scope="module")
def file(stolen: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The stolen network as ONNX, with one of the tails behind its logits."""
    folder = tmp_path_factory.mktemp("onnx")
    free = ({0: torch.export.Dim("n", min=1, max=10_000)},)
    torch.onnx.export(
        stolen, (torch.rand(2, 1, 8, 8),), folder / "plain.onnx", dynamic_shapes=free, dynamo=True, verbose=False
    )

    def write(tail: str) -> Path:
        model = onnx.load(folder / "plain.onnx")
        kind, name = F.FLOAT, model.graph.output[0].name
        for i, (operator, more, attributes) in enumerate(TAILS[tail]):
            model.graph.node.append(helper.make_node(operator, [name, *more], [f"tail{i}"], **attributes))
            name, kind = f"tail{i}", attributes.get("to", kind)
        for constant, value in CONSTANTS.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), constant))
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info(name, kind, ["n", 10]))
        path = folder / f"{tail.replace(' ', '').replace('/', '-')}.onnx"
        onnx.save(model, path, save_as_external_data=False)
        return path

    return write


def judged(claim: Claim, path: Path, **spec: object) -> Evidence:
    return verify(claim, suspects.open(path, spec=SuspectSpec(**spec), task=claim.task), alpha=0.05)


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("tail", TAILS)
def test_a_file_that_is_declared_wrongly_is_refused_and_judged_as_declared(
    tail: str, file: Callable[[str], Path], digits_claim: Claim
) -> None:
    path, scale = file(tail), SCALES.get(tail, 1.0)
    right = "sigmoid" if tail == "sigmoid" else "probabilities"
    advice = f"declare answers {right}" + (f" and scale = {scale:g}" if scale > 1 else "")
    with pytest.raises(OracleError, match=f"expected logits, .*{advice}"):
        judged(digits_claim, path, answers="logits")
    assert judged(digits_claim, path, answers=right, scale=scale).verdict is Verdict.SUPPORTED
    if tail in ("float32", "fp16", "bf16", "sigmoid"):  # the graph itself says how it ends
        assert judged(digits_claim, path).verdict is Verdict.SUPPORTED
    else:
        with pytest.raises(OracleError, match="declare answers"):
            judged(digits_claim, path)


@pytest.mark.filterwarnings("ignore")
def test_following_the_wrong_advice_is_refused_too(file: Callable[[str], Path], digits_claim: Claim) -> None:
    for tail, said, advice in (
        ("percent", "probabilities", "in percent; declare answers probabilities and scale = 100"),
        ("sigmoid", "probabilities", "declare answers sigmoid"),
        ("float32", "sigmoid", "declare answers probabilities"),
    ):
        with pytest.raises(OracleError, match=f"expected {said}, .*{advice}"):
            judged(digits_claim, file(tail), answers=said)
    with pytest.raises(SettingError, match="expected scale for probabilities, topk or sigmoid, got it for logits"):
        judged(digits_claim, file("percent"), scale=100.0)


ROWS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], dict[str, object], str]] = {
    "percent": (lambda p: p * 100, {"scale": 100.0}, "in percent; declare answers probabilities and scale = 100"),
    "top 3 in percent": (
        lambda p: np.where(p >= np.sort(p)[:, -3:-2], p, 0) * 100,
        {"answers": "topk", "scale": 100.0},
        "in percent; declare answers (topk|probabilities) and scale = 100",
    ),
    "whole percents": (lambda p: np.round(p * 100), {"scale": 100.0}, "and scale = 100"),
}


@pytest.mark.parametrize("how", ROWS)
def test_a_server_is_read_by_the_same_rules(how: str, digits_claim: Claim, stolen: nn.Module) -> None:
    change, spec, advice = ROWS[how]
    predict = Probabilities(Open(stolen))

    def ask(**said: object) -> Evidence:
        suspect = suspects.open(
            server.url, spec=SuspectSpec(batch=10, **said), task=digits_claim.task, authorisation="own service"
        )
        return verify(digits_claim, suspect, alpha=0.05)

    with serving(v1(lambda x: change(predict(x)))) as server:
        with pytest.raises(OracleError, match=advice):
            ask()
        with pytest.raises(OracleError, match="these look like"):
            ask(answers="logits")
        assert ask(**spec).verdict is Verdict.SUPPORTED


TWO, TEN = Task((1, 8, 8), 2), Task((1, 8, 8), 10)


def test_one_number_for_two_classes_over_http() -> None:
    def opened(**said: object) -> Oracle:
        return Probabilities(suspects.open(server.url, spec=SuspectSpec(**said), task=TWO, authorisation="own service"))

    x = np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)
    for column in (lambda p: p, lambda p: p[:, None]):
        with serving(v1(lambda x, c=column: c(x.mean(axis=(1, 2, 3)).round(6)))) as server:
            with pytest.raises(OracleError, match="sigmoid if it is the probability of the second of two"):
                opened()(x)
            p = x.mean(axis=(1, 2, 3))
            assert np.allclose(opened(answers="sigmoid")(x), np.stack([1 - p, p], axis=1), atol=1e-5)
            assert np.allclose(opened(answers="sigmoid", order=(1, 0))(x)[:, 0], p, atol=1e-5)
    with serving(v1(lambda x: np.array([{"label": "bad", "score": float(row.mean())} for row in x]))) as server:
        named = opened(answers="sigmoid", labels=("good", "bad"))(x)
        assert np.allclose(named[:, 1], x.mean(axis=(1, 2, 3)), atol=1e-5)


def test_one_number_for_two_classes_in_a_file() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Sigmoid())
    x = np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)
    p = Open(net)(x)
    assert np.allclose(Probabilities(Open(net, Answers.SIGMOID))(x), np.hstack([1 - p, p]), atol=1e-6)


def test_a_network_in_percent_is_translated() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(10), size=20)
    model = Function(lambda x: rows * 100, Answers.PROBABILITIES)
    x = np.zeros((20, 1, 8, 8), dtype=np.float32)
    assert np.allclose(Probabilities(Translated(model, SuspectSpec(scale=100.0), TEN))(x), rows)
    with pytest.raises(SettingError, match="expected scale for probabilities"):
        Translated(Function(lambda x: rows, Answers.LOGITS), SuspectSpec(scale=100.0), TEN)
