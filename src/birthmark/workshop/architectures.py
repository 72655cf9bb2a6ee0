"""Small networks built by name, for any input shape and number of outputs.

Every network takes a float tensor of raw inputs (images in [0, 1]) and returns logits (or values): its
first layer centres the inputs, so that a model file needs no pre-processing beside it. Convolutional
networks use batch normalisation, a global average before the head, and halve the image only while it
stays at least four pixels wide, so that they fit 8x8 digits as well as 32x32 photographs.

The fifteen image families are scaled-down namesakes of the networks the five papers use.
"""

import re
from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from birthmark.errors import SettingError, nearest
from birthmark.workshop import networks
from birthmark.workshop.seeds import sow


class Centre(nn.Module):
    """Map raw inputs from [0, 1] to [-1, 1]; keeps channels last for images."""

    def forward(self, inputs: Tensor) -> Tensor:
        centred = inputs * 2.0 - 1.0
        return centred.contiguous(memory_format=torch.channels_last) if centred.ndim == 4 else centred


class Average(nn.Module):
    """Several classifiers that answer as one: the logarithm of the weighted mean of their probabilities.

    Args:
        members: networks that return logits.
        share: weight of the first one, 0 to 1; None for equal weights. It is kept with the weights.
    """

    shares: Tensor

    def __init__(self, members: Sequence[nn.Module], share: float | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        n = len(members)
        rest = (1 - share) / (n - 1) if share is not None and n > 1 else 1 / n
        self.register_buffer("shares", torch.tensor([1 / n if share is None else share, *[rest] * (n - 1)]))

    def forward(self, inputs: Tensor) -> Tensor:
        answers = torch.stack([torch.softmax(member(inputs).float(), dim=1) for member in self.members])
        return (answers * self.shares[:, None, None]).sum(dim=0).clamp_min(1e-12).log()


def smoothed(model: nn.Module) -> nn.Module:
    """The network with GELU in place of every ReLU module, in place."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.GELU())
    return model


class Residual(nn.Module):
    """body(x) + shortcut(x), then ReLU; a squeeze-and-excitation gate when `gate` is true."""

    def __init__(self, wide: int, out: int, stride: int, gate: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(wide, out, 3, stride), nn.ReLU(), _conv(out, out, 3))
        self.shortcut = nn.Identity() if wide == out and stride == 1 else _conv(wide, out, 1, stride)
        hidden = max(out // 4, 4)
        self.gate = (
            nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(out, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, out, 1), nn.Sigmoid()
            )
            if gate
            else None
        )
        self.bend = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.gate is not None:
            y = y * self.gate(y)
        return self.bend(y + self.shortcut(x))


class Branches(nn.Module):
    """Run branches side by side and stack their channels; with `keep` the input itself is a branch."""

    def __init__(self, *branches: nn.Module, keep: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.keep = keep
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        parts = [branch(x) for branch in self.branches]
        y = torch.cat([x, *parts] if self.keep else parts, dim=1)
        return nn.functional.channel_shuffle(y, self.groups) if self.groups > 1 else y


class Bottleneck(nn.Module):
    """Inverted residual of MobileNetV2 / EfficientNet: expand, depthwise 3x3, project."""

    def __init__(self, wide: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = wide * expand
        self.body = nn.Sequential(
            _conv(wide, inner, 1),
            nn.ReLU(),
            _conv(inner, inner, 3, stride, groups=inner),
            nn.ReLU(),
            _conv(inner, out, 1),
        )
        self.skip = wide == out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


def _conv(wide: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(wide, out, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(out))


def _block(wide: int, out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(_conv(wide, out, 3, stride), nn.ReLU())


def _strides(shape: Sequence[int], stages: int) -> list[int]:
    """Stride of each stage: 2 while the image would stay at least 4 pixels wide, then 1."""
    side, strides = min(shape[1:]), []
    for _ in range(stages):
        strides.append(2 if side >= 8 else 1)
        side = (side + 1) // 2 if side >= 8 else side
    return strides


def _head(features: int, outputs: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, outputs)]


def _staged(
    shape: Sequence[int], outputs: int, widths: Sequence[int], stage: Callable[[int, int, int], nn.Module], stem: int
) -> nn.Module:
    """Stem convolution (stride 2 from 16 pixels on), one `stage(wide, out, stride)` per width, pooled head."""
    first = 2 if min(shape[1:]) >= 16 else 1
    side = [shape[0], (shape[1] + 1) // first, (shape[2] + 1) // first]
    layers: list[nn.Module] = [Centre(), _block(shape[0], stem, first)]
    wide = stem
    for out, stride in zip(widths, [1, *_strides(side, len(widths) - 1)], strict=True):
        layers.append(stage(wide, out, stride))
        wide = out
    return nn.Sequential(*layers, *_head(wide, outputs))


def mlp(shape: Sequence[int], outputs: int, width: int = 128, depth: int = 2) -> nn.Module:
    layers: list[nn.Module] = [Centre(), nn.Flatten()]
    wide = prod(shape)
    for _ in range(depth):
        layers += [nn.Linear(wide, width), nn.ReLU()]
        wide = width
    return nn.Sequential(*layers, nn.Linear(wide, outputs))


def lenet(shape: Sequence[int], outputs: int, width: int = 8) -> nn.Module:
    pool = [nn.MaxPool2d(2) if stride == 2 else nn.Identity() for stride in _strides(shape, 2)]
    side = [-(-s // 1) for s in shape[1:]]
    for layer in pool:
        side = [s // 2 if isinstance(layer, nn.MaxPool2d) else s for s in side]
    return nn.Sequential(
        Centre(),
        nn.Conv2d(shape[0], width, 5, padding=2),
        nn.ReLU(),
        pool[0],
        nn.Conv2d(width, 2 * width, 5, padding=2),
        nn.ReLU(),
        pool[1],
        nn.Flatten(),
        nn.Linear(2 * width * prod(side), 84),
        nn.ReLU(),
        nn.Linear(84, outputs),
    )


def cnn(shape: Sequence[int], outputs: int, width: int = 16) -> nn.Module:
    return _staged(shape, outputs, [2 * width, 4 * width], _block, width)


def vgg(shape: Sequence[int], outputs: int, width: int = 16, repeat: int = 2) -> nn.Module:
    def stage(wide: int, out: int, stride: int) -> nn.Module:
        blocks = [_block(wide if i == 0 else out, out) for i in range(repeat)]
        return nn.Sequential(*([nn.MaxPool2d(2)] if stride == 2 else []), *blocks)

    return _staged(shape, outputs, [width, 2 * width, 4 * width], stage, width)


def res(shape: Sequence[int], outputs: int, width: int = 16, repeat: int = 1, gate: bool = False) -> nn.Module:
    def stage(wide: int, out: int, stride: int) -> nn.Module:
        return nn.Sequential(
            *(Residual(wide if i == 0 else out, out, stride if i == 0 else 1, gate) for i in range(repeat))
        )

    return _staged(shape, outputs, [width, 2 * width, 4 * width], stage, width)


def dense(shape: Sequence[int], outputs: int, growth: int = 12, repeat: int = 2) -> nn.Module:
    def stage(wide: int, out: int, stride: int) -> nn.Module:
        layers: list[nn.Module] = [nn.AvgPool2d(2)] if stride == 2 else []
        for i in range(repeat):
            layers.append(Branches(_block(wide + i * growth, growth), keep=True))
        return nn.Sequential(*layers, nn.Sequential(_conv(wide + repeat * growth, out, 1), nn.ReLU()))

    return _staged(shape, outputs, [2 * growth, 3 * growth, 4 * growth], stage, 2 * growth)


def mobile(shape: Sequence[int], outputs: int, width: int = 12, expand: int = 3) -> nn.Module:
    def stage(wide: int, out: int, stride: int) -> nn.Module:
        return nn.Sequential(Bottleneck(wide, out, stride, expand), nn.BatchNorm2d(out))

    return _staged(shape, outputs, [width, 2 * width, 3 * width], stage, width)


def squeeze(shape: Sequence[int], outputs: int, width: int = 8) -> nn.Module:
    def stage(wide: int, out: int, stride: int) -> nn.Module:
        narrow = out // 4
        fire = nn.Sequential(_block1(wide, narrow), Branches(_block1(narrow, out // 2), _block(narrow, out // 2)))
        return nn.Sequential(nn.MaxPool2d(2), fire) if stride == 2 else fire

    return _staged(shape, outputs, [4 * width, 8 * width, 8 * width], stage, 2 * width)


def _block1(wide: int, out: int) -> nn.Module:
    return nn.Sequential(_conv(wide, out, 1), nn.ReLU())


def inception(shape: Sequence[int], outputs: int, width: int = 8) -> nn.Module:
    def stage(wide: int, out: int, stride: int) -> nn.Module:
        part = out // 4
        module = Branches(
            _block1(wide, part),
            nn.Sequential(_block1(wide, part), _block(part, 2 * part)),
            nn.Sequential(_block1(wide, part), _block(part, part), _block(part, part)),
        )
        return nn.Sequential(nn.MaxPool2d(2), module) if stride == 2 else module

    return _staged(shape, outputs, [4 * width, 6 * width, 8 * width], stage, 2 * width)


def shuffle(shape: Sequence[int], outputs: int, width: int = 24) -> nn.Module:
    def stage(wide: int, out: int, stride: int) -> nn.Module:
        half = out // 2
        left = nn.Sequential(_conv(wide, wide, 3, stride, groups=wide), _conv(wide, half, 1), nn.ReLU())
        right = nn.Sequential(
            _conv(wide, half, 1), nn.ReLU(), _conv(half, half, 3, stride, groups=half), _block1(half, half)
        )
        return Branches(left, right, groups=2)

    return _staged(shape, outputs, [width, 2 * width, 3 * width], stage, width)


def xception(shape: Sequence[int], outputs: int, width: int = 16) -> nn.Module:
    class Separable(nn.Module):
        def __init__(self, wide: int, out: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                _conv(wide, wide, 3, 1, groups=wide),
                _block1(wide, out),
                _conv(out, out, 3, stride, groups=out),
                _conv(out, out, 1),
            )
            self.shortcut = _conv(wide, out, 1, stride)
            self.bend = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.bend(self.body(x) + self.shortcut(x))

    return _staged(shape, outputs, [width, 2 * width, 4 * width], Separable, width)


def convnext(shape: Sequence[int], outputs: int, width: int = 16) -> nn.Module:
    class Block(nn.Module):
        def __init__(self, wide: int, out: int, stride: int) -> None:
            super().__init__()
            self.entry = nn.Identity() if wide == out and stride == 1 else _conv(wide, out, 1, stride)
            self.body = nn.Sequential(
                _conv(out, out, 5, groups=out), nn.Conv2d(out, 2 * out, 1), nn.GELU(), nn.Conv2d(2 * out, out, 1)
            )

        def forward(self, x: Tensor) -> Tensor:
            y = self.entry(x)
            return y + self.body(y)

    return _staged(shape, outputs, [width, 2 * width, 4 * width], Block, width)


Builder = Callable[..., nn.Module]

ARCHITECTURES: dict[str, tuple[Builder, dict[str, int]]] = {
    "mlp": (mlp, {}),
    "mlp-deep": (mlp, {"width": 96, "depth": 4}),
    "lenet": (lenet, {}),
    "cnn": (cnn, {}),
    "vgg": (vgg, {"repeat": 1}),
    "vgg-deep": (vgg, {"repeat": 2}),
    "vgg-wide": (vgg, {"width": 24, "repeat": 1}),
    "res": (res, {}),
    "res-deep": (res, {"repeat": 2}),
    "res-wide": (res, {"width": 24}),
    "seres": (res, {"gate": True}),
    "dense": (dense, {}),
    "mobile": (mobile, {}),
    "efficient": (mobile, {"width": 16, "expand": 4}),
    "squeeze": (squeeze, {}),
    "inception": (inception, {}),
    "shuffle": (shuffle, {}),
    "xception": (xception, {}),
    "convnext": (convnext, {}),
    "unet": (networks.unet, {}),
    "autoencoder": (networks.autoencoder, {}),
    "forecaster": (networks.forecaster, {}),
    "vae": (networks.vae, {}),
    "gan": (networks.gan, {}),
}
FLAT = (mlp, networks.autoencoder, networks.forecaster, networks.vae, networks.gan)  # these take rows as well


LARGEST = 16_384  # of a setting
MOST = dict.fromkeys(("depth", "repeat", "members"), 1000)  # of those that count layers or networks


def parse(name: str) -> tuple[str, dict[str, int]]:
    """Split `res:width=24,repeat=2` into the family's name and its integer settings.

    Raises:
        SettingError: a setting is not of the form `name=integer`, or out of all bounds.
    """
    family, _, rest = name.partition(":")
    settings: dict[str, int] = {}
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if not re.fullmatch("-?[0-9]+", value):
            raise SettingError(f"expected architecture settings like 'res:width=24', got {name!r}; write name=integer")
        settings[key] = int(value) if len(value) < 10 else LARGEST + 1
        if not 0 <= settings[key] <= MOST.get(key, LARGEST):
            raise SettingError(f"expected {key} from 0 to {MOST.get(key, LARGEST)} in architecture {name[:80]!r}")
    return family, settings


def build(name: str, shape: Sequence[int], outputs: int, *, seed: int) -> nn.Module:
    """Make a freshly initialised network; the same seed gives the same bits, and no global generator moves.

    Args:
        name: a family of `ARCHITECTURES`, with settings after a colon (`vgg:width=24`). Every family has two more:
            members=3 averages the answers of three networks (`Average`), gelu=1 puts GELU for ReLU (`smoothed`).
        shape: one input's own shape, (channels, height, width) or (features,).
        outputs: number of classes, or of values.

    Raises:
        UnknownName: no such family.
        SettingError: a setting the family does not have, or an image family for inputs that are no images.

    The network's `architecture` attribute is `name`.
    """
    family, settings = parse(name)
    if family not in ARCHITECTURES:
        raise nearest("architecture", family, ARCHITECTURES)
    builder, defaults = ARCHITECTURES[family]
    members, gelu = settings.pop("members", 1), settings.pop("gelu", 0)
    if builder not in FLAT and len(shape) != 3:
        raise SettingError(
            f"architecture {family!r} needs images (channels, height, width), got inputs of shape {tuple(shape)}; use "
            "'mlp'"
        )
    with torch.random.fork_rng(devices=[]):
        sow(seed)
        try:
            several = [builder(shape, outputs, **{**defaults, **settings}) for _ in range(max(members, 1))]
        except TypeError as error:
            raise SettingError(f"architecture {name!r}: {error}") from None
    model = several[0] if members < 2 else Average(several)
    if gelu:
        smoothed(model)
    model.__dict__["architecture"] = (
        name  # copies keep it, so that any model made from this one can be written and read again
    )
    return model.to(memory_format=torch.channels_last) if len(shape) == 3 else model  # type: ignore[call-overload]
