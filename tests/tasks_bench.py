"""A small owner of any task, with a workshop in memory: models are made once a test run."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from torch import nn

from birthmark import data as datasets
from birthmark.data import tasks
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.cohort import OTHER_START
from birthmark.workshop.owner import Owner
from birthmark.zoo.make import make


class Workshop:
    """Makes the models of cards of one task; `known` holds them by key."""

    def __init__(self, task: str, recipe: str, training: dict[str, object]) -> None:
        self.data = datasets.load(task)
        self.known: dict[str, nn.Module] = {}
        self.card = Card("trained", self.data.about(), "owner", recipe, 2**127 + 1, 1, training=training)

    def make(self, cards: Sequence[Card]) -> list[nn.Module]:
        for card in cards:
            if card.key not in self.known:
                self.known[card.key] = make(card, self.known, self.data)
        return [self.known[card.key] for card in cards]

    def owner(self) -> Owner:
        values = not self.data.classes
        return Owner(
            self.make([self.card])[0],
            self.card,
            self.data["owner"],
            self.data["reserve"],
            self.data["queries"],
            self.make,
            values=values,
            twin_kind=OTHER_START,
        )

    def stolen(self, attack: str, seed: int = 5, split: str = "attacker", **settings: object) -> nn.Module:
        self.make([self.card])
        return self.make([stolen(self.card, attack, settings, split, seed)])[0]

    def innocent(self, seed: int, split: str = "innocent", recipe: str = "") -> nn.Module:
        recipe = recipe or self.card.recipe
        return self.make([replace(self.card, split=split, recipe=recipe, start=seed, course=seed)])[0]


@cache
def diabetes() -> Workshop:
    return Workshop("diabetes", "mlp:width=32", {**tasks.TASKS["diabetes"].training, "epochs": 12})


@cache
def digits() -> Workshop:
    return Workshop("digits", "lenet:width=4", {"epochs": 6, "batch": 32})
