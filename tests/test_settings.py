"""Settings in their kinds and ranges."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from birthmark import registry
from birthmark.errors import SettingError
from birthmark.settings import Allowed, Configured, inside


@dataclass(frozen=True)
class Parent(Configured):
    name: ClassVar[str] = "thing"
    allowed: ClassVar[Allowed] = {"share": "(0, 1]"}

    share: float = 0.5
    turns: int = 3


@dataclass(frozen=True)
class Child(Parent):
    allowed: ClassVar[Allowed] = {"way": ("here", "there"), "turns": "[1, inf)"}

    way: str = "here"
    loud: bool = False


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"share": 0}, r"thing: expected share in \(0, 1\], got 0"),
        ({"share": 1.1}, "expected share in"),
        ({"share": float("nan")}, "expected share in"),
        ({"share": "half"}, "expected share to be a number, got 'half'"),
        ({"share": True}, "expected share to be a number, got True"),
        ({"turns": 0}, r"expected turns in \[1, inf\), got 0"),
        ({"turns": 2.0}, "expected turns to be a whole number, got 2.0"),
        ({"turns": None}, "expected turns to be a whole number"),
        ({"way": "nowhere"}, "expected way 'here' or 'there', got 'nowhere'"),
        ({"way": 3}, "expected way to be a text"),
        ({"loud": 1}, "expected loud to be true or false, got 1"),
    ],
)
def test_what_is_out_of_range_or_of_another_kind_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Child(**settings)  # type: ignore[arg-type]


def test_what_is_in_range_is_taken() -> None:
    made = Child(share=1, turns=np.int64(4), way="there", loud=True)
    assert (made.share, made.turns, made.way, made.loud) == (1, 4, "there", True)
    assert Child(share=np.float32(0.25)).share == 0.25


@pytest.mark.parametrize(
    ("value", "allowed", "expected"),
    [
        (0, "[0, 1)", True),
        (1, "[0, 1)", False),
        (0, "(0, 1)", False),
        (1e308, "[1, inf)", True),
        (-1e-9, "[0, inf)", False),
    ],
)
def test_intervals_have_open_and_closed_ends(value: float, allowed: str, expected: bool) -> None:
    assert inside(value, allowed) is expected


@pytest.mark.parametrize("kind", ["methods", "attacks"])
def test_defaults_lie_in_their_ranges_and_every_range_is_of_a_setting(kind: str) -> None:
    for name, cls in registry.found(kind).items():
        made = registry.make(kind, name)
        ranges = [key for parent in cls.__mro__ for key in vars(parent).get("allowed", {})]
        assert all(hasattr(made, key) for key in ranges), name
