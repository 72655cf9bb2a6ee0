"""What a thief does with weights: copies them, finds their layers, trains them further, or makes models like them."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from birthmark.errors import AccessError, DataError, SettingError
from birthmark.oracle import Oracle, WhiteBox
from birthmark.types import Array, Labels, Samples
from birthmark.workshop.architectures import build
from birthmark.workshop.devices import device
from birthmark.workshop.training import pgd, seeded


def copied(target: Oracle) -> nn.Module:
    """A deep copy of the target's network.

    Raises:
        AccessError: the target does not grant its weights.
    """
    if not isinstance(target, WhiteBox):
        raise AccessError(f"expected a target that grants its weights, but {target.name} grants {target.access.name}")
    return copy.deepcopy(target.module)


def restored(whole: nn.Module, changed: nn.Module) -> nn.Module:
    """The changed weights in an earlier copy: masks leave hooks and another order of parameters behind."""
    whole.load_state_dict(changed.state_dict())
    return whole.eval()


def fits(module: nn.Module, data: Samples) -> Samples:
    """The data, if the network can be trained further on them.

    Raises:
        DataError: no data, one class only, or more classes than the network answers.
    """
    if not len(data):
        raise DataError("expected labelled data to train on, got none")
    if not data.classes:
        return data
    seen = np.unique(data.targets)
    if len(seen) < 2:
        raise DataError(
            f"expected data of at least two classes, got class {seen[0]} only; training on it would ruin the model"
        )
    with torch.no_grad():
        width = _run(module, data.inputs[:1]).shape[-1]
    if int(seen.max()) >= width:
        raise DataError(
            f"expected labels below {width}, the number of classes the model answers; got label {int(seen.max())}"
        )
    return data


def _run(module: nn.Module, inputs: Array) -> Tensor:
    where = next((p.device for p in module.parameters()), torch.device("cpu"))
    mode = module.training
    try:
        return module.eval()(torch.from_numpy(inputs).to(where))
    finally:
        module.train(mode)


def layers_in_order(module: nn.Module, inputs: Array) -> list[nn.Module]:
    """Linear, convolutional and batch-norm layers in the order in which a forward pass calls them, each once."""
    called = list[nn.Module]()
    kinds = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)

    def note(layer: nn.Module, *_: object) -> None:
        if all(layer is not other for other in called):
            called.append(layer)

    hooks = [layer.register_forward_hook(note) for layer in module.modules() if isinstance(layer, kinds)]
    try:
        with torch.no_grad():
            _run(module, inputs[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return called


def last_layer(module: nn.Module, inputs: Array) -> nn.Linear | nn.modules.conv._ConvNd:
    """The layer that makes the answers: the last linear one that a forward pass calls, or the last convolution without
    one.

    Raises:
        SettingError: the network has neither.
    """
    called = layers_in_order(module, inputs)
    for kind in (nn.Linear, nn.modules.conv._ConvNd):
        for layer in reversed(called):
            if isinstance(layer, kind):
                return layer
    raise SettingError(
        "expected a network with a linear or convolutional layer to re-train, found none; use distill or retrain"
    )


def named(module: nn.Module, like: nn.Module, **extra: int) -> nn.Module:
    """The module under the architecture name of `like` with more settings, so that it can be written and read again."""
    name = like.__dict__.get("architecture", "")
    if name:
        module.__dict__["architecture"] = (
            name + (":" if ":" not in name else ",") + ",".join(f"{key}={value}" for key, value in extra.items())
        )
    return module


def fresh_like(module: nn.Module, shape: tuple[int, ...], outputs: int, *, seed: int) -> nn.Module:
    """A freshly initialised network of the module's architecture: by its name, or a copy whose layers are all reset."""
    name = module.__dict__.get("architecture", "")
    if name:
        return build(name, shape, outputs, seed=seed)
    fresh = copy.deepcopy(module)
    with seeded(seed):
        for layer in fresh.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
    return fresh


def attacked(student: nn.Module, inputs: Array, labels: Labels, epsilon: float, steps: int, seed: int) -> Array:
    """PGD examples of a student, of the same shape as the inputs."""
    made = list[Array]()
    with seeded(seed):
        for start in range(0, len(inputs), 500):
            x = torch.from_numpy(inputs[start : start + 500]).to(device())
            y = torch.from_numpy(labels[start : start + 500]).to(device())
            made.append(pgd(student, x, y, epsilon=epsilon, steps=steps).cpu().numpy())
    return np.concatenate(made)
