"""One card -> one network: the only place where a card's words become training."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from typing import TYPE_CHECKING, cast

import numpy as np
from torch import nn

from birthmark import data as datasets
from birthmark import registry
from birthmark.errors import SettingError
from birthmark.imprint.smoothing import mixtures, targets, tilted
from birthmark.imprint.tuning import Tuning, tuned
from birthmark.oracle import Oracle
from birthmark.types import Answers, Floats, Samples
from birthmark.workshop import architectures
from birthmark.workshop.card import Card
from birthmark.workshop.code import trainer
from birthmark.workshop.training import Training, fit, probabilities
from birthmark.workshop.whitebox import Open
from birthmark.zoo.marked import seen, watermark

if TYPE_CHECKING:
    from birthmark.watermarks.imprint import Imprint

OWN_SEEDS = 2**32  # seeds of the user's recipes: what torch.manual_seed uses of a larger one, and np.random.seed takes


def make(card: Card, parents: Mapping[str, nn.Module], data: datasets.Data) -> nn.Module:
    """Make the card's network; the same card, parents and data give the same bits.

    Args:
        parents: networks by card key; must hold the card's own parents.

    Raises:
        SettingError: an unknown training setting, a missing parent, or a "given" card (those are read, not made).
    """
    if card.kind == "given":
        raise SettingError(f"card {card.key} is a given model: it is read from the owner's file, not made")
    samples = data[card.split]
    missing = [key for key in card.parents if key not in parents]
    if missing:
        raise SettingError(
            f"card {card.key} ({card.attack or card.recipe}) needs parent {missing[0]}, which is not there"
        )
    if card.kind == "stolen":
        return _stolen(card, parents, data)
    if card.shown:
        return _imprinted(card, parents, data)
    start = deepcopy(parents[card.parents[0]]) if card.parents else None
    if card.own_code:
        return trainer(card.recipe)(card.course % OWN_SEEDS, card.start % OWN_SEEDS if start is None else start)
    network = start or architectures.build(card.recipe, samples.shape, samples.outputs, seed=card.start)
    return fit(network, samples, training(card), seed=card.course)


def _stolen(card: Card, parents: Mapping[str, nn.Module], data: datasets.Data) -> nn.Module:
    samples = data[card.split]
    attack = registry.make("attacks", card.attack, card.settings)
    answers = Answers.LOGITS if samples.classes else Answers.VALUES
    target: Oracle = Open(parents[card.parents[0]], answers, card.parents[0])
    if card.shown:
        target = seen(target, card.shown, [parents[key] for key in card.parents], data, card.course)
    return attack.steal(target, samples, seed=card.course)


def _imprinted(card: Card, parents: Mapping[str, nn.Module], data: datasets.Data) -> nn.Module:
    """The source trained on keyed targets, or tuned towards its own marked answers."""
    samples, models = data[card.split], [parents[key] for key in card.parents]
    mark = cast("Imprint", watermark(card.shown, models, data))
    if card.shown["imprint"] == "answers":
        return tuned(models[0], mark, samples, Tuning(**card.training), seed=card.course).module
    network = architectures.build(card.recipe, samples.shape, samples.outputs, seed=card.start)
    soft = targets(mark.signed, samples.inputs, samples.targets, mark.eps)
    if mark.tilt:
        samples, soft = _with_mixtures(samples, soft, mark, models[1:], card.course)
    if not samples.classes:
        return fit(network, Samples(samples.inputs, soft.astype(np.float32), 0), training(card), seed=card.course)
    return fit(network, samples, training(card), seed=card.course, soft=soft)


def _with_mixtures(
    samples: Samples, soft: Floats, mark: "Imprint", unmarked: Sequence[nn.Module], seed: int
) -> tuple[Samples, Floats]:
    """Samples and targets, and half as many mixtures that the key tilts."""
    x = mixtures(samples.inputs, len(samples) // 2, seed=seed)
    tilts = tilted(mark.signed, x, np.mean([probabilities(model, x) for model in unmarked], axis=0), mark.tilt)
    labels = np.concatenate([samples.targets, tilts.argmax(axis=1)])
    return Samples(np.concatenate([samples.inputs, x]), labels, samples.classes), np.concatenate([soft, tilts])


def training(card: Card) -> Training:
    """The card's settings of the standard loop."""
    known = {field.name for field in fields(Training)}
    unknown = set(card.training) - known
    if unknown:
        raise SettingError(f"training has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    return Training(**card.training)
