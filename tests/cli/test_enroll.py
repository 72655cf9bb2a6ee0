"""What `enroll` refuses, through the command line: each test fails if the refusal is taken out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from birthmark import data, enrolment
from birthmark.workshop import opening
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import reference_cards
from birthmark.workshop.modelfile import load_module, save_model
from birthmark.workshop.owner import Owner, enrolling
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


def test_a_claim_that_accuses_its_references_is_refused(
    enroll: Enroll, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """References that are copies of the source stand for a source that lies close to everybody."""
    close = {card.key for card in reference_cards(owner.card, 4)}

    def make(cards: Sequence[Card]) -> list[nn.Module]:
        return [owner.source if card.key in close else owner.make([card])[0] for card in cards]

    monkeypatch.setattr(enrolment, "reruns", lambda *models: {})
    code, err = enroll(make=make)
    assert (code, "claim refused: it would accuse 4 of the owner's own 4 independent references" in err) == (2, True)


def test_twins_that_are_no_reruns_are_refused(enroll: Enroll, owner: Owner) -> None:
    """Twins trained with label smoothing that the source had not: as accurate, yet no reruns."""
    twins = {card.key for card in enrolling(owner, 0).twin_cards(19)}

    def make(cards: Sequence[Card]) -> list[nn.Module]:
        smooth = {**owner.card.training, "smoothing": 0.1}
        return owner.make([replace(card, training=smooth) if card.key in twins else card for card in cards])

    code, err = enroll(make=make)
    assert (code, "the source is no rerun of its twins' recipe: " in err, " against " in err) == (2, True, True)
    assert "--training (epochs, smoothing)" in err


def test_a_recipe_that_ignores_its_seed_is_refused(enroll: Enroll, owner: Owner) -> None:
    twins = {card.key for card in enrolling(owner, 0).twin_cards(19)}

    def make(cards: Sequence[Card]) -> list[nn.Module]:
        return owner.make([owner.card if card.key in twins else card for card in cards])

    code, err = enroll(make=make)
    assert (code, "source and twins are not all different models" in err) == (2, True)


def test_where_no_twin_can_be_made_the_cheaper_ways_are_proposed(files: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.safetensors"
    module, head, _ = load_module(files / "source.safetensors")
    save_model(bare, module, head)
    for options in ((), ("--recipe", "mlp"), ("--recipe", "mlp", "--start", tmp_path / "none")):
        code, _, err = run("enroll", "--source", bare, "--out", tmp_path / "claim", *options)
        assert code == 2
        for way in ("birthmark imprint", "birthmark compare", "docs/placebos.md"):
            assert way in err
    code, out, _ = run("enroll", "--help")
    assert code == 0
    assert "docs/placebos.md" in out
