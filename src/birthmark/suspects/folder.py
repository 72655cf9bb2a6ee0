"""Local Hugging Face folders (config.json and model.safetensors), by transformers (extra `hf`): grants the weights.

Nothing is downloaded, no code from the folder runs, pickled weights are refused. The folder's preprocessor_config.json
says how inputs in [0, 1] are resized and normalised; what a spec declares comes before it.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, SettingError
from birthmark.suspects.description import SuspectSpec


class Classifier(nn.Module):
    """Images (n, c, h, w) in [0, 1] -> logits (n, k) in the source's class order."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, size: tuple[int, int] | None, mean: list[float], std: list[float], order: list[int]
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.order = order
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            x = functional.interpolate(x, self.size, mode="bilinear", antialias=True)
        logits: Tensor = self.network(pixel_values=(x - self.mean) / self.std).logits
        return logits[:, self.order] if self.order else logits


def load_folder(path: Path, spec: SuspectSpec, task: Task) -> nn.Module:
    """The classifier in a folder that `save_pretrained` wrote; returns logits.

    Raises:
        ArtifactError: no such model inside, or not one that can be read without running its code.
        SettingError: colour channels or classes that are not the claim's, or labels that must be declared.
    """
    config = _json(path / "config.json")
    if not (path / "model.safetensors").is_file() and not (path / "model.safetensors.index.json").is_file():
        raise ArtifactError(
            f"{path}: expected model.safetensors there; pickled weights (pytorch_model.bin) can run code and are not "
            "read"
        )
    if "auto_map" in config:
        raise ArtifactError(
            f"{path}: its config names code to run (auto_map), which birthmark does not; export the model as ONNX"
        )
    try:
        from transformers import AutoModelForImageClassification
    except ImportError:
        raise BirthmarkError("Hugging Face folders need transformers: pip install 'birthmark[hf]'") from None
    try:
        network, info = AutoModelForImageClassification.from_pretrained(
            str(path), local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises many kinds
        raise ArtifactError(
            f"{path}: not an image classifier that transformers can read ({' '.join(str(error).split())[:200]})"
        ) from None
    if info["missing_keys"] or info["mismatched_keys"]:
        lacks = ", ".join(map(str, [*info["missing_keys"], *info["mismatched_keys"]][:3]))
        raise ArtifactError(
            f"{path}: its weights lack {lacks}, so it is no whole classifier; transformers would fill them with noise"
        )
    channels = getattr(network.config, "num_channels", task.shape[0])
    if len(task.shape) != 3 or channels != task.shape[0]:
        raise SettingError(
            f"{path}: wants images of {channels} channels, the claim's inputs are {list(task.shape)}: it was made for "
            "another task"
        )
    size, mean, std = _preprocessing(path, channels)
    names = [str(network.config.id2label[i]) for i in range(network.config.num_labels)]
    order = list(spec.order) or [_index(names, label, path) for label in spec.labels]
    return Classifier(network, size, list(spec.mean) or mean, list(spec.std) or std, order)


def _preprocessing(path: Path, channels: int) -> tuple[tuple[int, int] | None, list[float], list[float]]:
    file = path / "preprocessor_config.json"
    said = _json(file) if file.is_file() else {}
    size = None
    if said.get("do_resize"):
        wanted = said.get("size") or {}
        if isinstance(wanted, dict) and {"height", "width"} <= set(wanted):
            size = (int(wanted["height"]), int(wanted["width"]))
        else:
            raise SettingError(
                f"{file}: size {wanted} crops or keeps ratios, which is not reproduced here; serve the model and give "
                "its URL"
            )
    mean, std = [0.0] * channels, [1.0] * channels
    if said.get("do_normalize"):
        mean, std = [float(v) for v in said["image_mean"]], [float(v) for v in said["image_std"]]
    factor = float(said.get("rescale_factor", 1 / 255)) * 255 if said.get("do_rescale", True) else 255.0
    if not math.isclose(factor, 1.0):  # the network sees pixel * factor where ours are pixel
        mean, std = [m / factor for m in mean], [s / factor for s in std]
    if len(mean) != channels or len(std) != channels:
        raise SettingError(
            f"{file}: normalises {len(mean)} channels, the network wants {channels}; declare mean and std"
        )
    return size, mean, std


def _index(names: list[str], label: str, path: Path) -> int:
    if label not in names:
        raise SettingError(f"{path}: has no class {label!r}; it has {', '.join(names)[:200]}")
    return names.index(label)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path}: expected a Hugging Face model's JSON there ({error.__class__.__name__}); is this a model folder?"
        ) from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: expected a JSON object")
    return value
