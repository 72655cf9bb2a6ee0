"""Queries that somebody has seen are counted."""

from pathlib import Path

import pytest

from birthmark.errors import ArtifactError, BirthmarkError
from birthmark.notary.inventory import Inventory, inventory, note, place_of


def test_spent_and_disclosed_queries_are_counted(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    assert inventory(claim, 500) == Inventory(500)
    note(claim, "spent", 100, "suspect")
    note(claim, "spent", 50, "another")
    assert str(inventory(claim, 500)) == "400 of 500 queries unused, 100 spent, 0 disclosed"
    note(claim, "disclosed", 500, "a judge")
    assert inventory(claim, 500) == Inventory(500, 100, 500)
    assert inventory(claim, 500).unused == 0


def test_damage_is_refused(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    for line in (b"hello\n", b'{"what": "lost", "queries": 1}\n', b'{"what": "spent"}\n', b"[]\n"):
        place_of(claim).write_bytes(line)
        with pytest.raises(ArtifactError, match="inventory"):
            inventory(claim, 5)
    with pytest.raises(BirthmarkError, match="cannot write"):
        note(tmp_path / "none" / "claim", "spent", 1, "suspect")
