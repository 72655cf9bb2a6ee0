"""The toy models of `families` as ONNX files: what another framework would have exported."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from families import CLASSES, WIDTH, weights


def write(path: Path, seed: int, apart: float = 0.6, *, softmax: bool = False) -> Path:
    """Member `seed` of the family, as logits or with its softmax inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = dict(zip("wvu", (array.astype(np.float32) for array in weights(seed, apart)), strict=True))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["x", "v"], ["b"]),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "u"], ["d"]),
        helper.make_node("Add", ["a", "d"], ["logits"]),
        *([helper.make_node("Softmax", ["logits"], ["y"], axis=1)] if softmax else []),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("y" if softmax else "logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
