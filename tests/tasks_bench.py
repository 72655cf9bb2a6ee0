"""A small owner of any task, with a workshop in memory: models are made once a test run."""

from collections.abc import Sequence
from functools import cache

from torch import nn

from birthmark import data as datasets
from birthmark.data import tasks
from birthmark.workshop.card import Card
from birthmark.workshop.owner import Owner
from birthmark.zoo.make import make


class Workshop:
    """Makes the models of cards of one task; `known` holds them by key."""

    def __init__(self, task: str, recipe: str, training: dict[str, object]) -> None:
        self.data = datasets.load(task)
        self.known: dict[str, nn.Module] = {}
        self.card = Card(
            kind="trained", data={"name": task, "seed": 0}, split="owner", recipe=recipe, seed=1, training=training
        )

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
        )

    def stolen(self, attack: str, seed: int = 5, split: str = "attacker", **settings: object) -> nn.Module:
        self.make([self.card])
        return self.make(
            [
                Card(
                    kind="stolen",
                    data=self.card.data,
                    split=split,
                    recipe="",
                    seed=seed,
                    attack=attack,
                    settings=settings,
                    parents=(self.card.key,),
                )
            ]
        )[0]

    def innocent(self, seed: int, split: str = "innocent", recipe: str = "") -> nn.Module:
        return self.make(
            [
                Card(
                    kind="trained",
                    data=self.card.data,
                    split=split,
                    recipe=recipe or self.card.recipe,
                    seed=seed,
                    training=self.card.training,
                )
            ]
        )[0]


@cache
def diabetes() -> Workshop:
    return Workshop("diabetes", "mlp:width=32", {**tasks.TASKS["diabetes"].training, "epochs": 12})


@cache
def digits() -> Workshop:
    return Workshop("digits", "lenet:width=4", {"epochs": 6, "batch": 32})
