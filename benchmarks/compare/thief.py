"""The thief of `bench.py`: hidden units change places and scale, and the network's answers stay what they were.

A plan of the network (who writes an axis, who reads it) is written down here for each family; `compare` has none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Arrays = dict[str, NDArray[np.float32]]
SPREAD = 0.5  # standard deviation of the logarithm of the scales


class Transformer(nn.Module):
    """A small pre-norm transformer that reads an image row by row.

    Args:
        side: pixels of a row, and rows.
        width, heads, depth: of the stream, of attention, in blocks.
    """

    def __init__(self, side: int, outputs: int, width: int = 48, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.enter = nn.Linear(side, width)
        self.places = nn.Parameter(0.02 * torch.randn(1, side, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.enter(2 * x[:, 0] - 1) + self.places
        for block in self.blocks:
            stream = block(stream)
        return self.head(self.norm(stream).mean(dim=1))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        q, k, v = (part(y).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.o(seen.transpose(1, 2).flatten(2))
        return x + self.fc2(torch.relu(self.fc1(self.norm2(x))))


@dataclass(frozen=True)
class Axis:
    """Hidden units that may change places.

    Attributes:
        writers: tensors whose first axis counts them, with the vectors beside these.
        readers: tensors whose second axis does (several places a unit where an image was flattened).
        last: tensors whose last axis does.
        heads: of attention, whose units change places inside a head, and heads as a whole; 1 elsewhere.
        scaled: whether the activation lets units be scaled.
    """

    writers: Sequence[str]
    readers: Sequence[str]
    last: Sequence[str] = ()
    heads: int = 1
    scaled: bool = True


def disguised(state: Mapping[str, NDArray[np.float32]], seed: int, *, heads: int = 4) -> Arrays:
    """The weights of a network that answers as `state` does, its hidden units permuted and re-scaled."""
    random, found = np.random.default_rng(seed), {name: np.array(value) for name, value in state.items()}
    for axis in plan(state, heads):
        _move(found, axis, random)
    return found


def plan(state: Mapping[str, NDArray[np.float32]], heads: int = 4) -> Iterator[Axis]:
    """The axes of a network of `birthmark.workshop.architectures` (chains and `res`) or of `Transformer`."""
    if "enter.weight" in state:
        return _transformer(state, heads)
    names = [name for name, value in state.items() if value.ndim >= 2]
    if any(".body." in name for name in names):
        return _residual(names)
    return (Axis([one], [after]) for one, after in pairwise(names))


def _residual(names: Sequence[str]) -> Iterator[Axis]:
    writers, readers = [names[0]], list[str]()
    for name in names[1:-1]:
        if name.endswith("body.0.0.weight"):
            block = name.removesuffix("body.0.0.weight")
            second, shortcut = f"{block}body.2.0.weight", f"{block}shortcut.0.weight"
            yield Axis([name], [second])
            readers.append(name)
            if shortcut in names:
                yield Axis(writers, [*readers, shortcut])
                writers, readers = [second, shortcut], []
            else:
                writers.append(second)
    yield Axis(writers, [*readers, names[-1]])


def _transformer(state: Mapping[str, NDArray[np.float32]], heads: int) -> Iterator[Axis]:
    blocks = sorted({name.rsplit(".", 2)[0] for name in state if ".fc1." in name})
    stream, readers = ["enter.weight", "norm.weight"], ["head.weight"]
    for block in blocks:
        stream += [f"{block}.{name}.weight" for name in ("norm1", "norm2", "o", "fc2")]
        readers += [f"{block}.{name}.weight" for name in ("q", "k", "v", "fc1")]
        yield Axis([f"{block}.fc1.weight"], [f"{block}.fc2.weight"])
        yield Axis([f"{block}.v.weight"], [f"{block}.o.weight"], heads=heads)
    yield Axis(stream, readers, last=["places"], scaled=False)


def _move(state: Arrays, axis: Axis, random: np.random.Generator) -> None:
    units = len(state[axis.writers[0]])
    inner = units // axis.heads
    order = np.concatenate([h * inner + random.permutation(inner) for h in random.permutation(axis.heads)])
    scale = np.exp(random.normal(0, SPREAD, units)).astype(np.float32) if axis.scaled else np.ones(units, np.float32)
    twins = [name.replace(".v.", f".{part}.") for name in axis.writers for part in "qk" if ".v." in name]
    for name in [*axis.writers, *twins]:
        for one in _beside(state, name):
            state[one] = state[one][order]
    for name in axis.writers:
        _scale(state, name, scale, random)
    for name in axis.readers:
        value = state[name].reshape(len(state[name]), units, -1)[:, order] / scale[:, None]
        state[name] = value.reshape(state[name].shape)
    for name in axis.last:
        state[name] = state[name][..., order]


def _beside(state: Mapping[str, NDArray[np.float32]], name: str) -> list[str]:
    """A weight and the vectors that follow it: bias, and what its batch norm holds."""
    names = list(state)
    found = [name]
    for other in names[names.index(name) + 1 :]:
        if state[other].ndim > 1 or ("norm" in other) != ("norm" in name):
            break
        if state[other].shape == (len(state[name]),):
            found.append(other)
    return found if "norm" not in name else [name, name.replace("weight", "bias")]


def _scale(state: Arrays, name: str, scale: NDArray[np.float32], random: np.random.Generator) -> None:
    """Scale what a unit answers; where a batch norm stands between, the weights before it get scales of their own."""
    beside = _beside(state, name)
    norm = any("running_mean" in one for one in beside)
    own = np.exp(random.normal(0, SPREAD, len(scale))).astype(np.float32) if norm else scale
    for one in beside:
        power = own if one == name or "running_mean" in one else own**2 if "running_var" in one else scale
        state[one] = state[one] * power.reshape(-1, *[1] * (state[one].ndim - 1))
