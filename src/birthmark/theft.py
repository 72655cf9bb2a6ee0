"""What attacks share: asking a target within its budget, copying its weights, finding its layers, training a student;
and `carry_out`, which runs one under the budget contract and reports what it cost and kept.

Left of `attacks/`, whose files never import each other.
"""

import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from birthmark.attack import Attack
from birthmark.errors import BudgetError, DataError, OracleError, SettingError
from birthmark.oracle import (
    HardLabels,
    Metered,
    Oracle,
    Probabilities,
    Recorded,
    Transcript,
    checked,
    is_labels,
    query_digest,
)
from birthmark.types import Access, Answers, Array, Floats, Samples
from birthmark.workshop.architectures import build
from birthmark.workshop.training import Training, accuracy, accuracy_of, fit, outputs, seeded

BATCH = 128  # queries between two answers that are kept
RUINED = 0.10  # accuracy lost, from which on a theft has failed


def chain(oracle: Oracle) -> Iterator[Oracle]:
    """The oracle, and every oracle it wraps, from the outside in."""
    inner: Oracle | None = oracle
    while inner is not None:
        yield inner
        inner = getattr(inner, "inner", None)


def queries_left(target: Oracle) -> int | None:
    """Queries that the tightest `Metered` of the chain still allows; None without a budget."""
    left = [o.left for o in chain(target) if isinstance(o, Metered) and o.left is not None]
    return min(left, default=None)


def affordable(target: Oracle, inputs: Array) -> int:
    """How many of the first inputs can be asked within the budget; what a transcript holds already costs nothing."""
    left = queries_left(target)
    if left is None:
        return len(inputs)
    known = next((set(o.transcript.known) for o in chain(target) if isinstance(o, Recorded)), None)
    if known is None:
        return min(left, len(inputs))
    for place, row in enumerate(inputs):
        digest = query_digest(row)
        if digest in known:
            continue
        if not left:
            return place
        left -= 1
        known.add(digest)
    return len(inputs)


def ask(target: Oracle, inputs: Array, *, hard: bool = False) -> Floats:
    """Answers (m, k) to the first m <= n inputs that the budget allows, in batches: probabilities, labels or values.

    Args:
        target: metered and recorded by the caller, if at all; with a `Recorded` in the chain a rerun asks nothing
            twice.
        hard: one-hot labels only.

    Raises:
        DataError: no inputs.
        BudgetError: the budget allows no query at all.
        OracleError: the target failed; says how many answers came before.
    """
    if not len(inputs):
        raise DataError("expected inputs to query the target with, got none")
    n = affordable(target, inputs)
    if not n:
        raise BudgetError(
            f"{target.name}: the budget allows no query; raise it to at least the number of inputs to learn from"
        )
    oracle = HardLabels(target) if hard else Probabilities(target)
    rows = list[Floats]()
    for start in range(0, n, BATCH):
        batch = inputs[start : min(start + BATCH, n)]
        try:
            rows.append(
                checked(oracle(batch), len(batch), rows[0].shape[1] if rows else None, oracle.answers, oracle.name)
            )
        except OracleError as error:
            kept = (
                "kept in the transcript: run again to go on"
                if any(isinstance(o, Recorded) for o in chain(target))
                else "not recorded"
            )
            raise OracleError(f"{error} (after {start} of {n} answers, {kept})") from error
    return np.concatenate(rows)


def labelled(inputs: Array, answers: Floats, kind: Answers) -> tuple[Samples, Floats | None]:
    """Answers as training data: samples and soft labels (n, k), or samples alone for values and one-hot labels.

    Raises:
        DataError: a classifier answered the same class everywhere, so there is nothing to learn.
    """
    if kind is Answers.VALUES:
        return Samples(inputs, answers.astype(np.float32), 0), None
    top = answers.argmax(axis=1)
    if len(top) > 1 and (top == top[0]).all():
        raise DataError(f"the target answered class {top[0]} to all {len(top)} inputs; bring inputs of more kinds")
    samples = Samples(inputs, top.astype(np.int64), answers.shape[1])
    if is_labels(answers):
        return samples, None
    total = answers.sum(axis=1, keepdims=True)
    return samples, np.maximum(answers, 0) / np.where(total > 0, total, 1)


def new_student(name: str, shape: tuple[int, ...], outputs: int, *, seed: int) -> nn.Module:
    """A fresh network of the thief's: by name, or by default `vgg` for images and `mlp` for flat inputs."""
    return build(name or ("vgg" if len(shape) == 3 else "mlp"), shape, outputs, seed=seed)


def train_student(
    name: str, inputs: Array, answers: Floats, kind: Answers, how: Training, *, seed: int, least_steps: int = 0
) -> nn.Module:
    """A student (`new_student`) trained from scratch on a target's answers."""
    samples, soft = labelled(inputs, answers, kind)
    student = new_student(name, samples.shape, answers.shape[1], seed=seed)
    return fit(student, samples, at_least(how, len(samples), least_steps), seed=seed, soft=soft)


def at_least(how: Training, n: int, steps: int) -> Training:
    """The same training with as many epochs as `steps` optimiser steps on n inputs take, if that is more."""
    return replace(how, epochs=max(how.epochs, -(-steps // -(-n // how.batch)))) if n else how


def copied(target: Oracle) -> nn.Module:
    """A deep copy of the target's network; the target must grant WEIGHTS (see `Attack.check`)."""
    module: nn.Module = target.module  # type: ignore[attr-defined]
    return copy.deepcopy(module)


def restored(target: Oracle, changed: nn.Module) -> nn.Module:
    """The changed weights in a fresh copy of the target: masks leave hooks and another order of parameters behind."""
    whole = copied(target)
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


def obtained(
    target: Oracle, inputs: Array, name: str, how: Training, *, seed: int, least_steps: int, hard: bool = False
) -> tuple[nn.Module, Floats]:
    """What an adaptive thief starts from.

    A copy of the weights if they are granted, else a student; and the target's answers.
    """
    answers = ask(target, inputs, hard=hard)
    if target.access is Access.WEIGHTS:
        return copied(target), answers
    kind = Answers.LABELS if hard else target.answers
    return train_student(name, inputs[: len(answers)], answers, kind, how, seed=seed, least_steps=least_steps), answers


def own_models(
    n: int, like: nn.Module, data: Samples, outputs: int, how: Training, *, seed: int, least_steps: int
) -> list[nn.Module]:
    """n independent models of the thief's own, of the same architecture, trained from scratch on the data's true
    labels.
    """
    found = list[nn.Module]()
    for i in range(n):
        fresh = fresh_like(like, data.shape, outputs, seed=seed + 1 + i)
        found.append(fit(fresh, fits(fresh, data), at_least(how, len(data), least_steps), seed=seed + 1 + i))
    return found


@dataclass(frozen=True)
class Theft:
    """What a theft cost and what it kept.

    Attributes:
        attack, settings, seed: which theft it was.
        queries: inputs that were sent to the target; 0 where the thief holds the weights.
        data: samples the thief had.
        seconds: of one processor, queries included.
        accuracy, source_accuracy: of the stolen model and of the target on the same held-out samples, 0 to 1 (R^2 for
            real values).
        agreement: share of those samples on which both give the same top class; NaN for real values or other classes.
    """

    attack: str
    settings: Mapping[str, Any]
    seed: int
    queries: int
    data: int
    seconds: float
    accuracy: float
    source_accuracy: float
    agreement: float

    @property
    def cost(self) -> float:
        """Accuracy lost, in the units of accuracy; negative if the stolen model is better."""
        return self.source_accuracy - self.accuracy

    @property
    def failed(self) -> bool:
        """Whether the model was ruined: more than ten points of accuracy lost. Such a theft defeats no fingerprint."""
        return self.cost > RUINED


def carry_out(
    attack: Attack,
    target: Oracle,
    data: Samples,
    test: Samples,
    *,
    seed: int,
    budget: int | None = None,
    answers: Path | None = None,
) -> tuple[nn.Module, Theft]:
    """Run an attack within a budget and measure it.

    Args:
        target: as the thief may see it. An attack that needs no weights is given none, and every query is counted.
        test: held-out samples; the target's answers to them measure the theft and count as no query of the thief's.
        budget: most queries.
        answers: file that keeps every answer, so that an interrupted theft continues and asks nothing twice.

    Raises:
        AccessError: the target grants less than the attack needs.
        BudgetError: the budget allows no query.
        OracleError: the target failed; with `answers`, run again to go on.
    """
    attack.check(target)
    shown, meter, log = target, None, None
    if attack.needs is not Access.WEIGHTS:
        log = Transcript(answers, suspect=target.name, answers=target.answers)
        meter = Metered(target, None if budget is None else max(budget - log.sent, 0))
        shown = Recorded(meter, log)
    begun = time.process_time()
    try:
        stolen = attack.steal(shown, data, seed=seed)
    finally:
        if log is not None:
            log.close()
    seconds = time.process_time() - begun
    theirs, mine = target(test.inputs), outputs(stolen, test.inputs)
    labelled_test = attack.view(test)
    same = bool(test.classes) and theirs.shape == mine.shape and labelled_test is test
    return stolen, Theft(
        attack=attack.name,
        settings={field.name: getattr(attack, field.name) for field in fields(attack)},  # type: ignore[arg-type]
        seed=seed,
        queries=log.sent if log is not None else 0,
        data=len(data),
        seconds=round(seconds, 3),
        accuracy=accuracy(stolen, labelled_test),
        source_accuracy=accuracy_of(theirs, test),
        agreement=float((theirs.argmax(axis=1) == mine.argmax(axis=1)).mean()) if same else float("nan"),
    )
