"""What a visitor asks for, read and checked before a run of it is made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birthmark import stats
from birthmark.artifact import disk_errors
from birthmark.errors import SettingError
from birthmark.suspects.address import printable_url
from birthmark.suspects.description import SuspectSpec
from birthmark.types import Plain
from birthmark.web import shelf
from birthmark.web.database import Database
from birthmark.web.hosts import allowed
from birthmark.web.site import Site

MOST = 2000  # characters of a field


@dataclass(frozen=True)
class Asked:
    """A verification that somebody wants.

    Attributes:
        claim: a claim's name. url: the suspect's address; empty for a file.
        answers: what the suspect answers, where it does not say so itself. architecture: of a file without a card.
        authorisation: on what ground a remote suspect is queried.
        alpha: share of innocents that may be accused. budget: most queries, 0 for all.
    """

    claim: str
    url: str = ""
    answers: str = ""
    architecture: str = ""
    authorisation: str = ""
    alpha: float = 0.05
    budget: int = 0

    def plain(self) -> Plain:
        """What the run's row keeps."""
        return {
            "url": self.url,
            "answers": self.answers,
            "architecture": self.architecture,
            "authorisation": self.authorisation,
            "alpha": self.alpha,
            "budget": self.budget or None,
        }


def read(fields: Mapping[str, object]) -> Asked:
    """What a form's fields ask for.

    Raises:
        SettingError: a number that is none, or too much text.
    """
    given: dict[str, Any] = {
        name: str(value).strip() for name, value in fields.items() if name in Asked.__annotations__
    }
    if odd := [name for name, text in given.items() if len(text) > MOST]:
        raise SettingError(f"expected at most {MOST} characters of {odd[0]}")
    for name, kind in (("alpha", float), ("budget", int)):
        text = given.pop(name, "")
        try:
            given |= {name: kind(text)} if text else {}
        except ValueError:
            raise SettingError(f"expected a number for {name}, got {text[:40]!r}") from None
    return Asked(**{"claim": "", **given})


def checked(site: Site, asked: Asked, file: str) -> None:
    """Refuse what cannot end well, before anything is made.

    Raises:
        SettingError: no such claim, no suspect or two, an address that may not be asked, no authorisation for one,
            networks named by code, or an alpha that is none.
    """
    shelf.place(site, asked.claim)
    stats.needed(asked.alpha)
    declared(asked.plain())
    if bool(asked.url) == bool(file):
        raise SettingError("expected a suspect: either its address or its file")
    if ":" in asked.architecture and not re.fullmatch(r"[\w-]+:[\w=,.-]*", asked.architecture):
        raise SettingError("expected a built-in architecture; networks of your own are verified by the command line")
    if asked.url:
        allowed(asked.url, site.hosts)
        if not asked.authorisation.strip():
            raise SettingError("expected the ground on which this remote suspect may be queried; the evidence names it")


def declared(asked: Plain) -> SuspectSpec:
    """What was said of a suspect that it may not say itself.

    Raises:
        SettingError: kinds of answers or architectures that there are not.
    """
    return SuspectSpec().having(**{key: asked[key] for key in ("answers", "architecture") if asked.get(key)})


def made(database: Database, asked: Asked, file: str = "", name: str = "") -> str:
    """A run of what was checked, which waits for a worker; returns its id.

    Args:
        file: name of the uploaded file in the folder of the run `name`.
    """
    return database.add("verify", asked.claim, file or printable_url(asked.url), {**asked.plain(), "file": file}, name)


def file_name(given: str) -> str:
    """A name for an uploaded file that means nothing to any file system.

    Raises:
        SettingError: a kind of file that no suspect is.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(given.replace("\\", "/")).name)[-80:].lstrip(".-")
    if not name.lower().endswith((".safetensors", ".onnx")):
        raise SettingError(f"expected a model as .safetensors or .onnx, got {name or 'a file without a name'!r}")
    return name


def stored(folder: Path, name: str) -> Path:
    """Where an upload goes: a new folder, so that nothing is overwritten."""
    with disk_errors(folder):
        folder.mkdir(parents=True)
    return folder / name
