"""Claim folders of a site, and what the database says of them."""

import json
from collections.abc import Iterator
from pathlib import Path

from birthmark.claim import Claim
from birthmark.errors import BirthmarkError, SettingError
from birthmark.notary.inventory import inventory
from birthmark.types import Plain
from birthmark.web.database import Database
from birthmark.web.site import Site


def refreshed(site: Site, database: Database) -> int:
    """Read all claim folders anew; returns how many there are. A folder that is no claim is listed with its error."""
    site.claims.mkdir(parents=True, exist_ok=True)
    rows = list(_rows(site.claims))
    database.put_claims(rows)
    return len(rows)


def _rows(folder: Path) -> Iterator[Plain]:
    for path in sorted(folder.iterdir()):
        if (path / "manifest.json").is_file():
            yield _row(path)


def _row(path: Path) -> Plain:
    try:
        claim, digest = Claim.load(path)
    except BirthmarkError as error:
        return {"name": path.name, "digest": "", "method": "", "queries": 0, "about": json.dumps({"error": str(error)})}
    about = {"task": str(claim.task), "twins": claim.twins, "placebos": claim.settings.get("placebos", 0)}
    return {
        "name": path.name,
        "digest": digest,
        "method": claim.method,
        "queries": len(claim.queries),
        "about": json.dumps(about),
    }


def opened(site: Site, name: str) -> tuple[Claim, str]:
    """A claim of the site by its name, and its digest.

    Raises:
        SettingError: no such claim.
        ArtifactError: its folder is damaged.
    """
    path = place(site, name)
    return Claim.load(path)


def place(site: Site, name: str) -> Path:
    """A claim's folder.

    Raises:
        SettingError: no such claim, or a name that leaves the folder.
    """
    path = site.claims / name
    if not name or path.parent != site.claims or not (path / "manifest.json").is_file():
        raise SettingError(f"expected the name of a claim, got {name[:100]!r}; see the list of claims")
    return path


def left(site: Site, row: Plain) -> str:
    """How many of a claim's queries no suspect has seen."""
    return str(inventory(site.claims / row["name"], row["queries"]))
