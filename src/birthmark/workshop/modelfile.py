"""Model files: one safetensors file whose metadata entry "birthmark" holds a JSON head.

The head says architecture, input shape, outputs and the kind of answers. A state dict from elsewhere is read with a
head beside it, `NAME.json`: one safetensors file, several with an index, or a torch archive (.pt, .pth), which torch's
weights-only loader reads. Nothing else is unpickled.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import nn

from birthmark.artifact import canonical, parsed, write_atomically
from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, SettingError, UnknownName
from birthmark.secrets import printable
from birthmark.types import Answers, Plain
from birthmark.workshop import architectures
from birthmark.workshop.card import is_code
from birthmark.workshop.code import imported

FORMAT = "birthmark/model/1"
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")  # of DataParallel, torch.compile, Lightning
ARCHIVES = (".pt", ".pth", ".bin", ".ckpt")
NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")
LARGEST = 1 << 20  # of any one dimension and of the number of outputs


def _count(value: object) -> bool:
    return type(value) is int and 1 <= value <= LARGEST


FIELDS: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("architecture", "a name", lambda value: isinstance(value, str)),
    ("shape", f"whole numbers from 1 to {LARGEST}", lambda value: isinstance(value, list) and all(map(_count, value))),
    ("outputs", f"a whole number from 1 to {LARGEST}", _count),
    ("answers", f"one of {', '.join(Answers)}", lambda value: value in list(Answers)),
    ("about", "an object", lambda value: isinstance(value, dict)),
)


@dataclass(frozen=True)
class ModelHead:
    """What a model file must say of itself.

    Attributes:
        architecture: a name of `birthmark.workshop.architectures`, or "module:function" ((shape, outputs) -> network),
            which is imported only when the user names it on the command line, never because a file says so.
        shape: one input's own shape.
        outputs: number of classes or values.
        answers: kind of rows the network returns.
    """

    architecture: str
    shape: tuple[int, ...]
    outputs: int
    answers: Answers = Answers.LOGITS


def save_model(path: Path, module: nn.Module, card: ModelHead, about: Plain | None = None) -> None:
    """Write a network as one safetensors file with its card inside; `about` says how it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = canonical({"format": FORMAT, **asdict(card), "answers": card.answers.value, "about": about or {}}).decode()
    tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    write_atomically(path, save_tensors(tensors, metadata={"birthmark": entry}))


def load_module(
    path: Path,
    *,
    architecture: str = "",
    shape: tuple[int, ...] = (),
    classes: int = 0,
    answers: Answers | None = None,
    task: Task | None = None,
) -> tuple[nn.Module, ModelHead, Plain]:
    """Read a network from safetensors.

    Args:
        architecture, shape, classes, answers: what the card does not say, or is to be overruled.
        task: completes what neither says.

    Returns:
        The network in eval mode, its card, and what the file says about how it was made.

    Raises:
        ArtifactError: not safetensors (a pickle is named so), truncated, without a card, or with weights that do not
            fit.
    """
    entry, tensors = read_tensors(path)
    own = (tuple(task.shape), task.outputs) if task else ((), 0)
    card = ModelHead(
        architecture or _trusted(entry.get("architecture", ""), path),
        tuple(shape or entry.get("shape") or own[0]),
        classes or entry.get("outputs") or own[1],
        answers or Answers(entry.get("answers", "logits")),
    )
    if not card.shape or not card.outputs:
        raise ArtifactError(
            f"{path}: the shape of inputs and the number of outputs are not known; give --shape and --classes"
        )
    module = _built(card, path, sum(tensor.numel() for tensor in tensors.values()), trusted=bool(architecture))
    tensors = _as_in(module, tensors, path)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(
            f"{path}: the weights do not fit architecture {card.architecture!r}: {' '.join(str(error).split())[:300]}"
        ) from None
    return module.eval(), card, entry.get("about", {})


def _trusted(architecture: str, path: Path) -> str:
    """What a file's card calls its architecture, if that is a name and no code."""
    if is_code(architecture):
        raise ArtifactError(
            f"{path}: its card names code to import ({architecture!r}), which birthmark does not run on a file's word; "
            f"give --architecture {architecture} if you trust it"
        )
    if not architecture:
        raise ArtifactError(
            f"{path}: no architecture is known; give --architecture NAME (birthmark list architectures) or "
            "module:function"
        )
    return architecture


def _built(card: ModelHead, path: Path, weights: int, *, trusted: bool) -> nn.Module:
    """The card's network, if it has about as many weights as the file holds: a file's word allocates no memory."""
    try:
        if not is_code(card.architecture):
            with torch.device("meta"):
                size = sum(tensor.numel() for tensor in make_network(card).state_dict().values())
            if size > 2 * weights + 1_000_000:
                raise ArtifactError(
                    f"{path}: the weights do not fit architecture {card.architecture!r}, which has {size}; the file "
                    f"holds {weights}"
                )
        return make_network(card)
    except (SettingError, UnknownName, RuntimeError, TypeError, ZeroDivisionError) as error:
        if trusted and isinstance(error, BirthmarkError):
            raise
        name, text = printable(card.architecture, 80), printable(" ".join(str(error).split()), 300)
        raise ArtifactError(f"{path}: architecture {name!r} cannot be built ({text})") from None


def _as_in(module: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """The tensors by the network's own names; what wrappers put before every name is taken away.

    Raises:
        ArtifactError: whole numbers where the network has real weights: quantised, and nobody says how.
    """
    known = module.state_dict()
    for _ in range(4):
        if tensors.keys() <= known.keys():
            break
        prefix = next((p for p in WRAPPERS if all(key.startswith(p) for key in tensors)), "")
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    for key, value in tensors.items():
        if key not in known or known[key].is_floating_point():
            _require_real(key, value, path)
    return tensors


def _require_real(key: str, value: torch.Tensor, path: Path) -> None:
    if not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise ArtifactError(
            f"{path}: its weights are quantised ({printable(key, 80)} is {kind}), and their scales are not applied "
            "here; save them in float32, or export the model as ONNX"
        )


def make_network(card: ModelHead) -> nn.Module:
    """The card's network, with fresh weights."""
    if is_code(card.architecture):
        module = _called(imported(card.architecture), card)
        module.__dict__["architecture"] = card.architecture
        return module
    return architectures.build(card.architecture, card.shape, card.outputs, seed=0)


def _called(build: Callable[..., object], card: ModelHead) -> nn.Module:
    """What a function (shape, outputs) -> network, or a class of networks without parameters, makes."""
    try:
        bare = not signature(build).parameters
    except (TypeError, ValueError):
        bare = False
    try:
        made = build() if bare else build(card.shape, card.outputs)
    except TypeError as error:
        raise SettingError(
            f"{card.architecture}: expected (shape, outputs) -> network, or a class without parameters; calling it "
            f"says {error}"
        ) from None
    if not isinstance(made, nn.Module):
        raise SettingError(f"{card.architecture}: expected a network, got {type(made).__name__}")
    return made


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A model file's card entry (empty if it has none, here or beside it) and its tensors by name.

    Raises:
        ArtifactError: not a whole safetensors file, a pickle, or a card that cannot be read.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file")
    metadata, tensors = _weights(path)
    beside = path.with_name(path.name.removesuffix(".index.json").removesuffix(path.suffix) + ".json")
    try:
        if "birthmark" in metadata:
            entry = parsed(metadata["birthmark"].encode(), f"{path}: its card")
        else:
            entry = parsed(beside.read_bytes(), f"{path}: its card") if beside.is_file() else {}
    except OSError as error:
        raise ArtifactError(f"{beside}: cannot be read ({error.strerror})") from None
    _check_entry(entry, path)
    return entry, tensors


def _weights(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    if path.suffix.lower() in ARCHIVES:
        return {}, _archive(path)
    if path.suffix.lower() == ".json":
        return {}, {key: tensor for shard in _shards(path) for key, tensor in _safe(shard)[1].items()}
    return _safe(path)


def _safe(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    _refuse_pickles(path)
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: not a whole safetensors file ({error})") from None


def _shards(index: Path) -> list[Path]:
    """The files that an index names; they lie beside it."""
    said = parsed(index.read_bytes(), str(index))
    names = said.get("weight_map") if isinstance(said, dict) else None
    if not isinstance(names, dict) or not all(isinstance(n, str) and Path(n).name == n for n in names.values()):
        raise ArtifactError(f"{index}: expected an index of safetensors files beside it (weight_map)")
    found = [index.with_name(name) for name in sorted(set(names.values()))]
    if lacking := [file.name for file in found if not file.is_file()]:
        raise ArtifactError(f"{index}: names {', '.join(lacking)[:200]}, which is not there")
    return found


def _archive(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a torch archive, bare or under a usual name, by torch's weights-only loader."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile one makes it raise
        said = printable(" ".join(str(error).split()), 120)
        raise ArtifactError(
            f"{path}: no state dict that can be read without running code ({type(error).__name__}: {said}); save "
            "model.state_dict(), or export the model as ONNX"
        ) from None
    inside = [found.get(name) for name in NESTED] if isinstance(found, dict) else []
    for state in (found, *inside):
        if _is_state(state):
            return {str(key): value for key, value in state.items()}
    holds = ", ".join(map(str, list(found)[:8])) if isinstance(found, dict) else type(found).__name__
    raise ArtifactError(
        f"{path}: expected a state dict, or one under {', '.join(NESTED)}; it holds {printable(holds, 200)}"
    )


def _is_state(state: object) -> bool:
    return isinstance(state, dict) and bool(state) and all(isinstance(v, torch.Tensor) for v in state.values())


def _refuse_pickles(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(9)
    # a safetensors header may be 0x0280 bytes long
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and head[8:] != b"{"
    if pickled or head[:4] == b"PK\x03\x04":
        raise ArtifactError(
            f"{path}: this is a pickle or a torch archive, which can run code when read; save the state dict with "
            "safetensors, or export the model as ONNX"
        )


def _check_entry(entry: object, path: Path) -> None:
    if not isinstance(entry, dict):
        got = printable(repr(entry), 60)
        raise ArtifactError(f"{path}: expected an object in its card, got {got}; the file was edited")
    for key, expected, fits in FIELDS:
        if key in entry and not fits(entry[key]):
            got = printable(f"{entry[key]!r} as {key}", 60)
            raise ArtifactError(f"{path}: expected {expected} in its card, got {got}; the file was edited")
    version = str(entry.get("format", FORMAT)).rpartition("/")[2]
    if re.fullmatch("[0-9]{1,9}", version) and int(version) > int(FORMAT.rpartition("/")[2]):
        raise ArtifactError(f"{path}: made by a newer birthmark (format {entry['format']}); upgrade birthmark")


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256, in hex, of named tensors: names, types, shapes and bytes."""
    total = sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(canonical([name, str(value.dtype), list(value.shape)]))
        if value.numel():
            total.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
