"""ONNX files, by onnxruntime (extra `onnx`).

Query-only, and bit for bit what a server with the same runtime answers. Before the runtime sees a file its graph is
checked: standard operators only, weights in the file itself or in files beside it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birthmark.artifact import LARGEST
from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, OracleError, SettingError
from birthmark.inputs import are_strings
from birthmark.oracle import Oracle
from birthmark.secrets import printable
from birthmark.suspects.description import SuspectSpec, access, declared
from birthmark.suspects.reading import rows
from birthmark.suspects.scope import check_outputs
from birthmark.suspects.writing import DATATYPES, Inputs, encoded, layout_of
from birthmark.types import Array, Floats, Form

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto
    from onnxruntime import InferenceSession, NodeArg

TYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(float16)": "FP16",
    "tensor(uint8)": "UINT8",
    "tensor(int8)": "INT8",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
}
TOKENS, BESIDE = "input_ids", ("attention_mask", "token_type_ids")
PASSING = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze")  # operators that leave scores what they are
SOFT = ("Softmax", "ZipMap", "TreeEnsembleClassifier", "Normalizer")
STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})  # the last holds onnxruntime's own fused operators
OPENING = frozenset({"EPContext"})  # operators that open other files
NODES = 200_000
STEP = 500  # queries at a time, where neither the file nor the declaration says


@dataclass(frozen=True)
class Feed:
    """What each of a graph's inputs gets.

    Attributes:
        name: of the one that gets the queries; empty if each gets a column.
        columns: element types of those that each get a column of records, or of named numbers.
        extra: numbers that fill those which say which tokens count.
    """

    name: str
    columns: Mapping[str, type[np.generic]] = field(default_factory=dict)
    extra: Mapping[str, int] = field(default_factory=dict)

    def of(self, x: Inputs, named: Sequence[str]) -> dict[str, Inputs]:
        """The inputs for queries x (n, ...)."""
        if not self.columns:
            rest = {name: np.full_like(x, value) for name, value in self.extra.items()}
            return {self.name: x.astype(object) if are_strings(x) else x, **rest}
        rows = [json.loads(str(row)) if are_strings(x) else dict(zip(named, row, strict=True)) for row in x]
        cells = {name: [row[name] for row in rows] for name in self.columns}
        return {name: np.array(cells[name], dtype=kind).reshape(-1, 1) for name, kind in self.columns.items()}


class OnnxFile(Oracle):
    """A session on one processor thread; a model with a fixed batch is asked in such batches, the last one padded."""

    def __init__(
        self, session: "InferenceSession", spec: SuspectSpec, task: Task, name: str, *, fixed: int, feed: Feed
    ) -> None:
        assert spec.reading.kind is not None, "the spec is completed before"
        self.session, self.spec, self.task, self.name, self.fixed = session, spec, task, name, fixed
        self.access, self.answers, self.feed = access(spec.reading), spec.reading.kind, feed

    def __call__(self, inputs: Array) -> Floats:
        x = encoded(inputs, self.spec.writing)
        step = self.fixed or self.spec.transport.batch or STEP
        found = [self._run(x[start : start + step]) for start in range(0, len(x), step)]
        return np.concatenate(found) if found else np.zeros((0, self.task.outputs))

    def _run(self, x: Inputs) -> Floats:
        n = len(x)
        x = self._padded(x)
        one = "" if len(x) == 1 else "; declare batch = 1 if the graph holds a batch of one"
        try:
            fed = self.feed.of(x, self.spec.writing.columns)
            (answer,) = self.session.run([self.spec.reading.output_name], fed)
        except KeyError as error:
            raise OracleError(f"{self.name}: wants a column {error}, which the queries lack") from None
        except Exception as error:  # onnxruntime's exceptions have no common base but this
            raise OracleError(
                f"{self.name}: cannot answer inputs of shape {x.shape}: {_first_line(error)}{one}"
            ) from None
        scores = isinstance(answer, list)  # {class: score} each, as scikit-learn's converter writes them
        if not (scores or (isinstance(answer, np.ndarray) and answer.ndim)) or len(answer) != len(x):
            got = answer.shape if isinstance(answer, np.ndarray) else type(answer).__name__
            raise OracleError(f"{self.name}: expected answers to {len(x)} queries, got {got}{one}")
        return rows(answer[:n], n, self.spec.reading, self.task, self.name)

    def _padded(self, x: Inputs) -> Inputs:
        lacking = max(self.fixed - len(x), 0)
        return np.concatenate([x, np.repeat(x[-1:], lacking, axis=0)]) if lacking else x


def open_onnx(path: Path, spec: SuspectSpec, task: Task) -> Oracle:
    """A suspect from an ONNX file; layout, names and a last softmax are read from it, all else is declared.

    Raises:
        ArtifactError: not an ONNX file this runtime can read, or one with operators or weights from elsewhere.
        SettingError: several inputs or outputs, or a shape that is not the claim's; says what to declare.
    """
    session, model = session_of(path)
    known = {i.name: i for i in session.get_inputs()}
    feed = _feed({name: str(about.type) for name, about in known.items()}, spec, task, path)
    answer = _output({o.name: str(o.type) for o in session.get_outputs()}, spec.reading.output_name, path)
    about = known[feed.name] if feed.name else None
    shape = [v if isinstance(v, int) and v > 0 else -1 for v in about.shape] or [0] if about else [-1]
    if about is not None:
        spec = _written(spec, about, shape, task, path)
    said = "values" if task.values else ending(model, answer)
    spec = declared(spec.completed(output_name=answer, answers=said), task)
    return OnnxFile(session, spec, task, f"{path.name} ({spec.says()})", fixed=max(shape[0], 0), feed=feed)


def _feed(kinds: Mapping[str, str], spec: SuspectSpec, task: Task, path: Path) -> Feed:
    wanted = spec.writing.input_name
    if wanted or len(kinds) < 2:
        return Feed(_one(list(kinds), wanted, "input", path))
    if task.form is Form.RECORDS or set(spec.writing.columns) == set(kinds):
        return Feed("", {name: _element(kind, name, path) for name, kind in kinds.items()})
    return _tokens(list(kinds), task) or Feed(_one(list(kinds), "", "input", path))


def _tokens(names: list[str], task: Task) -> Feed | None:
    """How token ids are fed to a graph that wants a mask of them, too; None if it is no such graph."""
    rest = {name: int("mask" in name) for name in names if name in BESIDE}
    mine = task.form is Form.NUMBERS and TOKENS in names and len(rest) == len(names) - 1
    return Feed(TOKENS, extra=rest) if mine else None


def _element(kind: str, name: str, path: Path) -> type[np.generic]:
    if kind not in TYPES:
        raise SettingError(f"{path}: input {name} is {kind}; birthmark asks with {', '.join(TYPES)}")
    return np.object_ if TYPES[kind] == "BYTES" else DATATYPES[TYPES[kind]]


def _written(spec: SuspectSpec, about: "NodeArg", shape: list[int], task: Task, path: Path) -> SuspectSpec:
    """The spec completed by the graph's input: its datatype, its layout, and 0..255 where it takes bytes."""
    element, strings = _element(about.type, about.name, path), task.form is not Form.NUMBERS
    if strings != (element is np.object_):
        raise SettingError(
            f"{path}: input {about.name} is {about.type}, the claim's queries are {task.form}: it was made for another "
            "task"
        )
    layout = spec.writing.layout or layout_of(shape[1:], task.shape)
    if not layout and len(shape) > 1:
        raise SettingError(f"{path}: input {about.name} of shape {about.shape} fits nchw and nhwc; declare layout")
    spec = spec.completed(input_name=about.name, layout=layout)
    spec = spec if strings else spec.having(datatype=TYPES[about.type])
    pixels = element is np.uint8 and len(task.shape) == 3 and spec.writing.unscaled
    return spec.having(high=255.0) if pixels else spec


def _output(kinds: Mapping[str, str], wanted: str, path: Path) -> str:
    """The output to read: the declared one, the only one, or the only one of scores beside a label."""
    scores = [name for name, kind in kinds.items() if "float" in kind or "double" in kind]
    return scores[0] if not wanted and len(scores) == 1 else _one(list(kinds), wanted, "output", path)


def ending(model: "ModelProto", output: str) -> str:
    """What the operator that makes an output says of it: "probabilities", "sigmoid", or else "logits"."""
    makers = {name: node for node in model.graph.node for name in node.output}
    for _ in range(8):
        node = makers.get(output)
        if node is None or node.op_type not in PASSING:
            break
        output = node.input[0]
    kind = "" if node is None else node.op_type
    return "probabilities" if kind in SOFT else "sigmoid" if kind == "Sigmoid" else "logits"


def session_of(path: Path) -> tuple["InferenceSession", "ModelProto"]:
    try:
        import onnxruntime
    except ImportError:
        raise BirthmarkError("ONNX files need onnxruntime: pip install 'birthmark[onnx]'") from None
    model = inspect(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ditto
        raise ArtifactError(f"{path}: not an ONNX file that can be read ({_first_line(error)})") from None
    check_outputs([output.name for output in session.get_outputs()], str(path))
    return session, model


def inspect(path: Path) -> "ModelProto":
    """Check a graph before the runtime sees it; what it says, without weights beside it.

    Raises:
        ArtifactError: not ONNX, too many nodes, an operator that is no standard one, or weights that do not lie beside
            the file.
    """
    try:
        import onnx
    except ImportError:
        raise BirthmarkError("ONNX files need onnx: pip install 'birthmark[onnx]'") from None
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's, too
        raise ArtifactError(f"{path}: not an ONNX file that can be read ({_first_line(error)})") from None
    known, size = STANDARD | {function.domain for function in model.functions}, 0
    for at, node in enumerate(_nodes(model)):
        if at >= NODES:
            raise ArtifactError(f"{path}: more than {NODES} nodes")
        if node.domain not in known or node.op_type in OPENING:
            raise ArtifactError(
                f"{path}: calls {printable(f'{node.domain}:{node.op_type}', 80)!r}, which is no standard operator; "
                "birthmark runs no others on a file's word"
            )
    for tensor in _tensors(model):
        size += _beside(tensor, path)
        if size > LARGEST:
            raise ArtifactError(f"{path}: weights of more than {LARGEST} bytes beside it")
    return model


def _graphs(model: "ModelProto") -> Iterator["GraphProto"]:
    pending = [model.graph, *(graph for function in model.functions for graph in _inside(function.node))]
    while pending:
        graph = pending.pop()
        yield graph
        pending += _inside(graph.node)


def _inside(nodes: "Iterable[NodeProto]") -> list["GraphProto"]:
    """The bodies of loops and branches."""
    attributes = [a for node in nodes for a in node.attribute]
    return [graph for a in attributes for graph in [*([a.g] if a.HasField("g") else []), *a.graphs]]


def _nodes(model: "ModelProto") -> Iterator["NodeProto"]:
    for function in model.functions:
        yield from function.node
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: "ModelProto") -> Iterator["TensorProto"]:
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for a in node.attribute:
            yield from ([a.t] if a.HasField("t") else []) + list(a.tensors)
            for sparse in ([a.sparse_tensor] if a.HasField("sparse_tensor") else []) + list(a.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _beside(tensor: "TensorProto", path: Path) -> int:
    """Bytes of a tensor's weights beside the file; 0 if they are inside."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if not entries and tensor.data_location != tensor.EXTERNAL:
        return 0
    name = entries.get("location", "")  # bytes, where it is no text
    place = path.parent / str(name)
    if not isinstance(name, str) or not _plain(name) or place.is_symlink() or not place.is_file():
        raise ArtifactError(
            f"{path}: its weights lie in {printable(name, 80)!r}; they may only lie in a plain file beside it"
        )
    size = place.stat().st_size
    offset, length = _whole(entries.get("offset") or "0"), _whole(entries.get("length") or f"{size}")
    if offset < 0 or not 0 <= length <= size - offset:
        raise ArtifactError(f"{path}: its weights lie outside {printable(name, 80)!r}; the file is damaged")
    return length


def _plain(name: str) -> bool:
    return name == Path(name).name and name.isprintable() and name not in ("", ".", "..")


def _whole(text: str) -> int:
    """A number of bytes; -1 if it is none."""
    try:
        return int(text)
    except ValueError:
        return -1


def _one(names: list[str], wanted: str, kind: str, path: Path) -> str:
    if wanted in names:
        return wanted
    if wanted or len(names) != 1:
        listed = printable(", ".join(names), 200)
        raise SettingError(f"{path}: has {kind}s {listed}{f', not {wanted!r}' if wanted else ''}; declare {kind}_name")
    return names[0]


def _first_line(error: Exception) -> str:
    return printable((str(error).splitlines() or [type(error).__name__])[0], 200)
