"""The budget contract: what a theft cost and kept is counted, and a ruined model is called so."""

import math
from pathlib import Path

import numpy as np
import pytest

from birthmark import registry
from birthmark.checks import Breaking, small_owner
from birthmark.data import Data
from birthmark.errors import BudgetError, DataError, OracleError
from birthmark.oracle import Function, HardLabels, Metered, Oracle
from birthmark.theft.asking import affordable, ask, queries_left
from birthmark.theft.carrying_out import carry_out
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Answers, Samples
from birthmark.workshop.whitebox import Open


@pytest.fixture
def target() -> Oracle:
    return Open(small_owner().source, name="source")


def test_a_theft_says_what_it_cost_and_kept(target: Oracle, digits: Data) -> None:
    attack = registry.make("attacks", "distill", {"epochs": 5, "least_steps": 100})
    stolen, theft = carry_out(attack, target, digits["attacker"], digits["test"], seed=0, budget=150)
    assert theft.queries == 150
    assert theft.data == len(digits["attacker"])
    assert theft.seconds > 0
    assert theft.settings["epochs"] == 5
    assert 0.7 < theft.agreement <= 1
    assert not theft.failed
    assert theft.cost == pytest.approx(theft.source_accuracy - theft.accuracy)
    assert not stolen.training


def test_weights_cost_no_queries_and_a_ruined_copy_is_a_failed_theft(target: Oracle, digits: Data) -> None:
    ruined = carry_out(
        registry.make("attacks", "weight-noise", {"level": 3.0}), target, digits["attacker"], digits["test"], seed=0
    )[1]
    kept = carry_out(
        registry.make("attacks", "quantise", {"bits": 8}), target, digits["attacker"], digits["test"], seed=0
    )[1]
    assert (ruined.queries, kept.queries) == (0, 0)
    assert ruined.failed
    assert not kept.failed


def test_transferred_models_are_judged_on_their_own_classes(target: Oracle, digits: Data) -> None:
    theft = carry_out(
        registry.make("attacks", "transfer", {"classes": 2}), target, digits["attacker"], digits["test"], seed=0
    )[1]
    assert math.isnan(theft.agreement)
    assert theft.accuracy > 0.8


def test_attacks_that_need_no_weights_are_given_none(target: Oracle, digits: Data) -> None:
    attack = registry.make("attacks", "adaptive-kinship", {"way": "labels", "epochs": 3, "least_steps": 50})
    _, theft = carry_out(attack, target, digits["reserve"], digits["test"], seed=0, budget=100)
    assert theft.queries == 100


def test_an_interrupted_theft_goes_on_from_its_answers(target: Oracle, digits: Data, tmp_path: Path) -> None:
    attack = registry.make("attacks", "retrain", {"epochs": 1, "least_steps": 10})
    path = tmp_path / "answers.jsonl"
    with pytest.raises(OracleError, match=r"after 128 of 300 answers, kept in the transcript"):
        carry_out(attack, Breaking(target, 1), digits["attacker"], digits["test"], seed=0, budget=300, answers=path)
    meter = Metered(target)
    _, theft = carry_out(attack, meter, digits["attacker"], digits["test"], seed=0, budget=300, answers=path)
    assert theft.queries == 300
    assert meter.spent - len(digits["test"]) == 300 - 128


def test_the_tightest_budget_of_a_chain_counts(target: Oracle, digits: Data) -> None:
    x = digits["attacker"].inputs
    chain = Metered(HardLabels(Metered(target, 40)), 90)
    assert queries_left(chain) == 40
    assert len(ask(chain, x)) == 40
    with pytest.raises(BudgetError, match="allows no query"):
        ask(chain, x)


def test_recorded_answers_cost_nothing(target: Oracle, digits: Data) -> None:
    x = digits["attacker"].inputs[:50]
    shown = Recorded(Metered(target, 30), Transcript(None, target))
    assert affordable(shown, np.concatenate([x[:10]] * 3)) == 30
    ask(shown, x[:20])
    assert affordable(shown, x) == 30
    assert len(ask(shown, x)) == 30
    assert affordable(shown, x[:30]) == 30


def test_a_target_that_says_one_thing_only_teaches_nothing(digits: Data) -> None:
    parrot = Function(lambda x: np.eye(10)[np.full(len(x), 3)], Answers.LABELS)
    with pytest.raises(DataError, match="class 3 to all"):
        registry.make("attacks", "retrain", {}).steal(parrot, digits["reserve"], seed=0)


def test_data_of_one_class_would_ruin_a_copy(target: Oracle, digits: Data) -> None:
    nines = digits["attacker"][digits["attacker"].targets == 9]
    with pytest.raises(DataError, match="at least two classes, got class 9 only"):
        registry.make("attacks", "ftal", {}).steal(target, nines, seed=0)
    with pytest.raises(DataError, match="below 10"):
        registry.make("attacks", "ftal", {}).steal(target, Samples(nines.inputs, np.arange(len(nines)), 99), seed=0)
