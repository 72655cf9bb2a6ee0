"""A card's key says everything that decides the bits."""

import json
from dataclasses import asdict, replace

import birthmark.workshop.card as cards
from birthmark.artifact import plain
from birthmark.workshop.card import as_card
from cards import digits_card, theft_card


def test_every_field_is_in_the_key() -> None:
    card = digits_card(3)
    others = [
        replace(card, start=4),
        replace(card, course=4),
        replace(card, split="reserve"),
        replace(card, code="0" * 64),
        replace(card, data={**card.data, "sha256": "0" * 64}),
        replace(card, version=card.version + 1),
        replace(card, made_by="torch 1.0"),
        theft_card(card, "ftal"),
    ]
    assert len({card.key, *(other.key for other in others)}) == len(others) + 1


def test_secret_seeds_survive_json_and_stay_out_of_print() -> None:
    card = digits_card(course=2**127 + 1, start=2**100)
    assert as_card(json.loads(json.dumps(plain(asdict(card))))) == card
    assert str(2**100) not in repr(card)


def test_the_key_is_the_same_on_every_machine(monkeypatch) -> None:
    monkeypatch.setattr(cards, "version", {"torch": "2.13.0+cpu", "numpy": "2.4.6"}.__getitem__)
    cards.made_by.cache_clear()
    assert cards.made_by() == "torch 2.13.0, numpy 2.4.6"
    cards.made_by.cache_clear()


def test_a_card_of_one_seed_is_read_as_start_and_course() -> None:
    card = as_card(
        {"kind": "trained", "data": {"name": "digits", "seed": 0}, "split": "owner", "recipe": "mlp", "seed": 5}
    )
    assert (card.start, card.course) == (5, 5)
