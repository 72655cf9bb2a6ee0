"""Name -> class, found by looking: every module of methods/, attacks/ and watermarks/, then installed entry points."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from birthmark.errors import BirthmarkError, SettingError, nearest
from birthmark.types import Plain
from birthmark.workshop.code import code_digest

if TYPE_CHECKING:
    from birthmark.attack import Attack
    from birthmark.claim import Claim
    from birthmark.method import Method
    from birthmark.watermark import Watermark


@cache
def found(kind: str) -> Mapping[str, type]:
    """All concrete classes of "methods", "attacks" or "watermarks", by name; names met twice are an error."""
    parent = kind.removesuffix("s")
    base, classes = getattr(import_module(f"birthmark.{parent}"), parent.capitalize()), list[type]()
    package = import_module(f"birthmark.{kind}")
    for module in iter_modules(package.__path__):
        content = vars(import_module(f"birthmark.{kind}.{module.name}"))
        classes += [
            c
            for c in content.values()
            if isinstance(c, type) and issubclass(c, base) and c.__module__ == f"birthmark.{kind}.{module.name}"
        ]
    classes += [point.load() for point in entry_points(group=f"birthmark.{kind}")]
    table: dict[str, type] = {}
    for cls in classes:
        if isabstract(cls):
            continue
        name = cast(Any, cls).name
        if table.setdefault(name, cls) is not cls:
            raise BirthmarkError(f"two {kind} are named {name!r}: {table[name].__module__} and {cls.__module__}")
    return table


@overload
def make(kind: Literal["methods"], name: str, settings: Mapping[str, object] | None = None) -> "Method": ...
@overload
def make(kind: Literal["attacks"], name: str, settings: Mapping[str, object] | None = None) -> "Attack": ...
@overload
def make(kind: Literal["watermarks"], name: str, settings: Mapping[str, object] | None = None) -> "Watermark": ...
def make(kind: str, name: str, settings: Mapping[str, object] | None = None) -> "Method | Attack | Watermark":
    """An instance of that name with these settings (the others at their defaults).

    Raises:
        UnknownName: with near misses.
        SettingError: a setting it does not have, or of another kind than it takes.
    """
    table = found(kind)
    if name not in table:
        raise nearest(kind[:-1], name, table)
    known = {field.name for field in fields(table[name])}
    unknown = set(settings or {}) - known
    if unknown:
        raise SettingError(
            f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known)) or 'none'}"
        )
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in (settings or {}).items()}
    try:
        return table[name](**given)
    except TypeError as error:
        raise SettingError(f"{name}: a setting of another kind than its default, got {given} ({error})") from None


def preset(kind: str, name: str, which: str) -> Plain:
    """A paper's settings by name, from the `PRESETS` of the module that holds the class.

    Raises:
        UnknownName: no such method, attack or preset.
    """
    table = found(kind)
    if name not in table:
        raise nearest(kind[:-1], name, table)
    known: Mapping[str, Plain] = getattr(import_module(table[name].__module__), "PRESETS", {})
    if which not in known:
        raise nearest(f"preset of {name}", which, known or ["none"])
    return known[which]


def code_of(kind: str, name: str) -> str:
    """A digest of a plug-in's code that is not installed as a package's release is; empty for our own classes."""
    return code_digest(found(kind)[name].__module__)


AGAIN = {"methods": "enroll again", "watermarks": "make the claim again, with birthmark key claim --log"}


def scorer(claim: "Claim") -> "Method | Watermark":
    """What scores a claim: the method it names, with its settings, or the watermark."""
    kind = "methods" if claim.method in found("methods") else "watermarks"
    named = found(kind).get(claim.method)
    retired: Mapping[str, bool | float] = getattr(named, "retired", {})
    other = [key for key, value in retired.items() if claim.settings.get(key, value) != value]
    if other:
        raise SettingError(
            f"this claim of {claim.method} was enrolled with {other[0]}={claim.settings[other[0]]!r} by an earlier "
            f"version; this one has no such setting: {AGAIN[kind]}"
        )
    kept = {key: value for key, value in claim.settings.items() if key not in retired}
    return make("methods", claim.method, kept) if kind == "methods" else make("watermarks", claim.method, kept)
