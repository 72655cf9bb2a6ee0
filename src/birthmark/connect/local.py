"""Models on this machine: safetensors files with a card inside, exported programs (.pt2), or modules in memory.

A model file is one safetensors file whose metadata entry "birthmark" holds a JSON card: architecture, input shape,
outputs, kind of answers. A state dict from elsewhere is read with a card beside it, `NAME.json`. Nothing is unpickled.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import nn

from birthmark import architectures
from birthmark.artifact import canonical, write_atomically
from birthmark.errors import ArtifactError, OracleError, SettingError
from birthmark.oracle import Oracle
from birthmark.suspects.programs import open_program
from birthmark.training import outputs
from birthmark.types import Access, Answers, Array, Floats

FORMAT = "birthmark/model/1"


@dataclass(frozen=True)
class ModelCard:
    """What a model file must say of itself.

    Attributes:
        architecture: a name of `birthmark.architectures`, or "module:function" ((shape, outputs) -> nn.Module), which
            is imported only when the user names it on the command line, never because a file says so.
        shape: one input's own shape.
        outputs: number of classes or values.
        answers: kind of rows the network returns.
    """

    architecture: str
    shape: tuple[int, ...]
    outputs: int
    answers: Answers = Answers.LOGITS


class Open(Oracle):
    """A network in memory: grants its weights as `.module`.

    Raises:
        OracleError: its weights are not finite.
    """

    access = Access.WEIGHTS

    def __init__(self, module: nn.Module, answers: Answers = Answers.LOGITS, name: str = "model") -> None:
        bad = [key for key, value in module.state_dict().items() if value.is_floating_point() and not torch.isfinite(value).all()]
        if bad:
            raise OracleError(
                f"{name}: expected finite weights, got NaN or infinity in {', '.join(bad[:3])}; the file is damaged or training diverged"
            )
        self.module = module.eval()
        self.answers = answers
        self.name = name

    def __call__(self, inputs: Array) -> Floats:
        try:
            return outputs(self.module, np.ascontiguousarray(inputs, dtype=np.float32))
        except (RuntimeError, ValueError) as error:
            raise OracleError(f"{self.name}: cannot answer inputs of shape {inputs.shape}: {str(error).splitlines()[0]}") from None


class Program(Oracle):
    """An exported program: answers, but grants no weights to train further."""

    access = Access.PROBS

    def __init__(self, module: nn.Module, answers: Answers, name: str) -> None:
        self.module, self.answers, self.name = module, answers, name

    @torch.no_grad()
    def __call__(self, inputs: Array) -> Floats:
        rows = list[torch.Tensor]()
        try:
            for part in torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32)).split(500):
                rows.append(self.module(part).float().reshape(len(part), -1))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise OracleError(
                f"{self.name}: cannot answer inputs of shape {inputs.shape}: {str(error).splitlines()[0]}; export it with a dynamic batch dimension"
            ) from None
        return torch.cat(rows).double().numpy()


def save_model(path: Path, module: nn.Module, card: ModelCard, about: Mapping[str, Any] | None = None) -> None:
    """Write a network as one safetensors file with its card inside; `about` says how it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = canonical({"format": FORMAT, **asdict(card), "answers": card.answers.value, "about": about or {}}).decode()
    tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    write_atomically(path, save_tensors(tensors, metadata={"birthmark": entry}))


def load_module(
    path: Path, *, architecture: str = "", shape: tuple[int, ...] = (), classes: int = 0, answers: Answers | None = None
) -> tuple[nn.Module, ModelCard, Mapping[str, Any]]:
    """Read a network from safetensors.

    Args:
        architecture, shape, classes, answers: what the card does not say, or is to be overruled.

    Returns:
        The network in eval mode, its card, and what the file says about how it was made.

    Raises:
        ArtifactError: not safetensors (a pickle is named so), truncated, without a card, or with weights that do not fit.
    """
    entry, tensors = read_tensors(path)
    said = entry.get("architecture", "")
    if not architecture and ":" in said and said.partition(":")[0] not in architectures.ARCHITECTURES:
        raise ArtifactError(
            f"{path}: its card names code to import ({said!r}), which birthmark does not run on a file's word; give --architecture {said} if you trust it"
        )
    try:
        card = ModelCard(
            architecture or said,
            tuple(shape or entry["shape"]),
            classes or entry["outputs"],
            answers or Answers(entry.get("answers", "logits")),
        )
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{path}: the card lacks or misstates {error}; give --architecture, --shape and --classes") from None
    if not card.architecture:
        raise ArtifactError(f"{path}: no architecture is known; give --architecture NAME (birthmark list architectures) or module:function")
    module = make_network(card)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(
            f"{path}: the weights do not fit architecture {card.architecture!r}: {' '.join(str(error).split())[:300]}"
        ) from None
    return module.eval(), card, entry.get("about", {})


def make_network(card: ModelCard) -> nn.Module:
    """The card's network, with fresh weights."""
    family = card.architecture.partition(":")[0]
    if ":" in card.architecture and family not in architectures.ARCHITECTURES:
        module: nn.Module = imported(card.architecture)(card.shape, card.outputs)
        module.__dict__["architecture"] = card.architecture
        return module
    return architectures.build(card.architecture, card.shape, card.outputs, seed=0)


def imported(spec: str) -> Any:
    """The function that "module:function" names; the current directory counts as importable.

    Raises:
        SettingError: no such module or function.
    """
    import sys
    from importlib import import_module

    module, _, function = spec.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SettingError(f"cannot import {spec!r} ({error}); expected module:function, importable from here") from None


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A model file's card entry (empty if it has none, here or beside it) and its tensors by name.

    Raises:
        ArtifactError: not a whole safetensors file, a pickle, or a card that cannot be read.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(9)
    pickled = (
        head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") and head[8:] != b"{"
    )  # a safetensors header may be 0x0280 bytes long
    if pickled or head[:4] == b"PK\x03\x04":
        raise ArtifactError(
            f"{path}: this is a pickle or a torch archive, which can run code when read; save the state dict with safetensors, or export the program as .pt2"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: not a whole safetensors file ({error})") from None
    beside = path.with_suffix(".json")
    try:
        entry = json.loads(metadata["birthmark"]) if "birthmark" in metadata else json.loads(beside.read_text()) if beside.is_file() else {}
    except ValueError:
        raise ArtifactError(f"{path}: its card is not JSON; the file was edited") from None
    version = str(entry.get("format", FORMAT)).rpartition("/")[2]
    if version.isdigit() and int(version) > int(FORMAT.rpartition("/")[2]):
        raise ArtifactError(f"{path}: made by a newer birthmark (format {entry['format']}); upgrade birthmark")
    return entry, tensors


def open_file(path: Path, *, answers: Answers | None = None, **known: Any) -> Oracle:
    """A suspect from a file: .pt2 answers only; safetensors grants its weights too."""
    if path.suffix == ".pt2":
        return Program(open_program(path), answers or Answers.LOGITS, str(path.name))
    module, card, _ = load_module(path, answers=answers, **known)
    return Open(module, card.answers, path.name)
