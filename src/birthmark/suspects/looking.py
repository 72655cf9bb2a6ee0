"""What a model file says of itself before anybody asks it: its kind, what it wants, what it answers.

It runs in the child process that opens strangers' files (`served`), and tells in plain data.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from birthmark.artifact import parsed
from birthmark.errors import ArtifactError
from birthmark.suspects.files import refuse_others
from birthmark.suspects.scope import check_config
from birthmark.types import Plain


class About(TypedDict):
    """What is said: one line, one input's shape and the number of outputs ([] and 0 where nobody knows), or text."""

    what: str
    shape: list[int]
    outputs: int
    text: bool


def look(path: Path) -> About:
    """What a file or a folder says of itself.

    Raises:
        ArtifactError: of a kind that is not read, or damaged.
    """
    refuse_others(path)
    if path.is_dir():
        return _folder(path)
    return _onnx(path) if path.suffix.lower() == ".onnx" else _tensors(path)


def _onnx(path: Path) -> About:
    from birthmark.suspects.onnx import session_of

    session, _ = session_of(path)
    wants, gives = session.get_inputs(), session.get_outputs()
    said = [f"{kind} {', '.join(map(_port, ports))}" for kind, ports in (("input", wants), ("output", gives))]
    shape, row = (_sizes(ports[0].shape[1:]) if len(ports) == 1 else [] for ports in (wants, gives))
    return About(
        what=f"an ONNX file: {'; '.join(said)}", shape=shape, outputs=row[0] if len(row) == 1 else 0, text=False
    )


def _port(port: Any) -> str:
    return f"{port.name} {port.type.removeprefix('tensor(').removesuffix(')')} {list(port.shape)}"


def _sizes(dimensions: Sequence[object]) -> list[int]:
    """Dimensions, if all of them are fixed."""
    known = [size for size in dimensions if isinstance(size, int) and size > 0]
    return known if len(known) == len(dimensions) else []


def _tensors(path: Path) -> About:
    from birthmark.workshop.modelfile import read_tensors

    entry, tensors = read_tensors(path)
    size = sum(tensor.numel() for tensor in tensors.values())
    named = f"architecture {entry['architecture']}" if "architecture" in entry else "without a card: no architecture"
    return About(
        what=f"a state dict, {len(tensors)} tensors with {size:,} numbers, {named}",
        shape=list(entry.get("shape", [])),
        outputs=int(entry.get("outputs", 0)),
        text=False,
    )


def _folder(path: Path) -> About:
    config = _json(path / "config.json")
    check_config(config, "", str(path))
    heads = ", ".join(map(str, config.get("architectures") or ["no architecture named"]))
    names = config.get("id2label")
    side = config.get("image_size")
    picture = [int(config.get("num_channels", 3)), side, side] if isinstance(side, int) else []
    text = "ForSequenceClassification" in heads
    classes = len(names) if isinstance(names, Mapping) else 0
    return About(what=f"a Hugging Face folder: {heads}", shape=picture, outputs=classes, text=text)


def _json(path: Path) -> Plain:
    if not path.is_file():
        raise ArtifactError(f"{path.parent}: expected a model; this folder has no config.json, as Hugging Face's have")
    found = parsed(path.read_bytes(), str(path))
    if not isinstance(found, dict):
        raise ArtifactError(f"{path}: expected an object, got {type(found).__name__}; the file was edited")
    return found
