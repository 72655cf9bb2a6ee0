"""docs/attacks.md is made from the registry and cannot drift from it."""

import importlib.util
from pathlib import Path

from birthmark import registry

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_attack_docs.py"


def test_the_page_is_fresh_and_names_every_attack() -> None:
    spec = importlib.util.spec_from_file_location("make_attack_docs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text()
    assert page == module.page(), "run scripts/make_attack_docs.py"
    assert all(f"| `{name}` |" in page for name in registry.found("attacks"))
