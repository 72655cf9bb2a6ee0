"""What the docs take from the code and the records cannot drift from them."""

from dataclasses import fields

import docs_methods
import docs_tables
import make_docs
from birthmark import registry


def test_pages_and_tables_are_fresh() -> None:
    assert not [path.name for path in make_docs.stale()], "run make docs"


def test_a_table_that_drifted_is_noticed() -> None:
    said = "<!-- table: unmarked benchmarks/dynamarks-fmnist -->\n| old |\n<!-- end -->\n"
    fresh = docs_tables.filled(f"before\n{said}after")
    assert fresh.startswith("before\n<!-- table: unmarked benchmarks/dynamarks-fmnist -->\n| source | models |")
    assert fresh.endswith("|\n<!-- end -->\nafter")
    assert docs_tables.filled(fresh) == fresh


def test_the_attacks_page_names_every_attack() -> None:
    page = (make_docs.DOCS / "attacks.md").read_text()
    assert all(f"| `{name}` |" in page for name in registry.found("attacks"))


def test_every_setting_of_a_crafted_method_is_explained() -> None:
    for name in ("ipguard", "cem", "metav", "liteguard", "metafinger", "naturalfinger", "sac-normal"):
        cls = registry.found("methods")[name]
        assert {field.name for field in fields(cls)} <= set(docs_methods.told(cls)), name
