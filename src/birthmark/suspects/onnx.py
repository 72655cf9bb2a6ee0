"""ONNX files, by onnxruntime (extra `onnx`).

Query-only, and bit for bit what a server with the same runtime answers.
"""

from pathlib import Path
from typing import Any

import numpy as np

from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, OracleError, SettingError
from birthmark.oracle import Oracle
from birthmark.suspects.description import SuspectSpec, access, declared
from birthmark.suspects.reading import rows
from birthmark.suspects.writing import Inputs, encoded, layout_of
from birthmark.types import Array, Floats

TYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(float16)": "FP16",
    "tensor(uint8)": "UINT8",
    "tensor(int8)": "INT8",
    "tensor(int64)": "INT64",
}


class OnnxFile(Oracle):
    """A session on one processor thread; a model with a fixed batch is asked in such batches, the last one padded."""

    def __init__(self, session: Any, spec: SuspectSpec, task: Task, name: str) -> None:
        assert spec.reading.kind is not None, "the spec is completed before"
        self.session, self.spec, self.task, self.name = session, spec, task, name
        self.access, self.answers = access(spec.reading), spec.reading.kind
        size = session.get_inputs()[0].shape[0]
        self.fixed = size if isinstance(size, int) and size > 0 else 0

    def __call__(self, inputs: Array) -> Floats:
        x = encoded(inputs, self.spec.writing)
        step = self.fixed or 500
        found = [self._run(x[start : start + step]) for start in range(0, len(x), step)]
        return np.concatenate(found) if found else np.zeros((0, self.task.outputs))

    def _run(self, x: Inputs) -> Floats:
        n = len(x)
        if self.fixed and n < self.fixed:
            x = np.concatenate([x, np.repeat(x[-1:], self.fixed - n, axis=0)])
        try:
            (answer,) = self.session.run([self.spec.reading.output_name], {self.spec.writing.input_name: x})
        except Exception as error:  # onnxruntime's exceptions have no common base but this
            raise OracleError(
                f"{self.name}: cannot answer inputs of shape {x.shape}: {str(error).splitlines()[0][:200]}"
            ) from None
        return rows(answer[:n], n, self.spec.reading, self.task, self.name)


def open_onnx(path: Path, spec: SuspectSpec, task: Task) -> Oracle:
    """A suspect from an ONNX file; layout and names are read from it, the kind of answers is declared (default logits).

    Raises:
        ArtifactError: not an ONNX file this runtime can read.
        SettingError: several inputs or outputs, or a shape that is not the claim's; says what to declare.
    """
    try:
        import onnxruntime
    except ImportError:
        raise BirthmarkError("ONNX files need onnxruntime: pip install 'birthmark[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ditto
        raise ArtifactError(f"{path}: not an ONNX file that can be read ({str(error).splitlines()[0][:200]})") from None
    given = _one([i.name for i in session.get_inputs()], spec.writing.input_name, "input", path)
    answer = _one([o.name for o in session.get_outputs()], spec.reading.output_name, "output", path)
    about = next(i for i in session.get_inputs() if i.name == given)
    if about.type not in TYPES:
        raise SettingError(f"{path}: input {given} is {about.type}; birthmark asks with {', '.join(TYPES)}")
    shape = [v if isinstance(v, int) else -1 for v in about.shape]
    layout = spec.writing.layout or layout_of(shape[1:], task.shape)
    if not layout:
        raise SettingError(f"{path}: input {given} of shape {about.shape} fits nchw and nhwc; declare layout")
    spec = spec.completed(
        input_name=given,
        output_name=answer,
        layout=layout,
        datatype=TYPES[about.type],
        answers="values" if task.values else "logits",
    )
    spec = declared(spec, task)
    return OnnxFile(session, spec, task, f"{path.name} ({spec.says()})")


def _one(names: list[str], wanted: str, kind: str, path: Path) -> str:
    if wanted in names:
        return wanted
    if wanted or len(names) != 1:
        raise SettingError(
            f"{path}: has {kind}s {', '.join(names)}{f', not {wanted!r}' if wanted else ''}; declare {kind}_name"
        )
    return names[0]
