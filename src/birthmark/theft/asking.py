"""Asking a target within its budget, and training a student on what it answered."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import nn

from birthmark.answers import checked, is_labels
from birthmark.errors import BudgetError, DataError, OracleError
from birthmark.inputs import query_digest
from birthmark.oracle import HardLabels, Metered, Oracle, Probabilities
from birthmark.transcript import Recorded
from birthmark.types import Answers, Array, Floats, Samples
from birthmark.workshop.architectures import build
from birthmark.workshop.training import Training

BATCH = 128  # queries between two answers that are kept


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


def at_least(how: Training, n: int, steps: int) -> Training:
    """The same training with as many epochs as `steps` optimiser steps on n inputs take, if that is more."""
    return replace(how, epochs=max(how.epochs, -(-steps // -(-n // how.batch)))) if n else how
