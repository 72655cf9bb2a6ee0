"""The methods' pages are made from their docstrings: they cannot drift."""

import importlib.util
from dataclasses import fields
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_docs.py"


@pytest.fixture(scope="module")
def make_docs():
    spec = importlib.util.spec_from_file_location("make_docs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_fresh(make_docs):
    stale = [name for name, text in make_docs.pages().items() if (make_docs.HERE / name).read_text() != text]
    assert not stale, "run scripts/make_docs.py"


def test_every_setting_of_a_crafted_method_is_explained(make_docs):
    from birthmark import registry

    for name in ("ipguard", "cem", "metav", "liteguard", "metafinger", "naturalfinger", "sac-normal"):
        cls = registry.found("methods")[name]
        told = make_docs.meanings(make_docs.cleandoc(cls.__doc__))
        assert {field.name for field in fields(cls)} <= set(told), name
