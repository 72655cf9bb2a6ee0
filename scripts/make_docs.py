"""Write docs/methods/: one page a method's file, from its docstrings.

`--check` writes nothing and fails if a page is stale.
"""

import argparse
import re
import sys
from dataclasses import fields
from inspect import cleandoc, getmodule
from pathlib import Path

from birthmark import registry

HERE = Path(__file__).parents[1] / "docs" / "methods"


def pages() -> dict[str, str]:
    """File name -> text of every page, the index included."""
    by_module: dict[str, list[type]] = {}
    for _, cls in sorted(registry.found("methods").items()):
        if cls.__module__.startswith("birthmark.methods."):
            by_module.setdefault(cls.__module__.rpartition(".")[2], []).append(cls)
    found = {f"{name}.md": page(name, classes) for name, classes in by_module.items()}
    rows = [
        f"| [{', '.join(c.name for c in classes)}]({name}.md) | {summary(classes[0])} |"
        for name, classes in by_module.items()
    ]
    index = [
        "# Methods",
        "",
        "Made from the methods' docstrings by `scripts/make_docs.py`.",
        "",
        "| method | what it asks |",
        "|---|---|",
        *rows,
    ]
    return {**found, "index.md": "\n".join(index) + "\n"}


def page(name: str, classes: list[type]) -> str:
    """One page: the module's docstring, then each method's access and settings."""
    head, _, body = cleandoc(getmodule(classes[0]).__doc__).partition("\n")
    parts = [f"# {head.strip()}", body.strip("\n")]
    for cls in classes:
        parts += [f"## {cls.name}", cleandoc(cls.__doc__).partition("\n")[0], facts(cls), settings(cls)]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(cls: type) -> str:
    return cleandoc(getmodule(cls).__doc__).partition("\n")[0].partition(": ")[2].strip()


def facts(cls: type) -> str:
    other = "; suspects with another number of classes can be scored" if cls.any_outputs else ""
    return (
        f"Source: {cls.source_paper}. Needs a suspect's {cls.needs.name.lower()}; for "
        f"{', '.join(sorted(cls.tasks))}{other}."
    )


def settings(cls: type) -> str:
    """The settings' table: name, default, meaning from the class's `Attributes`."""
    told = meanings(cleandoc(cls.__doc__))
    rows = [f"| `{field.name}` | `{field.default!r}` | {told.get(field.name, '')} |" for field in fields(cls)]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def meanings(doc: str) -> dict[str, str]:
    """What a docstring's Attributes say, by name; `a, b: text` speaks of both, `a: text. b: text` of each."""
    _, _, body = doc.partition("Attributes:\n")
    told: dict[str, str] = {}
    for entry in re.split(r"\n    (?=\w)", "\n" + body.rstrip())[1:]:
        for names, text in re.findall(r"((?:\w+, )*\w+): (.*?)(?=(?:\. (?:\w+, )*\w+: )|$)", " ".join(entry.split())):
            told |= dict.fromkeys(names.split(", "), text.rstrip("."))
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a page is stale")
    check = parser.parse_args().check
    stale = [name for name, text in pages().items() if not (HERE / name).is_file() or (HERE / name).read_text() != text]
    if check:
        print(f"stale: {', '.join(stale)}; run scripts/make_docs.py" if stale else "docs/methods is fresh")
        return 1 if stale else 0
    HERE.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (HERE / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
