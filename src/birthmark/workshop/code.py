"""Code of the user's own: functions named "module:function", and a digest of the text that decides what they do."""

import ast
import importlib
import sys
import sysconfig
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib import metadata
from importlib.machinery import PathFinder
from inspect import signature
from pathlib import Path
from typing import Any

from birthmark.artifact import digest_of
from birthmark.errors import SettingError

INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}


def imported(spec: str) -> Callable[..., Any]:
    """The function that "module:function" names; the current directory counts as importable.

    Raises:
        SettingError: no such module or function.
    """
    module, _, function = spec.partition(":")
    _look_here()
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except Exception as error:  # the module is somebody's program
        raise SettingError(
            f"cannot import {spec[:200]!r} ({type(error).__name__}: {error}); expected module:function, importable "
            "from here"
        ) from None
    if not callable(found):
        raise SettingError(f"{spec[:200]!r} is no function, but {type(found).__name__}")
    return found


def trainer(spec: str) -> Callable[[int, Any], Any]:
    """A recipe of the user's own: (seed, start) -> trained network.

    `start` is the seed of the initial weights, or a network that has them, where the owner gave a file.

    Raises:
        SettingError: it takes something else, as recipes of birthmark 0.1 did, which knew one seed.
    """
    function = imported(spec)
    try:
        signature(function).bind(0, 0)
    except (TypeError, ValueError):
        raise SettingError(
            f"the recipe {spec} must take (seed, start) and return a trained network: make the initial weights after "
            "torch.manual_seed(start), then call torch.manual_seed(seed) and train, so that reruns start where the "
            "source did; a recipe whose initial weights are fixed may ignore start"
        ) from None
    return function


def code_digest(*names: str) -> str:
    """SHA-256, in hex, of the text of modules and of what they import from the user's own tree; "" if none is theirs.

    Args:
        names: "module" or "module:function". If it is installed, its own text and its package's release count; what is
            imported from installed packages, the standard library and birthmark counts for nothing.
    """
    _look_here()
    named = {name.partition(":")[0] for name in names}
    texts, waiting = dict[str, str](), sorted(named)
    while waiting:
        name = waiting.pop()
        place = None if name in texts else _place(name)
        if place is not None and (name in named or not _installed(place)):
            text = place.read_bytes()
            texts[name] = sha256(text).hexdigest() + (_release(name) if _installed(place) else "")
            waiting += _imports(text, name if place.name == "__init__.py" else name.rpartition(".")[0])
    return digest_of(texts) if texts else ""


def _look_here() -> None:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()


def _place(name: str) -> Path | None:
    """The file of a module that is not birthmark's, found without running anything."""
    package, _, _ = name.rpartition(".")
    if name.partition(".")[0] == "birthmark":
        return None
    inside = _folders(package) if package else None
    found = PathFinder.find_spec(name, inside) if inside or not package else None
    if found is None or not str(found.origin).endswith(".py"):
        return None
    return Path(str(found.origin)).resolve()


def _installed(place: Path) -> bool:
    return any(place.is_relative_to(folder) for folder in INSTALLED)


def _release(module: str) -> str:
    """Name and version of the package that an installed module came with; "" if nobody knows."""
    found = metadata.packages_distributions().get(module.partition(".")[0], [])
    return "".join(f" {name} {metadata.version(name)}" for name in sorted(found))


def _folders(package: str) -> list[str]:
    above, _, _ = package.rpartition(".")
    found = PathFinder.find_spec(package, _folders(above) if above else None)
    return list((found and found.submodule_search_locations) or ())


def _imports(text: bytes, package: str) -> Iterator[str]:
    """Names of modules that a source text may import, parent packages included."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError as error:
        raise SettingError(f"the recipe's code cannot be read: {error}") from None
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: i + 1]) for i in range(len(parts)))
