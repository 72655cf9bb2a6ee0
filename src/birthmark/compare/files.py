"""Tensors by name out of a model file: safetensors, ONNX, PyTorch state dicts, folders and shards of them.

This runs in the child process that `reading` starts; nothing in a file is run. NumPy alone reads safetensors,
memory-mapped, so that a large pair costs no more than its bytes; `.pt` files go through torch's weights-only loader.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from birthmark.errors import ArtifactError

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto

Tensor = NDArray[np.number]
DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "u1"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"},
}
HEADER = 64 << 20  # most bytes of a safetensors header
INDEX = 16 << 20  # most bytes of an index of shards
TORCH = (".pt", ".pth", ".bin", ".ckpt")
WHOLE = ("model", "diffusion_pytorch_model", "pytorch_model", "adapter_model")  # how folders call their weights
RECURRENT = ("LSTM", "GRU", "RNN")  # operators whose weights hold gates
DEEPEST = 16  # of nested graphs and dictionaries


def tensors(path: Path) -> dict[str, Tensor]:
    """A model's tensors by name; brain floats are widened.

    Args:
        path: a safetensors, ONNX or PyTorch file, an index of shards (`*.index.json`), or a folder that holds one.

    Raises:
        ArtifactError: missing, truncated, of an unknown kind, with a missing shard, without weights.
    """
    place = _entry(path)
    parts = _shards(place) if place.name.endswith(".index.json") else [place]
    found = {name: value for part in parts for name, value in _read(part).items()}
    if not found:
        raise ArtifactError(f"{path}: expected weights, found none")
    return found


def _read(path: Path) -> dict[str, Tensor]:
    kind = path.suffix.lower()
    if kind == ".onnx":
        return _onnx(path)
    return _torch(path) if kind in TORCH else _safetensors(path)


def _entry(path: Path) -> Path:
    if path.is_dir():
        names = [f"{one}{end}" for one in WHOLE for end in (".safetensors.index.json", ".safetensors")]
        names += ["pytorch_model.bin.index.json", "pytorch_model.bin", "model.onnx"]
        for name in names:
            if (path / name).is_file():
                return path / name
        raise ArtifactError(
            f"{path}: expected model.safetensors, its index of shards, pytorch_model.bin or model.onnx in the folder"
        )
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file")
    return path


def _shards(index: Path) -> list[Path]:
    try:
        if index.stat().st_size > INDEX:
            raise ValueError("too long")
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        shards = [index.parent / Path(str(name)).name for name in names]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise ArtifactError(f"{index}: expected an index with a weight_map of shards") from None
    for shard in shards:
        if not shard.is_file():
            raise ArtifactError(f"{index}: the shard {shard.name} is missing; bring all {len(shards)} files")
    return shards


def _safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors as maps of the file; bfloat16 is widened to float32."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(HEADER, size - 8):
                raise ValueError("no header")
            header = json.loads(file.read(length))
        return {
            name: _tensor(path, 8 + length, size, str(said["dtype"]), list(said["shape"]), list(said["data_offsets"]))
            for name, said in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ArtifactError(f"{path}: not a whole safetensors file ({str(error)[:100]})") from None


def _tensor(path: Path, base: int, size: int, dtype: str, shape: list[int], place: list[int]) -> Tensor:
    if dtype not in DTYPES:
        raise ValueError(f"tensors of type {dtype} are not read; convert them to BF16 or F32")
    start, end = place
    kind = np.dtype(DTYPES[dtype])
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if min([*shape, start, end - start], default=0) < 0 or base + end > size or end - start != count * kind.itemsize:
        raise ValueError("a tensor lies outside the file")
    if not count:
        return np.zeros(shape, dtype=np.float32)
    raw: Tensor = np.memmap(path, dtype=kind, mode="r", offset=base + start, shape=tuple(shape))
    return (raw.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else raw


def _onnx(path: Path) -> dict[str, Tensor]:
    try:
        import onnx
    except ImportError:
        raise ArtifactError(f"{path}: ONNX files need the package onnx; install birthmark[onnx]") from None
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.load_external_data_for_model(model, str(path.parent))
        return dict(_initialisers(model.graph, 0))
    except Exception as error:  # protobuf's and onnx's own errors have no common parent
        raise ArtifactError(f"{path}: not a whole ONNX file ({' '.join(str(error).split())[:100]})") from None


def _initialisers(graph: "GraphProto", depth: int) -> Iterator[tuple[str, Tensor]]:
    """Of a graph and of the graphs in it; those that recurrent operators read are called so."""
    from onnx import numpy_helper

    gates = {name for node in graph.node if node.op_type in RECURRENT for name in node.input[1:4]}
    values = {one.name: one for one in graph.initializer} | _constants(graph)
    for name, value in values.items():
        known = name.removesuffix("_quantized")
        yield (f"recurrent.{known}" if name in gates else known), _plain(numpy_helper.to_array(value))
    inner = [one.g for node in graph.node for one in node.attribute if one.HasField("g")]
    for one in inner if depth < DEEPEST else ():
        yield from _initialisers(one, depth + 1)


def _constants(graph: "GraphProto") -> "dict[str, TensorProto]":
    nodes = [node for node in graph.node if node.op_type == "Constant"]
    return {node.output[0]: one.t for node in nodes for one in node.attribute if one.name == "value" and one.t.dims}


def _plain(value: NDArray[np.generic]) -> Tensor:
    """Types that NumPy itself does not have (bfloat16, int4) become float32."""
    return value if value.dtype.kind in "fiub" else value.astype(np.float32)  # type: ignore[return-value]


def _torch(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        with path.open("rb") as file:
            archive = file.read(4) == b"PK\x03\x04"
        said = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # unpickling errors of many kinds
        why = " ".join(str(error).split())[:100]
        raise ArtifactError(
            f"{path}: not a state dict of tensors alone ({why}); save model.state_dict(), not the model"
        ) from None
    return dict(_flat(said, "", 0))


def _flat(said: object, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """Tensors of nested dictionaries, as checkpoints have them, by dotted names."""
    import torch

    if isinstance(said, torch.Tensor):
        value = said.detach()
        value = value.dequantize() if value.is_quantized else value
        yield prefix, (value.float() if value.dtype is torch.bfloat16 else value).numpy()
    elif isinstance(said, Mapping) and depth < DEEPEST:
        for name, value in said.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name), depth + 1)
