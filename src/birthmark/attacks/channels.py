"""Structured pruning: whole channels of a copy are silenced, and stay silent through fine-tuning.

`prune-channels` silences the smallest filters of every hidden layer (Li et al. 2017), `fine-prune` the channels of the
last hidden layer that clean data wake least (Liu, Dolan-Gavitt & Garg 2018). Shapes stay as they are: a silent channel
is a filter, bias and batch norm of zeros.
"""

from abc import abstractmethod
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import prune as masks

from birthmark.errors import SettingError
from birthmark.settings import Allowed
from birthmark.theft.parents import FineTuning
from birthmark.theft.weights import last_layer, layers_in_order, restored
from birthmark.types import Array, Samples
from birthmark.workshop.training import fit

PRESETS = {"wrt": {"amount": 0.96, "epochs": 10}, "sac": {"amount": 0.8, "epochs": 10}}
Layer = nn.Linear | nn.modules.conv._ConvNd
Channels = tuple[Layer, _BatchNorm | None]  # a layer, and the batch norm that follows it


@dataclass(frozen=True)
class Silencing(FineTuning):
    """Silence channels, then fine-tune.

    Attributes:
        amount: share of each layer's channels, 0 to 1; at least one channel stays.
        epochs: of the fine-tuning; 0 for none.
    """

    allowed: ClassVar[Allowed] = {"amount": "[0, 1)"}

    amount: float = 0.2

    @abstractmethod
    def worths(self, copy: nn.Module, layers: list[Channels], inputs: Array) -> list[tuple[Channels, Tensor]]:
        """The layers to silence channels of, with each channel's worth (c,): the least go first."""

    def tune(self, copy: nn.Module, data: Samples, seed: int) -> nn.Module:
        whole = deepcopy(copy)
        held = list[tuple[nn.Module, str]]()
        for (layer, norm), value in self.worths(copy, _hidden(copy, data.inputs), data.inputs):
            kept = torch.ones(len(value), device=value.device)
            kept[value.argsort(stable=True)[: min(round(self.amount * len(value)), len(value) - 1)]] = 0
            for part in filter(None, (layer, norm)):
                for name, parameter in list(part.named_parameters(recurse=False)):
                    masks.custom_from_mask(part, name, kept.view(-1, *[1] * (parameter.ndim - 1)).expand_as(parameter))
                    held.append((part, name))
        if self.epochs:
            fit(copy, data, self.how(len(data)), seed=seed)
        for silent, name in held:
            masks.remove(silent, name)
        return restored(whole, copy)


@dataclass(frozen=True)
class PruneChannels(Silencing):
    """Silence the filters of least L1 norm in every layer but the last, then fine-tune."""

    name: ClassVar[str] = "prune-channels"
    source_paper: ClassVar[str] = "Li et al. 2017"

    def worths(self, copy: nn.Module, layers: list[Channels], inputs: Array) -> list[tuple[Channels, Tensor]]:
        return [(pair, pair[0].weight.detach().flatten(1).abs().sum(1)) for pair in layers]


@dataclass(frozen=True)
class FinePrune(Silencing):
    """Silence the channels of the last hidden layer that are least active on the thief's data, then fine-tune."""

    name: ClassVar[str] = "fine-prune"
    source_paper: ClassVar[str] = "Liu et al. 2018"

    amount: float = 0.5

    def worths(self, copy: nn.Module, layers: list[Channels], inputs: Array) -> list[tuple[Channels, Tensor]]:
        layer, norm = layers[-1]
        return [(layers[-1], _activity(copy, norm or layer, inputs))]


def _hidden(module: nn.Module, inputs: Array) -> list[Channels]:
    """Every layer but the one that answers, in calling order."""
    called, last = layers_in_order(module, inputs), last_layer(module, inputs)
    hidden = list[Channels]()
    for layer, after in zip(called, [*called[1:], None], strict=True):
        if isinstance(layer, Layer) and layer is not last:
            norm = after if isinstance(after, _BatchNorm) and after.num_features == len(layer.weight) else None
            hidden.append((layer, norm))
    if not hidden:
        raise SettingError(
            "expected a network with hidden layers to prune, found one layer; use quantise or weight-noise"
        )
    return hidden


@torch.no_grad()
def _activity(module: nn.Module, layer: nn.Module, inputs: Array) -> Tensor:
    """Mean positive activation of each channel of a layer or batch norm, on at most 2,000 inputs."""
    seen = list[Tensor]()

    def note(_: nn.Module, __: object, output: Tensor) -> None:
        channels = output if output.ndim == 2 else output.flatten(2).mean(2)
        seen.append(torch.relu(channels).mean(0))

    hook = layer.register_forward_hook(note)
    try:
        where = next(module.parameters()).device
        for part in torch.from_numpy(inputs[:2000]).split(500):
            module(part.to(where))
    finally:
        hook.remove()
    return torch.stack(seen).mean(0)
