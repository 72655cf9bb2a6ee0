"""A small owner on the digits, with a workshop in memory: models are made once and shared by all tests here."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import nn

from birthmark import data as datasets
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.cohort import OTHER_START
from birthmark.workshop.owner import Owner
from birthmark.zoo.make import make

torch.set_num_threads(1)

QUICK = {"epochs": 8, "batch": 32}


class Bench:
    """Makes the models of cards in memory, quickly trained; `known` holds them by key."""

    def __init__(self) -> None:
        self.data = datasets.load("digits", seed=0)
        self.known: dict[str, nn.Module] = {}

    def make(self, cards: Sequence[Card]) -> list[nn.Module]:
        for card in cards:
            if card.key not in self.known:
                quick = replace(card, training={**card.training, **QUICK}) if card.kind == "trained" else card
                self.known[card.key] = make(quick, self.known, self.data)
        return [self.known[card.key] for card in cards]

    def trained(self, split: str, seed: int, recipe: str = "cnn:width=8") -> nn.Module:
        return self.make([Card("trained", self.data.about(split), split, recipe, seed, seed)])[0]

    def stolen(self, source: Card, attack: str, seed: int = 7, **settings: object) -> nn.Module:
        return self.make([stolen(source, attack, settings, "attacker", seed)])[0]


@pytest.fixture(scope="session")
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="session")
def owner(bench: Bench) -> Owner:
    card = Card("trained", bench.data.about(), "owner", "cnn:width=8", start=2**127 + 9)
    data, kind = bench.data, OTHER_START
    return Owner(
        bench.make([card])[0], card, data["owner"], data["reserve"], data["queries"], bench.make, twin_kind=kind
    )
