"""The digest of the user's own code changes with every text that decides what it does, and with nothing else."""

from pathlib import Path

import pytest

from birthmark.errors import SettingError
from birthmark.workshop import code
from birthmark.workshop.code import code_digest, trainer


@pytest.fixture
def tree(here: Path) -> Path:
    (here / "lab").mkdir()
    (here / "lab" / "__init__.py").write_text("")
    (here / "lab" / "recipe.py").write_text(
        "import json\nimport torch\nfrom . import layers\nfrom lab.data import rows\n"
        "def train(seed, start):\n    import late\n"
    )
    for name in ("lab/layers.py", "lab/data.py", "late.py"):
        (here / name).write_text("X = 1\n")
    (here / "unused.py").write_text("X = 1\n")
    return here


@pytest.mark.parametrize("name", ["lab/recipe.py", "lab/layers.py", "lab/data.py", "lab/__init__.py", "late.py"])
def test_a_change_anywhere_is_another_digest(tree: Path, name: str) -> None:
    before = code_digest("lab.recipe:train")
    assert code_digest("lab.recipe") == before != ""
    (tree / name).write_text((tree / name).read_text() + "Y = 2\n")
    assert code_digest("lab.recipe:train") != before


def test_what_is_not_imported_and_what_is_installed_count_for_nothing(tree: Path) -> None:
    before = code_digest("lab.recipe:train")
    (tree / "unused.py").write_text("X = 2\n")
    assert code_digest("lab.recipe:train") == before
    assert code_digest("birthmark.data") == code_digest("no.such:thing") == code_digest("math:sin") == ""


def test_installed_code_that_is_named_counts_by_its_text_and_release(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "shop.py").write_text("X = 1\n")
    monkeypatch.setattr(code, "INSTALLED", {here.resolve()})
    before = code_digest("shop:train")
    monkeypatch.setattr(code.metadata, "packages_distributions", lambda: {"shop": ["numpy"]})
    newer = code_digest("shop:train")
    (here / "shop.py").write_text("X = 2\n")
    assert len({"", before, newer, code_digest("shop:train")}) == 4


def test_a_recipe_of_one_seed_is_refused_with_the_way_on(here: Path) -> None:
    (here / "old_recipe.py").write_text("def train(seed): ...\ndef new(seed, start): ...\n")
    with pytest.raises(SettingError, match=r"must take \(seed, start\).*torch.manual_seed\(start\)"):
        trainer("old_recipe:train")
    assert trainer("old_recipe:new")(1, 2) is None
    with pytest.raises(SettingError, match="cannot import"):
        trainer("old_recipe:missing")
