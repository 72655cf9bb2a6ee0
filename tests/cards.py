"""Cards that tests share."""

from typing import Any

from birthmark.workshop.card import Card

TRAINING = {"epochs": 20, "batch": 32}


def digits_card(seed: int = 0, recipe: str = "mlp", split: str = "owner", **more: Any) -> Card:
    """A trained card on digits; `mlp` takes a third of a second."""
    return Card(
        kind="trained",
        data={"name": "digits", "seed": 0},
        split=split,
        recipe=recipe,
        seed=seed,
        training=TRAINING,
        **more,
    )


def theft_card(source: Card, attack: str, seed: int = 50, **settings: Any) -> Card:
    """A theft of a source, on the attacker's part."""
    return Card(
        kind="stolen",
        data=source.data,
        split="attacker",
        recipe="",
        seed=seed,
        attack=attack,
        settings=settings,
        parents=(source.key,),
    )
