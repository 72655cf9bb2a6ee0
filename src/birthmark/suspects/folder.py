"""Local Hugging Face folders (config.json and model.safetensors), by transformers (extra `hf`): classifiers of images,
of texts, and of token ids; grants the weights.

Nothing is downloaded, no code from the folder runs, pickled weights are refused. The folder's preprocessor_config.json
says how inputs in [0, 1] are resized and normalised; what a spec declares comes before it. Weights of half precision
are asked in single precision, and the suspect's name says so.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, SettingError
from birthmark.suspects.description import SuspectSpec, declared
from birthmark.suspects.scope import check_config
from birthmark.suspects.tokenised import TextClassifier, TokenClassifier, tokenizer_of
from birthmark.types import Answers, Form
from birthmark.workshop.whitebox import Open

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

LONGEST = 16 << 20  # bytes of a folder's JSON
LARGEST_SIDE = 4096  # pixels
LARGEST = 3e38  # of a number that decides pixels
RESAMPLINGS = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
FLOATS = {"F64", "F32", "F16", "BF16"}
BESIDE = {"I64", "I32", "U8", "BOOL"}  # of buffers: counters, indices, masks


@dataclass(frozen=True)
class Preprocessing:
    """How pixels in [0, 1] reach the network: resized, then less mean, divided by std, a value a channel."""

    size: tuple[int, int] | None
    resampling: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Classifier(nn.Module):
    """Images (n, c, h, w) in [0, 1] -> logits (n, k) in the suspect's columns that `order` names, or in all."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, before: Preprocessing, order: list[int]) -> None:
        super().__init__()
        self.network = network
        self.before = before
        self.order = order
        self.register_buffer("mean", torch.tensor(before.mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(before.std).reshape(-1, 1, 1), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        x, size, mode = inputs, self.before.size, self.before.resampling
        if size is not None and tuple(x.shape[2:]) != size:
            x = functional.interpolate(x, size, mode=mode, antialias=mode != "nearest")
        logits: Tensor = self.network(pixel_values=(x - self.mean) / self.std).logits
        return logits[:, self.order] if self.order else logits


def open_folder(path: Path, spec: SuspectSpec, task: Task) -> tuple[Open, SuspectSpec]:
    """The classifier in a folder that `save_pretrained` wrote, and what of the spec it leaves to be done.

    Raises:
        ArtifactError: no such model inside, or not one that can be read without running its code.
        SettingError: colour channels or classes that are not the claim's, or something that must be declared.
    """
    spec = declared(spec.completed(answers="logits"), task)
    precisions = _inspected(path, spec.reading.answers)
    images = task.form is Form.NUMBERS and len(task.shape) == 3
    network, config = _loaded(path, "ImageClassification" if images else "SequenceClassification")
    names = [str(name) for _, name in sorted((config.id2label or {}).items())]
    module = _module(path, network, config, spec, task)(_order(names, spec, task, path))
    half = ", ".join(sorted(precisions & {"F16", "BF16"}))
    model = Open(module, Answers.LOGITS, path.name + (f" ({half} weights asked as F32)" if half else ""))
    rest = spec.having(order=(), labels=(), mean=(), std=(), layout="")
    return model, rest


def _module(
    path: Path, network: nn.Module, config: "PreTrainedConfig", spec: SuspectSpec, task: Task
) -> Callable[[list[int]], nn.Module]:
    """What makes the network take the claim's inputs, given the order of its columns.

    Raises:
        SettingError: inputs of another kind.
    """
    if task.form is Form.TEXT:
        return partial(TextClassifier, network, *tokenizer_of(path, config))
    if task.form is Form.NUMBERS and len(task.shape) == 1:
        return partial(TokenClassifier, network, config.pad_token_id)
    channels = getattr(config, "num_channels", task.shape[0] if task.shape else 0)
    if len(task.shape) != 3 or channels != task.shape[0]:
        raise SettingError(
            f"{path}: wants images of {channels} channels, the claim's inputs are {list(task.shape) or task.form}: it "
            "was made for another task"
        )
    return partial(Classifier, network, _preprocessing(path, channels, spec))


def _order(names: list[str], spec: SuspectSpec, task: Task, path: Path) -> list[int]:
    """The model's column of each of the source's classes; empty if they are in order."""
    wanted = spec.reading.labels or (task.names if set(task.names) <= set(names) and not spec.reading.order else ())
    order = [_index(names, label, path) for label in wanted] or list(spec.reading.order)
    if not order and len(names) != task.outputs and spec.reading.answers not in ("sigmoid", "log-odds"):
        raise SettingError(
            f"{path}: has {len(names)} classes ({', '.join(names)[:100]}), the claim {task.outputs}; declare order or "
            "labels (or answers log-odds, if it is one number for two classes)"
        )
    if order and max(order) >= len(names):
        raise SettingError(f"{path}: has {len(names)} classes, order names column {max(order)}")
    return order


def _inspected(path: Path, answers: str) -> set[str]:
    """The kinds of number that the weights are written in.

    Raises:
        ArtifactError: no weights in safetensors, code to run, quantised weights.
        SettingError: a detector, a generator of text, or another model that no claim can be about.
    """
    config = _json(path / "config.json")
    check_config(config, answers, str(path))
    files = sorted(path.glob("model*.safetensors"))
    if not files:
        raise ArtifactError(
            f"{path}: expected model.safetensors there; pickled weights (pytorch_model.bin) can run code and are not "
            "read"
        )
    if "auto_map" in config:
        raise ArtifactError(
            f"{path}: its config names code to run (auto_map), which birthmark does not; export the model as ONNX"
        )
    kinds = set[str]()
    try:
        for file in files:
            with safe_open(file, framework="pt") as tensors:
                kinds |= {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ArtifactError(
            f"{path}: not an image classifier that transformers can read ({str(error)[:200]})"
        ) from None
    odd = kinds - FLOATS - BESIDE
    if odd or "quantization_config" in config:
        raise ArtifactError(
            f"{path}: its weights are quantised ({', '.join(sorted(odd)) or 'quantization_config'}), which is not "
            "undone here; export the model as ONNX, or save it in float32"
        )
    return kinds


def _loaded(path: Path, kind: str) -> tuple[nn.Module, "PreTrainedConfig"]:
    try:
        import transformers
    except ImportError:
        raise BirthmarkError("Hugging Face folders need transformers: pip install 'birthmark[hf]'") from None
    try:
        network, info = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
            str(path),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except Exception as error:  # transformers raises many kinds
        noun = "an image classifier" if kind.startswith("Image") else "a classifier of texts"
        raise ArtifactError(
            f"{path}: not {noun} that transformers can read ({' '.join(str(error).split())[:200]})"
        ) from None
    if info["missing_keys"] or info["mismatched_keys"]:
        lacks = ", ".join(map(str, [*info["missing_keys"], *info["mismatched_keys"]][:3]))
        raise ArtifactError(
            f"{path}: its weights lack {lacks}, so it is no whole classifier; transformers would fill them with noise"
        )
    return network, network.config


def _preprocessing(path: Path, channels: int, spec: SuspectSpec) -> Preprocessing:
    file = path / "preprocessor_config.json"
    said = _json(file) if file.is_file() else {}
    resampling = RESAMPLINGS.get(int(_number(said, "resample", 2, file)))
    if resampling is None:
        raise SettingError(
            f"{file}: resample {said['resample']} is none of {RESAMPLINGS}; serve the model, give its URL"
        )
    size = _size(said, file) if _flag(said, "do_resize", False, file) else None
    factor = _factor(said, file)
    mean = spec.writing.mean or _normal(said, "image_mean", 0.0, channels, factor, file)
    std = spec.writing.std or _normal(said, "image_std", 1.0, channels, factor, file)
    if any(value <= 0 for value in std):
        raise SettingError(f"{file}: expected image_std above 0, got {list(std)}; declare mean and std")
    return Preprocessing(size, resampling, mean, std)


def _factor(said: Mapping[str, object], file: Path) -> float:
    """What the network sees where our pixel, in [0, 1], is 1."""
    factor = _number(said, "rescale_factor", 1 / 255, file) * 255 if _flag(said, "do_rescale", True, file) else 255.0
    if not factor > 0:
        raise SettingError(
            f"{file}: expected rescale_factor above 0, got {said['rescale_factor']}; declare mean and std"
        )
    return 1.0 if math.isclose(factor, 1.0) else factor


def _normal(
    said: Mapping[str, object], key: str, plain: float, channels: int, factor: float, file: Path
) -> tuple[float, ...]:
    """A number a channel, in units of our pixels."""
    normalised = _flag(said, "do_normalize", False, file)
    return tuple(v / factor for v in (_channels(said, key, channels, file) if normalised else [plain] * channels))


def _size(said: Mapping[str, object], file: Path) -> tuple[int, int]:
    wanted = said.get("size")
    cropped = said.get("crop_size", wanted) if _flag(said, "do_center_crop", False, file) else wanted
    if not isinstance(wanted, dict) or not {"height", "width"} <= set(wanted) or cropped != wanted:
        raise SettingError(
            f"{file}: size {str(wanted)[:80]} crops or keeps ratios, which is not reproduced here; serve the model and "
            "give its URL"
        )
    sides = [wanted["height"], wanted["width"]]
    if not all(type(side) is int and 0 < side <= LARGEST_SIDE for side in sides):
        raise SettingError(f"{file}: expected a size of 1 to {LARGEST_SIDE} pixels, got {str(wanted)[:80]}")
    return sides[0], sides[1]


def _flag(said: Mapping[str, object], key: str, default: bool, file: Path) -> bool:
    value = said.get(key, default)
    if value is not None and not isinstance(value, bool):
        raise SettingError(f"{file}: expected {key} to be true or false, got {str(value)[:40]!r}")
    return bool(value)


def _number(said: Mapping[str, object], key: str, default: float, file: Path) -> float:
    value = said.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise SettingError(f"{file}: expected {key} to be a number, got {str(value)[:40]!r}; declare mean and std")
    return value


def _channels(said: Mapping[str, object], key: str, channels: int, file: Path) -> tuple[float, ...]:
    """A number a channel; one number stands for all, as transformers reads it."""
    value = said.get(key)
    values = value if isinstance(value, list) else [value] * channels
    if len(values) != channels:
        raise SettingError(
            f"{file}: normalises {len(values)} channels, the network wants {channels}; declare mean and std"
        )
    return tuple(float(_number({key: item}, key, math.nan, file)) for item in values)


def _index(names: list[str], label: str, path: Path) -> int:
    if label not in names:
        raise SettingError(f"{path}: has no class {label!r}; it has {', '.join(names)[:200]}")
    return names.index(label)


def _json(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > LONGEST:
            raise ArtifactError(f"{path}: larger than {LONGEST} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{path}: expected a Hugging Face model's JSON there ({error.__class__.__name__}); is this a model folder?"
        ) from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: expected a JSON object")
    return value
