"""Rules of a plan: every combination, and values in place of names."""

import pytest

from birthmark.errors import BirthmarkError, SettingError
from birthmark.zoo.rules import combinations, filled, known


def test_every_combination_of_lists_and_counts() -> None:
    rule = {"each": {"a": "two", "b": [3]}, "count": 2}
    found = list(combinations(rule, {"two": [1, 2]}))
    assert found == [{"a": a, "b": 3, "i": i} for a in (1, 2) for i in (0, 1)]
    with pytest.raises(BirthmarkError, match="list of the plan"):
        list(combinations({"each": {"a": "tow"}}, {"two": [1]}))
    with pytest.raises(SettingError, match="more than 10000 models"):
        list(combinations({"count": 10_001}, {}))


def test_a_name_alone_becomes_the_value_itself() -> None:
    assert filled({"x": "{n}", "y": ["model {n}"]}, {"n": 3}) == {"x": 3, "y": ["model 3"]}
    with pytest.raises(SettingError, match="does not list"):
        filled("{m}", {"n": 3})


def test_unknown_keys_are_named() -> None:
    known("a rule", {"name": ""}, {"name"})
    with pytest.raises(SettingError, match="no key nmae; expected some of name"):
        known("a rule", {"nmae": ""}, {"name"})
