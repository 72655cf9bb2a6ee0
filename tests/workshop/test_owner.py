"""Twins share the start; other-start twins take a secret one."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from birthmark.errors import BirthmarkError, DataError, SettingError
from birthmark.methods.kinship import Kinship
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import OTHER_START, reference_cards, treated_cards
from birthmark.workshop.enroll import relatives, replaced, train_and_enroll
from birthmark.workshop.opening import enough
from birthmark.workshop.owner import Owner
from cards import digits_card


def test_twins_share_everything_but_a_secret_course(owner: Owner) -> None:
    twins = owner.twin_cards(19)
    assert len({card.course for card in twins} | {owner.card.course}) == 20
    assert all(replace(card, course=owner.card.course).key == owner.card.key for card in twins)
    assert owner.twin_cards(19) == twins
    assert not {card.course for card in twins} & {card.course for card in replace(owner, secret=1).twin_cards(19)}


def test_other_start_twins_take_a_secret_start(owner: Owner) -> None:
    with pytest.raises(SettingError, match=r"secret seed of 128 bits \(birthmark.seed\(\)\).*stranger"):
        replace(owner, twin_kind=OTHER_START).twin_cards(3)
    secret = replace(owner, twin_kind=OTHER_START, card=digits_card(start=2**120))
    starts = {card.start for card in secret.twin_cards(19)}
    assert len(starts | {2**120}) == 20


def test_references_and_treated_ones_hold_strangers_with_the_sources_start() -> None:
    source = digits_card(4)
    references = reference_cards(source, 8)
    same = [i for i, card in enumerate(references) if card.start == source.start]
    assert same == [2, 6]
    assert {(references[i].recipe, references[i].split) for i in same} == {(source.recipe, "reserve")}
    assert len({card.course for card in references}) == 8
    treated = treated_cards(source, references, 2)
    assert {card.parents for i in same for card in treated[i]} == {(references[i].key,) for i in same}


def test_a_twin_starts_where_the_source_did(owner: Owner) -> None:
    twin = owner.make([replace(owner.card, course=9, training={"epochs": 0})])[0]
    again = owner.make([replace(owner.card, course=10, training={"epochs": 0})])[0]
    for one, other in zip(twin.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_reference_that_names_one_class_is_replaced(owner: Owner) -> None:
    plain = reference_cards(owner.card, 8)
    dead = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(dead[1].weight)

    def without(*keys: str) -> Owner:
        return replace(owner, make=lambda cards: [dead if c.key in keys else owner.make([c])[0] for c in cards])

    assert without().reference_cards(4) == plain[:4]
    assert without(plain[1].key).reference_cards(4) == [plain[0], *plain[2:5]]
    assert [len(row) for row in without(plain[1].key).treated(4, 1)] == [1] * 4
    with pytest.raises(DataError, match=r"only 3 of 8 independent models learnt more than one class.*--training"):
        without(*(card.key for card in plain[3:])).reference_cards(4)


def test_references_of_own_recipes_are_trained_long_enough() -> None:
    for n in (50, 400, 2500, 60_000):
        how = enough(n)
        assert how["epochs"] * -(-n // how["batch"]) >= 250


@pytest.mark.parametrize("lost", ["reference", "treated"])
def test_a_reference_or_treated_one_that_diverges_is_replaced_and_said(lost: str, owner: Owner) -> None:
    references = reference_cards(owner.card, 4)
    gone = references[1] if lost == "reference" else treated_cards(owner.card, references, 1)[2][0]

    def make(cards: list[Card]) -> list[nn.Module]:
        if gone.key in {card.key for card in cards}:
            raise BirthmarkError("training diverged")
        return list(owner.make(cards))

    torn, method = replace(owner, make=make), Kinship(placebos=19, references=4, treated=1)
    rows = torn.treated(4, 1)
    assert [len(row) for row in rows] == [1] * 4
    assert gone.key not in {card.key for card in relatives(torn, method)}
    assert replaced(torn, method) == [
        "1 of the references and treated ones diverged or named one class alone: others took their place"
    ]
    assert replaced(owner, method) == []


def test_relatives_of_a_network_of_ones_own_take_what_it_takes() -> None:
    """Beside a recipe of the user's own on a table no image networks are trained."""
    own = replace(digits_card(recipe="mine:train"), code="x")
    cards = reference_cards(own, 8, flat=True)
    assert {card.recipe.partition(":")[0] for card in cards} <= {"mlp", "mlp-deep"}
    students = {
        str(card.settings.get("student", "mlp")) for row in treated_cards(own, cards, 3, flat=True) for card in row
    }
    assert {name.partition(":")[0] for name in students} <= {"mlp", "mlp-deep"}
    assert {card.recipe for card in reference_cards(own, 6)} == {"cnn", "res", "vgg", "lenet", "mobile", "squeeze"}


def test_a_claim_too_large_is_refused_before_anything_is_trained(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[Card]()
    monkeypatch.setattr("birthmark.artifact.LARGEST", (1 << 20) + 100_000)
    with pytest.raises(BirthmarkError, match=r"kinship: 0\.0 GiB of answers and queries, and at most .* can be read"):
        train_and_enroll(replace(owner, make=lambda cards: made.extend(cards) or []), Kinship(), seed=0)
    assert not made
