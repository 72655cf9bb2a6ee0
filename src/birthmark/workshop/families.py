"""Image families of `architectures`: scaled-down namesakes of the networks the five papers use.

Convolutional networks use batch normalisation, a global average before the head, and halve the image only while it
stays at least four pixels wide, so that they fit 8x8 digits as well as 32x32 photographs.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn


class Centre(nn.Module):
    """Map raw inputs from [0, 1] to [-1, 1]; keeps channels last for images."""

    def forward(self, inputs: Tensor) -> Tensor:
        centred = inputs * 2.0 - 1.0
        return centred.contiguous(memory_format=torch.channels_last) if centred.ndim == 4 else centred


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
