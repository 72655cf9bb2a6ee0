"""Named weights of a model file as NumPy arrays: safetensors (sharded, Hugging Face folders), ONNX initialisers.

NumPy alone reads safetensors, memory-mapped, so that a large pair costs no more than its bytes. Nothing is unpickled.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birthmark.errors import ArtifactError

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
HEADER = 64 << 20  # most bytes of a safetensors header
PREFIX = re.compile(r"^(?:(?:module|_orig_mod)\.)+")
Tensor = NDArray[np.number]
Weights = Mapping[str, Tensor]


def weights(path: Path) -> Weights:
    """A model's tensors by name, in the order of the names' numbers; wrappers' prefixes (`module.`) are dropped.

    Args:
        path: a safetensors or ONNX file, an index of shards (`*.safetensors.index.json`), or a folder that holds one.

    Raises:
        ArtifactError: missing, truncated, of an unknown kind, with a missing shard, or with weights that are not
            finite.
    """
    place = _entry(path)
    if place.name.endswith(".index.json"):
        found = {name: value for shard in _shards(place) for name, value in _safetensors(shard).items()}
    else:
        found = _onnx(place) if place.suffix.lower() == ".onnx" else _safetensors(place)
    if not found:
        raise ArtifactError(f"{path}: expected weights, found none")
    named = {PREFIX.sub("", name): value for name, value in found.items()}
    for name, value in named.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ArtifactError(f"{path}: {name} holds NaN or infinity; the file is damaged or training diverged")
    return dict(sorted(named.items(), key=lambda item: _natural(item[0])))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _entry(path: Path) -> Path:
    if path.is_dir():
        for name in ("model.safetensors.index.json", "model.safetensors", "model.onnx"):
            if (path / name).is_file():
                return path / name
        raise ArtifactError(f"{path}: expected model.safetensors, its index of shards, or model.onnx in the folder")
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file")
    return path


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ArtifactError(f"{index}: expected an index with a weight_map of shards") from None
    shards = [index.parent / Path(str(name)).name for name in names]
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
        raise ArtifactError(
            f"{path}: not a whole safetensors file ({str(error)[:100]}); pickles are not read"
        ) from None


def _tensor(path: Path, base: int, size: int, dtype: str, shape: list[int], place: list[int]) -> Tensor:
    start, end = place
    kind = np.dtype("<u2" if dtype == "BF16" else DTYPES[dtype])
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if min([*shape, start, end - start], default=0) < 0 or base + end > size or end - start != count * kind.itemsize:
        raise ValueError("a tensor lies outside the file")
    if not count:
        return np.zeros(shape, dtype=np.float32)
    raw = np.memmap(path, dtype=kind, mode="r", offset=base + start, shape=tuple(shape))
    return (raw.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else raw


def _onnx(path: Path) -> dict[str, Tensor]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise ArtifactError(f"{path}: ONNX files need the package onnx; install birthmark[onnx]") from None
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.load_external_data_for_model(model, str(path.parent))
        return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    except Exception as error:  # protobuf's and onnx's own errors have no common parent
        raise ArtifactError(f"{path}: not a whole ONNX file ({str(error).splitlines()[0][:100]})") from None
