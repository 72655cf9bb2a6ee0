"""The figures that keep the source readable, printed; what is beyond its limit makes the run fail.

    python scripts/house.py

Lengths are of bodies without their docstring; parameters without self or cls; complexity is radon's.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from math import inf
from pathlib import Path
from statistics import fmean, median

from radon.complexity import cc_visit

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "birthmark"
LATE = {"torch", "ray", "safetensors", "sklearn"}  # these, and the optional extras, are imported where they are needed
LATE |= {"aiohttp", "onnx", "onnxruntime", "onnxscript", "orjson", "rfc3161_client", "mlxtend", "pyarrow", "starlette"}
LATE |= {"transformers", "uvicorn", "uvloop", "httptools"}
ANY, MEAN, CHAIN, INNER = 100, 3.68, 13, 2  # not reached yet: they may only fall
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def length(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def parameters(function: Function) -> int:
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def loose(function: Function) -> bool:
    """Whether the signature says Any."""
    hints = [a.annotation for a in ast.walk(function.args) if isinstance(a, ast.arg)] + [function.returns]
    return any(isinstance(n, ast.Name) and n.id == "Any" for hint in hints if hint for n in ast.walk(hint))


def module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported(statements: list[ast.stmt]) -> set[str]:
    """Names that import statements name, as modules and as what may be modules in them."""
    names = set[str]()
    for node in statements:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


class Imports:
    """Who imports whom at the top of modules."""

    def __init__(self, trees: dict[Path, ast.Module]) -> None:
        self.all = {module(path): imported(tree.body) - {module(path)} for path, tree in trees.items()}
        self.longest = cache(self._longest)
        self.heavy = cache(self._heavy)

    def _longest(self, name: str) -> list[str]:
        """The longest row of our modules, from this one on, of which each imports the next."""
        below = map(self.longest, sorted(self.all[name] & self.all.keys()))
        return [name, *max(below, key=len, default=[])]

    def _heavy(self, name: str) -> bool:
        """Whether importing a module loads torch, ray or an optional extra."""
        if name not in self.all:
            return name.partition(".")[0] in LATE
        return any(map(self.heavy, self.all[name]))


def needless(trees: dict[Path, ast.Module], imports: Imports) -> Iterator[str]:
    """Imports inside functions, commands aside, of what could be imported on top."""
    for path, tree in trees.items():
        inside = {id(node): node for function in functions(tree) for node in ast.walk(function)}.values()
        for node in inside if path.parent.name != "cli" else ():
            if isinstance(node, ast.Import | ast.ImportFrom) and not any(map(imports.heavy, imported([node]))):
                yield f"{module(path)}:{node.lineno}"


def mirrored(trees: dict[Path, ast.Module]) -> list[str]:
    """Modules without a test file of their name in the same room of tests/."""
    rooms = ((path, path.relative_to(SOURCE)) for path in trees if path.name not in ("__init__.py", "__main__.py"))
    return [str(place) for _, place in rooms if not (ROOT / "tests" / place.parent / f"test_{place.name}").is_file()]


def figures() -> Iterator[tuple[str, float, float, float]]:
    """Name, value, what it may be at most, and what it ought to be; inf where there is no limit."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
    every = [function for tree in trees.values() for function in functions(tree)]
    lengths = sorted(map(length, every))
    blocks = {module(path): cc_visit(path.read_text()) for path in trees}
    complexities = [
        (b.complexity, f"{name}:{b.name}") for name, found in blocks.items() for b in found if b.letter in "FM"
    ]
    lines = {module(path): path.read_text().count("\n") for path in trees}
    imports = Imports(trees)
    chain = max(map(imports.longest, imports.all), key=len)
    alone, inner = list(mirrored(trees)), list(needless(trees, imports))
    yield "lines", sum(lines.values()), inf, 18_500
    yield f"lines of the longest file, {max(lines, key=lines.__getitem__)}", max(lines.values()), 350, 350
    yield "lines of a function, median", median(lengths), 6, 6
    yield "lines of a function, 90th percentile", lengths[int(0.9 * len(lengths))], 18, 18
    yield f"lines of the longest function, {max(every, key=length).name}", lengths[-1], 50, 50
    yield "parameters", max(map(parameters, every)), 7, 7
    yield "signatures with Any", sum(map(loose, every)), ANY, 100
    yield f"complexity, {max(complexities)[1]}", max(complexities)[0], 12, 12
    yield "complexity, mean", round(fmean(c for c, _ in complexities), 3), MEAN, 3.2
    yield "files that the formatter does not wholly format", sum("fmt: " in path.read_text() for path in trees), 0, 0
    yield f"modules in a chain of imports: {' > '.join(chain)}", len(chain), CHAIN, 8
    yield f"imports in functions, of what neither loads torch nor is optional: {' '.join(inner)}", len(inner), INNER, 0
    yield f"of {len(trees)} modules have no test file of their own", len(alone), inf, 0


def main() -> int:
    beyond = False
    for name, value, limit, goal in figures():
        beyond |= value > limit
        said = "TOO MUCH, at most" if value > limit else "ought to be" if value > goal else ""
        print(f"{value:8g}  {f'({said} {limit if value > limit else goal:g})' if said else '':28}{name}")
    return int(beyond)


if __name__ == "__main__":
    sys.exit(main())
