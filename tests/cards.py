"""Cards that tests share."""

from typing import Any

from birthmark import data
from birthmark.workshop.card import Card, stolen

TRAINING = {"epochs": 20, "batch": 32}


def digits_card(seed: int = 0, recipe: str = "mlp", split: str = "owner", **more: Any) -> Card:
    """A trained card on digits, of one seed for start and course; `mlp` takes a third of a second."""
    seeds = {"start": seed, "course": seed, "training": TRAINING}
    return Card("trained", data.load("digits").about(split), split, recipe, **{**seeds, **more})


def theft_card(source: Card, attack: str, seed: int = 50, **settings: Any) -> Card:
    """A theft of a source, on the attacker's part."""
    return stolen(source, attack, settings, "attacker", seed)
