"""Structured pruning: whole channels of a copy are silenced, and stay silent through fine-tuning.

`prune-channels` silences the smallest filters of every hidden layer (Li et al. 2017), `fine-prune` the channels of the
last hidden layer that clean data wake least (Liu, Dolan-Gavitt & Garg 2018). Shapes stay as they are: a silent channel
is a filter, bias and batch norm of zeros.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import prune as masks

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import at_least
from birthmark.theft.weights import copied, fits, last_layer, layers_in_order, restored
from birthmark.types import Access, Array, Samples
from birthmark.workshop.training import Training, fit

PRESETS = {"wrt": {"amount": 0.96, "epochs": 10}, "sac": {"amount": 0.8, "epochs": 10}}
Layer = nn.Linear | nn.modules.conv._ConvNd


@dataclass(frozen=True)
class PruneChannels(Attack):
    """Silence the filters of least L1 norm in every layer but the last, then fine-tune.

    Attributes:
        amount: share of each layer's channels, 0 to 1; at least one channel stays.
        epochs, rate, batch: of the fine-tuning; 0 epochs for none.
        least_steps: small data are gone through until so many optimiser steps are done (if epochs > 0).
    """

    name: ClassVar[str] = "prune-channels"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Li et al. 2017"

    amount: float = 0.2
    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def __post_init__(self) -> None:
        _check(self.amount)

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        layers = _hidden(copy, fits(copy, data).inputs)
        weakest = {layer: layer.weight.detach().flatten(1).abs().sum(1) for layer, _ in layers}
        return _silenced(target, copy, layers, weakest.__getitem__, self, data, seed)


@dataclass(frozen=True)
class FinePrune(Attack):
    """Silence the channels of the last hidden layer that are least active on the thief's data, then fine-tune.

    Attributes:
        amount: share of that layer's channels, 0 to 1; at least one channel stays.
        epochs, rate, batch, least_steps: as in `PruneChannels`.
    """

    name: ClassVar[str] = "fine-prune"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Liu et al. 2018"

    amount: float = 0.5
    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    least_steps: int = 60

    def __post_init__(self) -> None:
        _check(self.amount)

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy = copied(target)
        layers = _hidden(copy, fits(copy, data).inputs)[-1:]
        return _silenced(target, copy, layers, lambda layer: _activity(copy, layer, data.inputs), self, data, seed)


def _check(amount: float) -> None:
    if not 0 <= amount < 1:
        raise SettingError(f"expected a pruned share in [0, 1), got {amount}")


def _hidden(module: nn.Module, inputs: Array) -> list[tuple[Layer, _BatchNorm | None]]:
    """Every layer but the one that answers, in calling order, with the batch norm that follows it."""
    called, last = layers_in_order(module, inputs), last_layer(module, inputs)
    found = list[tuple[Layer, _BatchNorm | None]]()
    for layer, after in zip(called, [*called[1:], None], strict=True):
        if isinstance(layer, Layer) and layer is not last:
            norm = after if isinstance(after, _BatchNorm) and after.num_features == len(layer.weight) else None
            found.append((layer, norm))
    if not found:
        raise SettingError(
            "expected a network with hidden layers to prune, found one layer; use quantise or weight-noise"
        )
    return found


@torch.no_grad()
def _activity(module: nn.Module, layer: Layer, inputs: Array) -> Tensor:
    """Mean positive activation of each channel, after the batch norm if one follows."""
    norm = dict(_hidden(module, inputs))[layer]
    seen = list[Tensor]()

    def note(_: nn.Module, __: object, output: Tensor) -> None:
        channels = output if output.ndim == 2 else output.flatten(2).mean(2)
        seen.append(torch.relu(channels).mean(0))

    hook = (norm or layer).register_forward_hook(note)
    try:
        where = next(module.parameters()).device
        for part in torch.from_numpy(inputs[:2000]).split(500):
            module(part.to(where))
    finally:
        hook.remove()
    return torch.stack(seen).mean(0)


def _silenced(
    target: Oracle,
    copy: nn.Module,
    layers: Sequence[tuple[Layer, _BatchNorm | None]],
    worth: Callable[[Layer], Tensor],
    how: PruneChannels | FinePrune,
    data: Samples,
    seed: int,
) -> nn.Module:
    held = list[tuple[nn.Module, str]]()
    for layer, norm in layers:
        value = worth(layer)
        kept = torch.ones(len(value), device=value.device)
        kept[value.argsort(stable=True)[: min(round(how.amount * len(value)), len(value) - 1)]] = 0
        parts: list[nn.Module] = [layer] if norm is None else [layer, norm]
        for part in parts:
            for name, parameter in list(part.named_parameters(recurse=False)):
                masks.custom_from_mask(part, name, kept.view(-1, *[1] * (parameter.ndim - 1)).expand_as(parameter))
                held.append((part, name))
    if how.epochs:
        fit(
            copy,
            data,
            at_least(Training(epochs=how.epochs, batch=how.batch, rate=how.rate), len(data), how.least_steps),
            seed=seed,
        )
    for silent, name in held:
        masks.remove(silent, name)
    return restored(target, copy)
