"""Every attack of the registry passes the public conformance suite, at its shortest settings."""

from dataclasses import fields
from importlib import import_module

import pytest

from birthmark import registry
from birthmark.checks import ATTACK, EXTRACTION, Check, conformance, small_owner
from birthmark.errors import SettingError
from birthmark.oracle import Probabilities
from birthmark.types import Access
from birthmark.workshop.training import accuracy
from birthmark.workshop.whitebox import Open

SHORT = {
    "epochs": 1,
    "least_steps": 10,
    "round_steps": 5,
    "tune": 1,
    "recovery": 1,
    "iterations": 4,
    "queries": 60,
    "round": 30,
    "waves": 20,
    "own": 1,
    "steps": 2,
}


def short(name: str) -> dict[str, object]:
    return {
        f.name: SHORT[f.name]
        for f in fields(registry.found("attacks")[name])
        if f.name in SHORT and isinstance(f.default, int)
    }


CASES = [
    (name, check)
    for name, cls in registry.found("attacks").items()
    for check in (ATTACK if cls.needs is Access.WEIGHTS else {**ATTACK, **EXTRACTION})
]


@pytest.mark.parametrize(("name", "check"), CASES)
def test_attack_keeps_its_promises(name: str, check: str) -> None:
    attack = registry.make("attacks", name, short(name))
    found: dict[str, Check] = {each.name: each for each in conformance(attack, small_owner())}
    found[check]()


WAYS = [
    *(("adaptive-kinship", {"way": way}) for way in ("labels", "mixing", "ensemble")),
    *(("adaptive-dynamarks", {"way": way}) for way in ("labels", "averaging", "recovery")),
    *(("knockoff", {"strategy": way, "queries": 150}) for way in ("random", "adaptive")),
    *(("activethief", {"strategy": way, "queries": 150}) for way in ("uncertainty", "k-centre", "both")),
]


@pytest.mark.parametrize(("name", "settings"), WAYS)
def test_every_way_of_an_attack_steals(name: str, settings: dict[str, object]) -> None:
    owner = small_owner()
    attack = registry.make("attacks", name, {"epochs": 5, "least_steps": 60, **settings})
    model = attack.steal(Probabilities(Open(owner.source)), owner.reserve, seed=0)
    assert accuracy(model, owner.pool) > 0.6


def test_knockoff_steals_with_pictures_of_its_own() -> None:
    owner = small_owner()
    attack = registry.make("attacks", "knockoff", {"pool": "foreign", "queries": 1000, "student": "mlp", "epochs": 20})
    assert (
        accuracy(attack.steal(Probabilities(Open(owner.source)), owner.reserve[:20], seed=0), owner.pool) > 0.4
    )  # chance is .1


def test_presets_are_settings_of_an_attack_in_their_file() -> None:
    seen = 0
    for cls in registry.found("attacks").values():
        presets = getattr(import_module(cls.__module__), "PRESETS", {})
        for preset in presets.values():
            registry.make("attacks", cls.name, preset)
            seen += 1
    assert seen > 20


def test_every_method_and_watermark_has_a_thief_who_knows_it() -> None:
    known = {method for cls in registry.found("attacks").values() for method in getattr(cls, "against", ())}
    wanted = {*registry.found("methods"), *registry.found("watermarks")}
    assert known == wanted


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("prune", {"amount": 1.0}),
        ("quantise", {"bits": 1}),
        ("weight-noise", {"level": -1}),
        ("transfer", {"classes": 1}),
        ("ensemble", {"parts": 1}),
        ("knockoff", {"strategy": "best"}),
        ("knockoff", {"pool": "the web"}),
    ],
)
def test_settings_out_of_range_are_named(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=r"expected .* got"):
        registry.make("attacks", name, settings)
