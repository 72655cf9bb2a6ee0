"""The package as a whole: layers, names, errors, start-up, and what a newcomer meets."""

import ast
import subprocess
import sys
import time
from importlib import import_module
from inspect import getmembers, isclass
from pathlib import Path
from pkgutil import walk_packages

import pytest

import birthmark
from birthmark.errors import BirthmarkError

SOURCE = Path(birthmark.__file__).parent
FAMILIES = ("methods", "attacks", "watermarks", "suspects")
# Lowest first: a module imports from its own layer or from lower ones.
LAYERS = (
    {"secrets"},
    {"errors", "types", "settings"},
    {"stats", "artifact", "answers", "oracle", "transcript", "evidence", "workshop.card", "workshop.seeds"},
    {"claim", "workshop.cohort"},
    {"workshop.owner"},
    {"method", "attack", "watermark"},
)
FACES = {"cli", "report", "gateway", "web"}


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports at its top level or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("birthmark"):
            module = (node.module or "").split(".")[1:]
            found |= {".".join([*module, alias.name]) for alias in node.names} | {".".join(module)}
        elif isinstance(node, ast.Import):
            found |= {".".join(a.name.split(".")[1:]) for a in node.names if a.name.startswith("birthmark.")}
    return found - {""}


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def test_low_layers_do_not_import_high_ones() -> None:
    for height, layer in enumerate(LAYERS):
        allowed = set().union(*LAYERS[: height + 1])
        for name in layer:
            above = {m for m in imports(SOURCE / f"{name.replace('.', '/')}.py") if not _within(m, allowed)}
            assert not above, f"{name} imports {above}"


def _within(module: str, allowed: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{one}.") for one in allowed | {"__version__"}) or module == "workshop"


def test_methods_attacks_and_watermarks_never_import_each_other() -> None:
    for family in ("methods", "attacks", "watermarks"):
        for path in (SOURCE / family).glob("*.py"):
            others = {m for m in imports(path) if m.split(".")[0] in ("methods", "attacks", "watermarks")}
            assert not others, f"{family}/{path.name} imports {others}"


def test_packages_are_layers_too() -> None:
    """What methods, attacks and watermarks are built from never looks up at them; nothing below the zoo knows it."""
    above = {"methods", "attacks", "watermarks", "registry", "verify", "zoo", "bench"}
    for package in ("data", "crafting", "scoring", "marks", "suspects"):
        for path in (SOURCE / package).glob("*.py"):
            assert not {m for m in imports(path) if m.split(".")[0] in above}, f"{package}/{path.name} looks up"
    for package in ("methods", "attacks", "watermarks", "suspects"):
        for path in (SOURCE / package).glob("*.py"):
            assert not {m for m in imports(path) if m.split(".")[0] in ("zoo", "bench", "workshop.enroll")}, (
                f"{package}/{path.name} looks up"
            )


def test_only_faces_import_faces() -> None:
    for path in files():
        place = path.relative_to(SOURCE).with_suffix("").parts[0]
        if place in FACES or place in ("__init__", "__main__"):
            continue
        assert not {m for m in imports(path) if m.split(".")[0] in FACES}, f"{path.name} imports a face"


def test_there_are_no_cycles() -> None:
    graph = {".".join(p.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): p for p in files()}
    edges = {}
    for name, path in graph.items():
        tree = ast.parse(path.read_text())
        top = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
        edges[name] = {m for m in _names(top) if m in graph and m != name}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in edges[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def _names(tree: ast.Module) -> set[str]:
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("birthmark"):
            module = (node.module or "").split(".")[1:]
            found |= {".".join([*module, alias.name]) for alias in node.names} | {".".join(module)}
    return found - {""}


def test_exported_names_are_there() -> None:
    for name in birthmark.__all__:
        assert getattr(birthmark, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        birthmark.nothing  # noqa: B018


def test_every_error_descends_from_the_root_and_is_drawn() -> None:
    drawn = (SOURCE / "errors.py").read_text().split('"""')[1]
    for module in walk_packages([str(SOURCE)], "birthmark."):
        if module.name.endswith("__main__"):
            continue
        for name, cls in getmembers(import_module(module.name), isclass):
            if issubclass(cls, Exception) and cls.__module__ == module.name:
                assert issubclass(cls, BirthmarkError), name
                assert name in drawn, f"{name} is not in the drawing of errors.py"


@pytest.mark.parametrize("command", ["import birthmark", "import birthmark.verify", "import birthmark.cli.commands"])
def test_imports_without_torch(command: str) -> None:
    code = f"{command}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_is_quick() -> None:
    """0.4 s on an idle machine; best of five, and twice that here because tests run side by side."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "birthmark", "--help"], check=True, capture_output=True)
        best = min(best, time.perf_counter() - started)
    assert best < 0.8


def test_nothing_reads_pickles_or_needs_torchvision() -> None:
    for path in files():
        text = path.read_text()
        assert "import pickle" not in text
        assert "torch.load(" not in text
        assert "torchvision" not in text
