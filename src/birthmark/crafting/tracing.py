"""Finding the kinks of any network: every ReLU-like call is noticed while the network runs.

Nothing is assumed about the architecture: calls are intercepted where torch dispatches them, so modules, functions and
tensor methods are found alike, in loops, branches and residual paths. What counts is an activation that bends at one
place: exactly (ReLU, leaky ReLU, clamps at zero ...) or nearly (GELU, SiLU, softplus ...).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from birthmark.errors import SettingError
from birthmark.types import Array

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
        kept = (
            inputs.clone()
            if name in INPLACE or kwargs.get("inplace") or any(value is True for value in args[1:])
            else inputs
        )
        self.before.append((kept - bend if bend else kept).flatten(1))
        self.names.append(name)
        return func(*args, **kwargs)


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


def find_kinks(
    module: nn.Module,
    starts: Array,
    n: int,
    *,
    step: float,
    box: tuple[Array, Array] | None,
    seed: int | list[int],
    newton: int = 25,
    rounds: int = 6,
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
    names = kinds(module, torch.from_numpy(starts[:2]))
    if not names:
        raise SettingError(
            f"tafa needs a network with ReLU-like units ({', '.join(sorted(EXACT | NEARLY)[:6])} ...), found none in "
            f"{type(module).__name__}; use kinship, which needs none"
        )
    low, high = (None, None) if box is None else (torch.from_numpy(box[0]), torch.from_numpy(box[1]))
    frozen = [(p, p.requires_grad) for p in module.parameters()]
    for p, _ in frozen:
        p.requires_grad_(False)
    try:
        alive, spread = _alive(module, torch.from_numpy(starts[:256]), len(names))
        calls = [i for i, units in enumerate(alive) if len(units)]
        if not calls:
            raise SettingError(
                "tafa found ReLU-like units, but each is always on or always off on the given inputs; use kinship"
            )
        found: list[Tensor] = []
        for _ in range(rounds):
            want = 2 * (n - len(found)) + 8
            call = np.array([calls[i % len(calls)] for i in range(want)])
            unit = np.array([alive[c][random.integers(len(alive[c]))] for c in call])
            x = torch.from_numpy(starts[random.integers(len(starts), size=want)]).clone()
            scale = torch.tensor([spread[c][u] for c, u in zip(call, unit, strict=True)])
            for _ in range(newton):
                value, slope = _value(module, x, call, unit, len(names))
                flat = slope.flatten(1)
                x = x - 0.9 * (value / flat.pow(2).sum(1).clamp_min(1e-20))[:, None].mul(flat).view_as(x)
                x = x if low is None else x.clamp(low, high)
            value, slope = _value(module, x, call, unit, len(names))
            size = slope.flatten(1).norm(dim=1)
            good = (value.abs() < 1e-2 * scale) & (size > 1e-6)
            reach = (step * scale / size.clamp_min(1e-12) ** 2).view(-1, *[1] * (x.ndim - 1)) * slope
            sides = [x, x + reach, x - reach]
            triples = torch.stack([s if low is None else s.clamp(low, high) for s in sides], dim=1)
            found += list(triples[good & torch.isfinite(triples.flatten(1)).all(1)])
            if len(found) >= n:
                return torch.stack(found[:n]).numpy()
        raise SettingError(
            f"expected {n} reachable kinks, found {len(found)}; give more varied starts or ask for fewer queries"
        )
    finally:
        for p, wanted in frozen:
            p.requires_grad_(wanted)


def _alive(module: nn.Module, inputs: Tensor, n: int) -> tuple[list[np.ndarray[Any, Any]], list[Tensor]]:
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


def _value(
    module: nn.Module, x: Tensor, call: np.ndarray[Any, Any], unit: np.ndarray[Any, Any], n: int
) -> tuple[Tensor, Tensor]:
    """Each point's own unit: its input (p,) and the gradient (p, *d) of that by the point."""
    x = x.detach().requires_grad_()
    before = _before(module, x, n)
    value = torch.zeros(len(x))
    for c in set(call.tolist()):
        mine = torch.from_numpy(np.flatnonzero(call == c))
        value = value.index_add(0, mine, before[c][mine, torch.from_numpy(unit[mine.numpy()])])
    (slope,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), slope
