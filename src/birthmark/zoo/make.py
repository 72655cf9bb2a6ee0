"""One card -> one network: the only place where a card's words become training."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields

from torch import nn

from birthmark import data as datasets
from birthmark import registry
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.types import Answers
from birthmark.workshop import architectures
from birthmark.workshop.card import Card
from birthmark.workshop.code import trainer
from birthmark.workshop.training import Training, fit
from birthmark.workshop.whitebox import Open
from birthmark.zoo.marked import seen

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


def training(card: Card) -> Training:
    """The card's settings of the standard loop."""
    known = {field.name for field in fields(Training)}
    unknown = set(card.training) - known
    if unknown:
        raise SettingError(f"training has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    return Training(**card.training)
