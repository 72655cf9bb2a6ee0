"""One card -> one network: the only place where a card's words become training."""

from collections.abc import Mapping
from dataclasses import fields

from torch import nn

from birthmark import data as datasets
from birthmark import registry
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.types import Answers
from birthmark.workshop import architectures
from birthmark.workshop.card import Card
from birthmark.workshop.modelfile import imported
from birthmark.workshop.training import Training, fit
from birthmark.workshop.whitebox import Open
from birthmark.zoo.marked import seen


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
    if card.kind == "stolen":
        missing = [key for key in card.parents if key not in parents]
        if missing:
            raise SettingError(f"card {card.key} ({card.attack}) needs parent {missing[0]}, which is not there")
        attack = registry.make("attacks", card.attack, card.settings)
        answers = Answers.LOGITS if samples.classes else Answers.VALUES
        target: Oracle = Open(parents[card.parents[0]], answers, card.parents[0])
        if card.shown:
            target = seen(target, card.shown, [parents[key] for key in card.parents], data, card.seed)
        return attack.steal(target, samples, seed=card.seed)
    if is_code(card.recipe):
        return imported(card.recipe)(card.seed)
    network = architectures.build(card.recipe, samples.shape, samples.outputs, seed=card.seed)
    return fit(network, samples, training(card), seed=card.seed)


def is_code(recipe: str) -> bool:
    """Whether a recipe names code, "module:function", rather than an architecture with settings."""
    return ":" in recipe and recipe.partition(":")[0] not in architectures.ARCHITECTURES


def training(card: Card) -> Training:
    """The card's settings of the standard loop."""
    known = {field.name for field in fields(Training)}
    unknown = set(card.training) - known
    if unknown:
        raise SettingError(f"training has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    return Training(**card.training)
