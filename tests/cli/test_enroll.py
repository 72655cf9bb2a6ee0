"""What `enroll` refuses, through the command line: each test fails if the refusal is taken out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from birthmark import data
from birthmark.workshop import opening
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import reference_cards
from birthmark.workshop.owner import Owner
from cli.conftest import run

Enroll = Callable[..., tuple[int, str]]


@pytest.fixture
def enroll(owner: Owner, digits: data.Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Enroll:
    """Enrol such an owner by the command; exit code and what it says. Nothing may be left behind by a refusal."""

    def enrolled(method: str = "akh", **changes: object) -> tuple[int, str]:
        changed = replace(owner, **changes)  # type: ignore[arg-type]
        monkeypatch.setattr(opening, "open_owner", lambda *args, **named: (changed, digits["test"]))
        options = ("--method", method, "--twins", 19, "--references", 4, "--surrogates", 0, "--workers", 1)
        code, _, err = run("enroll", "--source", "s", "--out", tmp_path / "claim", *options, "--json")
        assert (tmp_path / "claim").exists() == (code == 0)
        return code, err

    return enrolled


def test_what_is_in_order_is_enrolled(enroll: Enroll) -> None:
    assert enroll() == (0, "")


def test_a_source_with_other_outputs_is_refused(enroll: Enroll) -> None:
    code, err = enroll(source=nn.Sequential(nn.Flatten(), nn.Linear(64, 9)))
    assert (code, "answers 9 outputs, the data have 10" in err) == (2, True)


def test_a_source_of_other_inputs_is_refused(enroll: Enroll) -> None:
    code, err = enroll(source=nn.Sequential(nn.Flatten(), nn.Linear(81, 10)))
    assert (code, "cannot answer inputs of shape (1, 8, 8)" in err) == (2, True)
    assert err.count("\n") == 1


def test_a_source_that_answers_probabilities_is_refused(enroll: Enroll, owner: Owner) -> None:
    code, err = enroll(source=nn.Sequential(owner.source, nn.Softmax(dim=1)))
    assert (code, "returns probabilities, expected logits" in err) == (2, True)


def test_a_claim_that_accuses_its_references_is_refused(enroll: Enroll, owner: Owner) -> None:
    """References that are copies of the source stand for a source that lies close to everybody."""
    close = {card.key for card in reference_cards(owner.card, 4)}

    def make(cards: Sequence[Card]) -> list[nn.Module]:
        return [owner.source if card.key in close else owner.make([card])[0] for card in cards]

    code, err = enroll(make=make)
    assert (code, "claim refused: it would accuse 4 of the owner's own 4 independent references" in err) == (2, True)


def test_twins_that_are_no_reruns_are_told(enroll: Enroll, owner: Owner, tmp_path: Path) -> None:
    """Twins far worse than the source: the claim says so, or is refused."""
    references = {card.key for card in reference_cards(owner.card, 4)}
    untrained = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    torch.nn.init.zeros_(untrained[1].weight)

    def make(cards: Sequence[Card]) -> list[nn.Module]:
        twins = [card.kind != "stolen" and card.key not in references for card in cards]
        return [untrained if twin else owner.make([card])[0] for twin, card in zip(twins, cards, strict=True)]

    code, err = enroll("kinship", make=make)
    assert code == 2 or "are no reruns" in (tmp_path / "claim" / "data.json").read_text(), err
