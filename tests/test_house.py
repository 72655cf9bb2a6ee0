"""The figures of scripts/house.py count what they say."""

import ast
from pathlib import Path

import house


def function(text: str) -> ast.FunctionDef:
    (node,) = house.functions(ast.parse(text))
    return node


def test_a_docstring_is_no_line_and_self_no_parameter() -> None:
    method = function('class A:\n def f(self, a, /, b, *, c):\n  """One\n  two."""\n  x = a\n  return x')
    assert house.length(method) == 2
    assert house.parameters(method) == 3


def test_any_is_found_inside_of_hints_alone() -> None:
    assert house.loose(function("def f(a: dict[str, Any]): ..."))
    assert house.loose(function("def f(a) -> list[Any]: ..."))
    assert not house.loose(function("def f(a: Anything):\n  b: Any = a"))


def test_only_what_loads_torch_or_is_optional_may_be_imported_late() -> None:
    texts = {"low": "import torch", "high": "def f():\n from birthmark.low import g\n import json\n import ray"}
    trees = {house.SOURCE / f"{name}.py": ast.parse(text) for name, text in texts.items()}
    assert list(house.needless(trees, house.Imports(trees))) == ["birthmark.high:3"]


def test_the_longest_chain_follows_imports_on_top() -> None:
    texts = {
        "a": "from birthmark import b",
        "b": "from birthmark.c import d",
        "c": "",
        "d": "def f():\n import birthmark.a",
    }
    trees = {house.SOURCE / Path(f"{name}.py"): ast.parse(text) for name, text in texts.items()}
    assert house.Imports(trees).longest("birthmark.a") == ["birthmark.a", "birthmark.b", "birthmark.c"]
