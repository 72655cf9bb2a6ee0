"""What crafted fingerprints share: fast ensembles, random transforms, pixels without a border, placebos by rerunning.

Networks that queries are crafted with are never trained here, so `prepared` folds their batch normalisation into the
convolutions, freezes them and runs them in bfloat16 where that is faster: gradients for the inputs alone cost less than
half.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.artifact import digest_of, load_folder, plain, save_folder
from birthmark.crafting.images import eight_bit, jpeg
from birthmark.errors import DataError
from birthmark.types import Array, Floats, Labels, Samples, Tensors
from birthmark.workshop.devices import has_bf16
from birthmark.workshop.owner import Cohort, Owner
from birthmark.workshop.training import accuracy, autocast, outputs, probabilities, seeded

SCRATCH = "birthmark/crafted/1"
WEAK = 0.5  # a source below this accuracy has no decision regions worth remembering
TRANSFORMS = ("identity", "noise", "shift", "shear")


@dataclass(frozen=True)
class Member:
    """A frozen network that answers tensors (n, *d) with float32 logits (n, k), differentiable in the inputs."""

    network: nn.Module
    bf16: bool

    def __call__(self, x: Tensor) -> Tensor:
        with autocast(self.bf16, x.device):
            rows: Tensor = self.network(x)
        return rows.float()


def prepared(models: Sequence[nn.Module], *, bf16: bool = True) -> list[Member]:
    """Frozen copies with batch normalisation folded in.

    Bfloat16 unless they have depthwise convolutions, which it slows.
    """
    return [_prepared(model, bf16 and has_bf16()) for model in models]


def _prepared(model: nn.Module, bf16: bool) -> Member:
    network = copy.deepcopy(model).eval().requires_grad_(False)
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            _fold(part)
    deep = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in network.modules())
    dense = any(isinstance(m, nn.Conv2d) for m in network.modules())
    return Member(network, bf16 and dense and not deep)


def _fold(part: nn.Sequential) -> None:
    layers = list(part.named_children())
    for (name, layer), (after, norm) in pairwise(layers):
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            part.register_module(name, nn.utils.fusion.fuse_conv_bn_eval(layer, norm))
            part.register_module(after, nn.Identity())


@torch.no_grad()
def answers(members: Sequence[Member], x: Tensor, batch: int = 500) -> Tensor:
    """Logits (r, n, k) of all members, without gradients."""
    return torch.stack([torch.cat([member(part) for part in x.split(batch)]) for member in members])


def drawn(members: Sequence[Member], n: int) -> list[Member]:
    """`n` different members at random (all, if there are not more)."""
    return [members[int(i)] for i in torch.randperm(len(members))[:n]]


def transform(x: Tensor, kind: str, *, shift: int = 3, shear: float = 0.1, noise: float = 0.02) -> Tensor:
    """One random transform of a batch of images: what an API's pre-processing may do; other inputs take noise alone.

    Args:
        kind: "identity", "noise" (Gaussian, sd `noise`), "shift" (up to `shift` pixels, edges filled with 0), "shear"
            (up to `shear`).
    """
    if kind == "noise":
        return (x + noise * torch.randn_like(x)).clamp(0, 1)
    if kind == "identity" or x.ndim != 4:
        return x
    if kind == "shift":
        dy, dx = (int(v) for v in torch.randint(-shift, shift + 1, (2,)))
        padded = functional.pad(x, (shift, shift, shift, shift))
        h, w = x.shape[2:]
        return padded[:, :, shift + dy : shift + dy + h, shift + dx : shift + dx + w]
    lean = float(torch.empty(()).uniform_(-shear, shear))
    matrix = torch.tensor([[1.0, lean, 0.0], [0.0, 1.0, 0.0]]).expand(len(x), 2, 3)
    grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def varied(x: Tensor, compress: int) -> Tensor:
    """A random transform of the batch.

    With `compress` > 0 JPEG of that quality is one of them (straight-through gradient).
    """
    kinds = (*TRANSFORMS, "jpeg") if compress else TRANSFORMS
    kind = kinds[int(torch.randint(len(kinds), ()))]
    if kind == "jpeg":
        return x + (torch.from_numpy(jpeg(x.detach().numpy(), compress)) - x).detach()
    return transform(x, kind)


def margin(logits: Tensor, labels: Tensor, kappa: float) -> Tensor:
    """max(max_{c != y} Z_c - Z_y, -kappa) of each row (n,): Carlini and Wagner's targeted hinge."""
    mine = logits.gather(1, labels[:, None])[:, 0]
    rest = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return (rest - mine).clamp_min(-kappa)


def unbounded(x: Array) -> Tensor:
    """u with sigmoid(u) = x, for pixels kept .02 away from 0 and 1."""
    return torch.logit(torch.from_numpy(x).clamp(0.02, 0.98))


def finished(x: Tensor) -> Array:
    """A crafted tensor as queries: pixels exact in 8 bits."""
    return eight_bit(x.detach().numpy().astype(np.float32))


@torch.no_grad()
def conferrability(cohort: Cohort, queries: Array, labels: Labels, *, compress: int = 0, draws: int = 1) -> Floats:
    """(share of derived models on the label) * (share of independent ones off it), (n,), mean over transforms.

    Lukas et al. 2021's Confer, on the label of the source; over the identity and `draws` of each random transform.
    """
    x, y = torch.from_numpy(queries), torch.from_numpy(labels)
    with seeded(0):
        views = [x, *(transform(x, kind) for kind in TRANSFORMS[1:] for _ in range(draws if x.ndim == 4 else 0))]
    if compress:
        views.append(torch.from_numpy(jpeg(queries, compress)))
    sides = [prepared(side) for side in (cohort.derived, cohort.independent)]
    shares = []
    for view in views:
        on, off = ((answers(side, view).argmax(2) == y).float().mean(0) for side in sides)
        shares.append(on * (1 - off))
    return np.asarray(torch.stack(shares).mean(0).double().numpy())


def starts(owner: Owner, source: nn.Module, n: int, *, seed: int) -> Samples:
    """`n` random training samples of the owner's that the source classifies right."""
    order = np.random.default_rng(seed).permutation(len(owner.train))
    some = owner.train[order[: 4 * n]]
    right = outputs(source, some.inputs).argmax(1) == some.targets
    return some[np.flatnonzero(right)[:n]]


@dataclass(frozen=True)
class Starts:
    """Where crafting starts: inputs (n, *d), their places (n,) among the candidates, y+ and y- (n,)."""

    inputs: Array
    places: Labels
    labels: Labels
    others: Labels


def mined(cohort: Cohort, candidates: Array, n: int, share: float = 1.0) -> Starts:
    """The candidates that already lie where derived and independent models differ most.

    y+ is the owner's class there, y- the class other than y+ that the independents favour.

    Args:
        share: largest share of the starts on one class y+ (if other classes have enough): where one class has most
            queries, whoever favours that class matches.
    """
    ours = _mean_probabilities(cohort.derived, candidates)
    theirs = _mean_probabilities(cohort.independent, candidates)
    label = probabilities(cohort.derived[0], candidates).argmax(1)
    rows = np.arange(len(label))
    order = np.argsort(theirs[rows, label] - ours[rows, label], kind="stable")
    place = np.zeros(len(label), dtype=np.int64)  # of each candidate among those of its class, best first
    for c in np.unique(label):
        place[order[label[order] == c]] = np.arange((label == c).sum())
    best = np.concatenate([order[place[order] < share * n], order[place[order] >= share * n]])[:n]
    others = theirs[best].copy()
    others[np.arange(len(best)), label[best]] = -1
    return Starts(candidates[best], best, label[best], others.argmax(1))


def _mean_probabilities(models: Sequence[nn.Module], inputs: Array) -> Floats:
    x = torch.from_numpy(inputs)
    return np.asarray(
        np.mean([functional.softmax(answers([m], x)[0], 1).double().numpy() for m in prepared(models)], axis=0)
    )


def kept(owner: Owner, what: Sequence[Any], make: Callable[[], Tensors]) -> Tensors:
    """What `make` makes, from the owner's scratch folder if it was made there before.

    Args:
        what: plain data that says what it is: method, settings, seed, whose; the owner's samples are added.
    """
    if owner.scratch is None:
        return make()
    what = [*what, owner.digest, owner.secret]
    folder = owner.scratch / digest_of(what)[:16]
    if not (folder / "manifest.json").is_file():
        began = time.monotonic()
        made = make()
        save_folder(folder, SCRATCH, {"what": plain(what), "seconds": round(time.monotonic() - began, 2)}, made)
        return made
    stored = load_folder(folder, SCRATCH)
    owner.reused.append(float(stored.data.get("seconds", 0.0)))
    return dict(stored.tensors)


def weak(owner: Owner) -> tuple[str, ...]:
    """A warning if the source is hardly better than chance on the owner's pool."""
    share = accuracy(owner.source, owner.pool)
    return (f"the source's accuracy is {share:.2f}: below {WEAK} fingerprints are weak",) if share < WEAK else ()


def best(parts: Tensors, quality: Floats, n: int, least: float, advice: str) -> Tensors:
    """The `n` candidates of the highest quality, best first.

    Raises:
        DataError: none reaches `least`.
    """
    if not len(quality) or quality.max() < least:
        reached = (
            f"the best of {len(quality)} reached {quality.max():.2f}" if len(quality) else "there were no candidates"
        )
        raise DataError(f"no query passed the filter: {reached}, and {least:g} is asked; {advice}")
    order = np.argsort(-quality, kind="stable")[:n]
    return {key: value[order] for key, value in parts.items()} | {"quality": quality[order]}
