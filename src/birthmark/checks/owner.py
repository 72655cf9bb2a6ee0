"""A small owner, for checks and for anybody's tests."""

from collections.abc import Sequence
from functools import cache

from torch import nn

from birthmark import data as datasets
from birthmark.workshop.card import Card
from birthmark.workshop.owner import Owner
from birthmark.zoo.make import make


@cache
def small_owner(architecture: str = "mlp") -> Owner:
    """An owner of a small network on digits, who trains twins and references in memory when asked."""
    parts = datasets.load("digits")
    how = {"epochs": 20, "batch": 32}
    card = Card("trained", parts.about(), "owner", architecture, training=how)
    known = {card.key: make(card, {}, parts)}

    def workshop(cards: Sequence[Card]) -> list[nn.Module]:
        for wanted in cards:
            if wanted.key not in known:
                known[wanted.key] = make(wanted, known, parts)
        return [known[wanted.key] for wanted in cards]

    return Owner(known[card.key], card, parts["owner"], parts["reserve"], parts["queries"], workshop)
