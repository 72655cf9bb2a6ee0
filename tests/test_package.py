"""The package as a whole: layers, names, errors, start-up, and what a newcomer meets."""

import ast
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from inspect import getmembers, isclass
from pathlib import Path
from pkgutil import walk_packages

import pytest

import birthmark
from birthmark.errors import BirthmarkError

SOURCE = Path(birthmark.__file__).parent
FAMILIES = ("methods", "attacks", "watermarks", "suspects")
# Lowest first, and the first name that fits best counts: a module imports from its own row or from lower ones.
LAYERS = (
    # what everything speaks
    "secrets",
    "errors types settings inputs",
    "stats artifact answers oracle transcript evidence workshop.card workshop.seeds",
    "claim parties scoring",
    # what an owner trains and how, and on what
    "data workshop.architectures workshop.families workshop.networks workshop.devices workshop.training workshop.code "
    "workshop.choices",
    "workshop.cohort workshop.modelfile workshop.whitebox",
    "workshop.owner",
    # methods, watermarks, attacks, and what they share
    "method attack watermark",
    "crafting marks theft",
    "methods attacks watermarks",
    "registry verdict",
    # the owner's workshop, and the roads to a verdict
    "answered asking enrolment workshop imprint zoo verify trace",
    # the suspect's door
    "suspects compare",
    "bench checks",
    "notary",
    # the faces
    "report cli gateway web __main__ __init__",
)


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


def height(module: str) -> int:
    """The row of a module; the longest name in the table that it lies in decides."""
    rows = {name: row for row, names in enumerate(LAYERS) for name in names.split()}
    fitting = [name for name in rows if f"{module}.".startswith(f"{name}.")]
    assert fitting, f"{module} is in no row of LAYERS"
    return rows[max(fitting, key=len)]


def test_what_others_wrote_is_checked_under_optimisation_too() -> None:
    """An `assert` that is caught is a check, and python -O takes it away."""
    caught = [path for path in SOURCE.rglob("*.py") if re.search(r"except.*AssertionError", path.read_text())]
    assert not caught


def test_imports_go_one_way() -> None:
    known = {name for path in files() if (name := _named(path))}
    for path in files():
        name = _named(path) or "__init__"
        above = {m for m in imports(path) & known - {"workshop"} if height(m) > height(name)}
        assert not above, f"{name} imports {above}"


def _named(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def test_methods_attacks_and_watermarks_never_import_each_other() -> None:
    for family in ("methods", "attacks", "watermarks"):
        for path in (SOURCE / family).glob("*.py"):
            others = {m for m in imports(path) if m.split(".")[0] in ("methods", "attacks", "watermarks")}
            assert not others, f"{family}/{path.name} imports {others}"


def test_suspects_know_nothing_of_methods() -> None:
    above = {"methods", "attacks", "watermarks", "registry", "verify", "zoo"}
    for path in (SOURCE / "suspects").glob("*.py"):
        assert not {m for m in imports(path) if m.split(".")[0] in above}, f"{path.name} looks up"


def test_there_are_no_cycles() -> None:
    """Not even through imports inside functions; only what serves annotations alone is left out."""
    graph = {_named(path): path for path in files() if path.name != "__init__.py"}
    edges = {name: set(_imported(ast.parse(path.read_text()), set(graph))) - {name} for name, path in graph.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in edges[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def _imported(tree: ast.AST, modules: set[str]) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("birthmark"):
            room = ".".join((node.module or "").split(".")[1:])
            below = {f"{room}.{alias.name}".removeprefix(".") for alias in node.names}
            yield from below & modules or {room} & modules
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from _imported(node, modules)


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
        loads = text.count("torch.load(")  # of state dicts: tensors alone
        place = (path.parent.name, path.name)
        assert loads == (place in {("compare", "files.py"), ("workshop", "modelfile.py")})
        assert text.count("weights_only=True") == loads
        assert "torchvision" not in text
