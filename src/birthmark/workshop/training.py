"""The one training loop: sources, twins, references, thefts and fingerprints' networks all go through it.

AdamW with a one-cycle learning rate, channels-last images, optional bfloat16 autocast, any mix of hard labels, soft
labels and values, optional augmentation and adversarial examples. One torch thread, so that the same seed gives the
same bits in the main process, in a pool's worker and on a cluster.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.answers import accuracy_of, softmax
from birthmark.errors import BirthmarkError, DataError, SettingError
from birthmark.inputs import are_strings
from birthmark.types import Array, Floats, Samples
from birthmark.workshop.devices import device, has_bf16, in_batches
from birthmark.workshop.seeds import sow

Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Training:
    """Settings of the loop.

    Attributes:
        epochs: passes over the data.
        batch: inputs a step.
        rate: peak learning rate of the cycle (the constant rate if `cycle` is false).
        weight_decay: AdamW's.
        cycle: one-cycle schedule (warm-up over 30 % of the steps, cosine down) or a constant rate.
        smoothing: label smoothing, 0 to 1 (hard labels only).
        temperature: of soft labels: KL(teacher^(1/T) || student^(1/T)) * T^2.
        hard_share: weight of the hard labels where both kinds are given, 0 to 1.
        shift: random shifts of up to so many pixels.
        flip: random left-right flips.
        noise: share of hard labels that are drawn at random before training, 0 to 1.
        cutout: side of a square of noise pasted in, pixels; 0 for none.
        adversarial: share of each batch replaced by PGD examples, 0 to 1.
        epsilon, steps: of those examples: L-inf radius in input units; number of steps (of 2.5 * epsilon / steps).
        bf16: autocast to bfloat16 (used where the processor has it, see `has_bf16`).
    """

    epochs: int = 8
    batch: int = 128
    rate: float = 6e-3
    weight_decay: float = 1e-3
    cycle: bool = True
    smoothing: float = 0.0
    temperature: float = 1.0
    hard_share: float = 0.0
    shift: int = 0
    flip: bool = False
    cutout: int = 0
    noise: float = 0.0
    adversarial: float = 0.0
    epsilon: float = 0.05
    steps: int = 5
    bf16: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch < 1 or self.rate <= 0:
            raise SettingError(
                f"expected epochs >= 0, batch >= 1 and rate > 0, got {self.epochs}, {self.batch}, {self.rate}"
            )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generators start at `seed` inside and are as before outside; one thread inside."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        sow(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def fit(
    model: nn.Module,
    samples: Samples,
    how: Training = Training(),
    *,
    seed: int,
    soft: Floats | None = None,
    only: Iterable[nn.Parameter] | None = None,
    penalty: Penalty | None = None,
) -> nn.Module:
    """Train `model` in place and return it, in eval mode.

    A network that brings its own loss, a method `cost(inputs, targets) -> Tensor`, is trained by that (generators do).

    Args:
        samples: inputs and hard targets: class numbers, or real values (mean squared error).
        soft: teacher's probabilities (n, k) per input; then hard labels weigh `how.hard_share`.
        only: parameters to train (default all); the others stay, and so do the statistics of batch norms that are not
            trained.
        penalty: (model, inputs, outputs) -> extra loss, for attacks and defences.

    Raises:
        DataError: no data.
        BirthmarkError: the loss became NaN or infinite.
    """
    if not len(samples):
        raise DataError("expected data to train on, got none")
    where = device()
    inputs = samples.inputs
    targets = torch.from_numpy(np.ascontiguousarray(samples.targets))
    teacher = None if soft is None else torch.from_numpy(soft).float()
    model.to(where).train()
    chosen = list(model.parameters() if only is None else only)
    if only is not None:
        _settle_norms(model, chosen)
    total = how.epochs * -(-len(samples) // how.batch)
    if not total or not chosen:
        return model.eval()
    optimiser = torch.optim.AdamW(chosen, lr=how.rate, weight_decay=how.weight_decay)
    step = _stepper(optimiser, how, total)
    with seeded(seed):
        targets = _noisy(targets, samples.classes, how.noise)
        for done, part in enumerate(_batches(len(samples), how), start=1):
            if len(part) == 1 < len(samples):  # batch norm needs two
                continue
            x, y = augment(fed(inputs[part.numpy()], where), how), targets[part].to(where)
            t = None if teacher is None else teacher[part].to(where)
            cost = _cost(model, x, y, t, how, penalty)
            optimiser.zero_grad(set_to_none=True)
            cost.backward()
            step()
            if done % 20 == 0 and not torch.isfinite(cost):
                raise BirthmarkError(
                    f"training diverged: the loss is {cost.item()} after {done} of {total} steps; lower the rate "
                    f"({how.rate})"
                )
    return model.eval()


def _settle_norms(model: nn.Module, chosen: list[nn.Parameter]) -> None:
    """Batch norms of which nothing is trained keep their statistics."""
    trained = {id(parameter) for parameter in chosen}
    for module in model.modules():
        own = {id(parameter) for parameter in module.parameters()}
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and own.isdisjoint(trained):
            module.eval()


def _stepper(optimiser: torch.optim.Optimizer, how: Training, total: int) -> Callable[[], None]:
    """What ends a batch: the optimiser's step, then the schedule's."""
    if not how.cycle or total < 4:
        return optimiser.step
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.rate, total_steps=total)

    def both() -> None:
        optimiser.step()
        schedule.step()

    return both


def _batches(n: int, how: Training) -> Iterator[Tensor]:
    for _ in range(how.epochs):
        yield from torch.randperm(n).split(how.batch)


def _cost(
    model: nn.Module, x: Tensor, y: Tensor, teacher: Tensor | None, how: Training, penalty: Penalty | None
) -> Tensor:
    if how.adversarial:
        x = _partly_adversarial(model, x, y, teacher, how)
    own = getattr(model, "cost", None) if teacher is None else None  # with a teacher the data's own cost is not asked
    if own is not None:
        return own(x, y)
    with autocast(how.bf16, x.device):
        outputs = model(x)
    cost = loss(outputs.float(), y, teacher, how)
    return cost if penalty is None else cost + penalty(model, x, outputs.float())


def _noisy(targets: Tensor, classes: int, share: float) -> Tensor:
    """Class numbers of which a share was drawn at random."""
    if not share or not classes:
        return targets
    wrong = torch.rand(len(targets)) < share
    return torch.where(wrong, torch.randint(classes, targets.shape), targets)


def autocast(wanted: bool, where: torch.device) -> "torch.autocast | nullcontext[None]":
    """bfloat16 autocast where it is wanted and fast, else nothing."""
    return torch.autocast(where.type, dtype=torch.bfloat16) if wanted and has_bf16() else nullcontext()


def loss(outputs: Tensor, targets: Tensor, teacher: Tensor | None, how: Training) -> Tensor:
    """Cross-entropy on labels, temperature-scaled KL on soft labels, or mean squared error on values."""
    if targets.is_floating_point():
        return functional.mse_loss(
            outputs.reshape(len(targets), -1), (targets if teacher is None else teacher).reshape(len(targets), -1)
        )
    hard = (
        functional.cross_entropy(outputs, targets, label_smoothing=how.smoothing)
        if teacher is None or how.hard_share
        else outputs.new_zeros(())
    )
    if teacher is None:
        return hard
    heat = how.temperature
    warm = teacher if heat == 1 else functional.softmax(teacher.clamp_min(1e-8).log() / heat, dim=1)
    soft = functional.cross_entropy(outputs / heat, warm) * heat**2
    return (1 - how.hard_share) * soft + how.hard_share * hard


def augment(x: Tensor, how: Training) -> Tensor:
    """Random shifts (edges repeated), flips and cut-outs of images (n, c, h, w), one draw a batch row."""
    if not isinstance(x, Tensor) or x.ndim != 4:
        return x
    if how.flip:
        x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)
    if how.shift:
        x = _shifted(x, how.shift)
    return _cut_out(x, how.cutout) if how.cutout else x


def _shifted(x: Tensor, most: int) -> Tensor:
    h, w = x.shape[2:]
    padded = functional.pad(x, (most, most, most, most), mode="replicate")
    top, left = torch.randint(0, 2 * most + 1, (2, len(x)), device=x.device)
    rows = (top[:, None] + torch.arange(h, device=x.device))[:, None, :, None]
    columns = (left[:, None] + torch.arange(w, device=x.device))[:, None, None, :]
    images = torch.arange(len(x), device=x.device)[:, None, None, None]
    return padded[images, torch.arange(x.shape[1], device=x.device)[None, :, None, None], rows, columns]


def _cut_out(x: Tensor, side: int) -> Tensor:
    top, left = (int(torch.randint(0, max(length - side, 1), (1,))) for length in x.shape[2:])
    x = x.clone()
    patch = x[:, :, top : top + side, left : left + side]
    patch.copy_(torch.rand_like(patch))
    return x


def _partly_adversarial(model: nn.Module, x: Tensor, y: Tensor, teacher: Tensor | None, how: Training) -> Tensor:
    n = max(1, round(how.adversarial * len(x)))
    aim = y[:n] if teacher is None else teacher[:n]
    worse = pgd(model, x[:n], aim, epsilon=how.epsilon, steps=how.steps, bf16=how.bf16)
    return torch.cat([worse, x[n:]])


def pgd(
    model: nn.Module, x: Tensor, targets: Tensor, *, epsilon: float, steps: int, start: bool = True, bf16: bool = False
) -> Tensor:
    """Projected gradient ascent on the cross-entropy in an L-inf ball inside [0, 1] (Madry et al. 2018, Eq. 2.1 and
    Sec. 2.1).

    Args:
        x: inputs (n, *d) in [0, 1].
        targets: labels (n,) or probabilities (n, k) to move away from.
        epsilon: radius, in input units.
        steps: number of steps, of 2.5 * epsilon / steps each.
        start: begin at a uniformly random point of the ball.

    Returns:
        Inputs of the same shape. The model's mode, gradients and batch-norm statistics are left as they were.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    size = 2.5 * epsilon / max(steps, 1)
    worse = x + (torch.empty_like(x).uniform_(-epsilon, epsilon) if start else 0.0)
    worse = worse.clamp(0, 1)
    for _ in range(steps):
        worse = worse.detach().requires_grad_()
        with autocast(bf16, x.device):
            outputs = model(worse)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(outputs.float(), targets, reduction="sum"), worse)
        worse = (x + (worse.detach() + size * gradient.sign() - x).clamp(-epsilon, epsilon)).clamp(0, 1)
    for module, mode in modes:
        module.training = mode
    return worse.detach()


def fed(inputs: Array, where: torch.device) -> Tensor:
    """Inputs as a network takes them: a tensor, or a list of texts, or of records' objects."""
    if are_strings(inputs):
        return inputs.tolist()
    return torch.from_numpy(np.ascontiguousarray(inputs)).to(where)


@torch.no_grad()
def outputs(model: nn.Module, inputs: Array, batch: int = 1000) -> Floats:
    """The model's own outputs (n, k), float64, in eval mode; flattened to one row an input.

    It is asked on the device, in batches that fit its memory, and is afterwards where it was.
    """
    mode, home, where = model.training, next((p.device for p in model.parameters()), None), device()
    model.eval()
    if home is not None and home != where:
        model.to(where)
    try:
        rows = in_batches(lambda part: _rows(model, part, where), inputs, batch)
    finally:
        model.train(mode)
        if home is not None and home != where:
            model.to(home)
    return torch.cat(rows).double().numpy() if rows else np.zeros((0, 0))


def _rows(model: nn.Module, inputs: Array, where: torch.device) -> Tensor:
    return model(fed(inputs, where)).float().reshape(len(inputs), -1).cpu()


def probabilities(model: nn.Module, inputs: Array) -> Floats:
    """Softmax of a classifier's logits (n, k)."""
    return softmax(outputs(model, inputs))


def accuracy(model: nn.Module, samples: Samples) -> float:
    """Share of samples whose top class is the target, 0 to 1; for real targets R^2 (1 at best)."""
    return accuracy_of(outputs(model, samples.inputs), samples)
