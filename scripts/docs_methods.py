"""docs/methods/: one page a method's file, from its docstrings."""

import re
from dataclasses import fields
from inspect import cleandoc, getmodule

from birthmark import registry


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
        "Made from the methods' docstrings by `make docs`.",
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
    meant = told(cls)
    rows = [f"| `{field.name}` | `{field.default!r}` | {meant.get(field.name, '')} |" for field in fields(cls)]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def told(cls: type) -> dict[str, str]:
    """What a class and its parents say of each setting."""
    return {
        name: text
        for parent in reversed(cls.__mro__)
        for name, text in meanings(cleandoc(parent.__doc__ or "")).items()
    }


def meanings(doc: str) -> dict[str, str]:
    """What a docstring's Attributes say, by name; `a, b: text` speaks of both, `a: text. b: text` of each."""
    _, _, body = doc.partition("Attributes:\n")
    told: dict[str, str] = {}
    for entry in re.split(r"\n    (?=\w)", "\n" + body.rstrip())[1:]:
        for names, text in re.findall(r"((?:\w+, )*\w+): (.*?)(?=(?:\. (?:\w+, )*\w+: )|$)", " ".join(entry.split())):
            told |= dict.fromkeys(names.split(", "), text.rstrip("."))
    return told
