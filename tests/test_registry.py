"""Every registered method and watermark keeps every promise of the public suite (attacks: tests/attacks)."""

import pytest

from birthmark import registry
from birthmark.checks import conformance
from registered import METHODS, NAMES, WATERMARKS, owner_of, subject


def test_all_are_here() -> None:
    assert set(METHODS) == set(registry.found("methods"))
    assert set(WATERMARKS) == set(registry.found("watermarks"))


@pytest.mark.parametrize("name", NAMES)
def test_conformance(name: str) -> None:
    for check in conformance(subject(name), owner_of(name)):
        check()
