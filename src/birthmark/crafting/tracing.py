"""Finding the kinks of any network: every ReLU-like call is noticed while the network runs.

Nothing is assumed about the architecture: calls are intercepted where torch dispatches them, so modules, functions and
tensor methods are found alike, in loops, branches and residual paths. What counts is an activation that bends at one
place: exactly (ReLU, leaky ReLU, clamps at zero ...) or nearly (GELU, SiLU, softplus ...).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from birthmark.errors import SettingError
from birthmark.types import Array, Labels

EXACT = frozenset(
    {
        "relu",
        "relu_",
        "leaky_relu",
        "leaky_relu_",
        "prelu",
        "rrelu",
        "relu6",
        "hardtanh",
        "threshold",
        "clamp",
        "clamp_min",
        "clip",
    }
)
NEARLY = frozenset({"gelu", "silu", "elu", "selu", "celu", "softplus", "mish", "hardswish"})
INPLACE = frozenset({"relu_", "leaky_relu_"})


class Watch(TorchFunctionMode):
    """Collects what goes into every ReLU-like call, one flat tensor (n, units) a call, shifted so that the bend is at
    0.

    Attributes:
        before: the tensors, in the order of the calls, attached to autograd's graph.
        names: of the functions called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Tensor] = []
        self.names: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name not in EXACT and name not in NEARLY:
            return func(*args, **kwargs)
        bend = _bend(name, args, kwargs)
        inputs = args[0] if args else kwargs["input"]
        if bend is None or not isinstance(inputs, Tensor) or inputs.ndim < 2:
            return func(*args, **kwargs)
        kept = inputs.clone() if _overwrites(name, args, kwargs) else inputs
        self.before.append((kept - bend if bend else kept).flatten(1))
        self.names.append(name)
        return func(*args, **kwargs)


def _overwrites(name: str, args: Sequence[object], kwargs: dict[str, object]) -> bool:
    """Whether the call puts its result in its input's place."""
    return name in INPLACE or bool(kwargs.get("inplace")) or any(value is True for value in args[1:])


def _bend(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> float | None:
    """Where the call bends; None if it is no such call (a clamp without a lower end)."""
    if name in ("clamp", "clip", "clamp_min", "hardtanh", "threshold"):
        first = {"hardtanh": "min_val", "threshold": "threshold"}.get(name, "min")
        value = kwargs.get(first, args[1] if len(args) > 1 else -1.0 if name == "hardtanh" else None)
        return float(value) if isinstance(value, int | float) else None
    return 0.0


def watched(module: nn.Module, inputs: Tensor) -> Watch:
    """Run a network in its present mode and return what was noticed."""
    watch = Watch()
    with watch:
        module(inputs)
    return watch


def kinds(module: nn.Module, inputs: Tensor) -> list[str]:
    """Names of the ReLU-like calls that a forward pass makes, in order.

    Calls of which the inputs hold no part are left out.
    """
    module.eval()
    with torch.enable_grad():
        watch = watched(module, inputs.detach().requires_grad_())
    return [
        name
        for name, before in zip(watch.names, watch.before, strict=True)
        if before.requires_grad and len(before) == len(inputs)
    ]


NEWTON, ROUNDS = 25, 6  # steps to a bend, and draws of units and starts


def find_kinks(
    module: nn.Module, starts: Array, n: int, *, step: float, box: tuple[Array, Array] | None, seed: int | list[int]
) -> Array:
    """Points on the bends of a network's hidden units, each with its two neighbours across the bend: (n, 3, *d).

    A unit that is active on 2 to 98 % of the starts is drawn, the calls in turn; from a start Newton's steps lead to
    where its input is zero; the neighbours lie `step` standard deviations of that input to either side, along its
    gradient.

    Args:
        starts: inputs (s, *d) to start from.
        box: lowest and highest value of each input entry; points are kept inside. None for no limits.
        seed: of units and starts.

    Raises:
        SettingError: the network has no ReLU-like units, or too few of them can be reached.
    """
    random = np.random.default_rng(seed)
    if not kinds(module, torch.from_numpy(starts[:2])):
        raise SettingError(
            f"tafa needs a network with ReLU-like units ({', '.join(sorted(EXACT | NEARLY)[:6])} ...), found none in "
            f"{type(module).__name__}; use kinship, which needs none"
        )
    with _frozen(module):
        units = _Units(module, starts, box)
        kinks: list[Tensor] = []
        for _ in range(ROUNDS):
            want = 2 * (n - len(kinks)) + 8
            call, unit = units.drawn(want, random)
            x = torch.from_numpy(starts[random.integers(len(starts), size=want)]).clone()
            kinks += units.reached(x, call, unit, step)
            if len(kinks) >= n:
                return torch.stack(kinks[:n]).numpy()
    raise SettingError(
        f"expected {n} reachable kinks, found {len(kinks)}; give more varied starts or ask for fewer queries"
    )


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """The module's parameters take no gradients inside."""
    before = [(p, p.requires_grad) for p in module.parameters()]
    module.requires_grad_(False)
    try:
        yield
    finally:
        for p, wanted in before:
            p.requires_grad_(wanted)


class _Units:
    """A network's units that are neither always on nor always off on the starts, by the call that they belong to."""

    def __init__(self, module: nn.Module, starts: Array, box: tuple[Array, Array] | None) -> None:
        self.module, self.box = module, None if box is None else [torch.from_numpy(side) for side in box]
        self.calls = len(kinds(module, torch.from_numpy(starts[:2])))
        self.alive, self.spread = _alive(module, torch.from_numpy(starts[:256]), self.calls)
        self.open = [i for i, units in enumerate(self.alive) if len(units)]
        if not self.open:
            raise SettingError(
                "tafa found ReLU-like units, but each is always on or always off on the given inputs; use kinship"
            )

    def drawn(self, n: int, random: np.random.Generator) -> tuple[Labels, Labels]:
        """The calls, in turn, and a random unit of each (n,)."""
        call = np.array([self.open[i % len(self.open)] for i in range(n)])
        return call, np.array([self.alive[c][random.integers(len(self.alive[c]))] for c in call])

    def inside(self, x: Tensor) -> Tensor:
        return x if self.box is None else x.clamp(*self.box)

    def reached(self, x: Tensor, call: Labels, unit: Labels, step: float) -> list[Tensor]:
        """The bend and both neighbours (3, *d) of those starts (p, *d) from which the unit's bend is reached."""
        scale = torch.tensor([self.spread[c][u] for c, u in zip(call, unit, strict=True)])
        for _ in range(NEWTON):
            value, slope = _value(self.module, x, call, unit, self.calls)
            flat = slope.flatten(1)
            x = self.inside(x - 0.9 * (value / flat.pow(2).sum(1).clamp_min(1e-20))[:, None].mul(flat).view_as(x))
        value, slope = _value(self.module, x, call, unit, self.calls)
        size = slope.flatten(1).norm(dim=1)
        good = (value.abs() < 1e-2 * scale) & (size > 1e-6)
        reach = (step * scale / size.clamp_min(1e-12) ** 2).view(-1, *[1] * (x.ndim - 1)) * slope
        triples = torch.stack([self.inside(side) for side in (x, x + reach, x - reach)], dim=1)
        return list(triples[good & torch.isfinite(triples.flatten(1)).all(1)])


def _alive(module: nn.Module, inputs: Tensor, n: int) -> tuple[list[Labels], list[Tensor]]:
    """Of each call: the units that are neither always on nor always off, and every unit's standard deviation."""
    before = _before(module, inputs, n)
    alive, spread = [], []
    for values in before:
        share = (values > 0).float().mean(dim=0)
        deviation = values.std(dim=0).detach()
        alive.append(torch.nonzero((share >= 0.02) & (share <= 0.98) & (deviation > 0)).flatten().numpy())
        spread.append(deviation)
    return alive, spread


def _before(module: nn.Module, inputs: Tensor, n: int) -> list[Tensor]:
    module.eval()
    with torch.enable_grad():
        watch = watched(module, inputs)
    mine = [b for b in watch.before if len(b) == len(inputs) and (b.requires_grad or not inputs.requires_grad)]
    return mine[:n]


def _value(module: nn.Module, x: Tensor, call: Labels, unit: Labels, n: int) -> tuple[Tensor, Tensor]:
    """Each point's own unit: its input (p,) and the gradient (p, *d) of that by the point."""
    x = x.detach().requires_grad_()
    before = _before(module, x, n)
    value = torch.zeros(len(x))
    for c in set(call.tolist()):
        mine = torch.from_numpy(np.flatnonzero(call == c))
        value = value.index_add(0, mine, before[c][mine, torch.from_numpy(unit[mine.numpy()])])
    (slope,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), slope
