"""What a server is: its folder, its database, its token and its limits."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from birthmark.artifact import disk_errors
from birthmark.errors import SettingError
from birthmark.secrets import keep

LEAST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Site:
    """A server's place and rules.

    Attributes:
        home: folder of claims, runs, uploads, and of the database unless another is named.
        database: an SQLAlchemy URL; default SQLite in `home`.
        token: what a visitor must know; never shown in a page or a log.
        hosts: names or addresses of suspects that may be asked although they are private.
        largest: bytes that an upload may have.
        workers: processes that carry runs out.
    """

    home: Path
    database: str = ""
    token: str = field(default="", repr=False)
    hosts: tuple[str, ...] = ()
    largest: int = 1 << 30
    workers: int = 2

    @property
    def url(self) -> str:
        return self.database or f"sqlite:///{self.home.resolve() / 'birthmark.sqlite'}"

    @property
    def claims(self) -> Path:
        return self.home / "claims"

    def run(self, name: str) -> Path:
        """The folder of one run: what was uploaded, transcript, evidence, report."""
        return self.home / "runs" / name


def with_token(site: Site, given: str) -> Site:
    """The site with its token: the one given, the one kept in `home`, or a new one that is kept there.

    Raises:
        SettingError: a token that is too short to keep anybody out.
    """
    place = site.home / "token"
    with disk_errors(place):
        site.home.mkdir(parents=True, exist_ok=True)
        if not given and not place.exists():
            place.touch(0o600)
            place.write_text(secrets.token_urlsafe(24))
        token = given or place.read_text(encoding="utf-8").strip()
    if len(token) < LEAST_TOKEN:
        raise SettingError(f"expected a token of at least {LEAST_TOKEN} characters, got {len(token)}")
    keep(token)
    return Site(site.home, site.database, token, site.hosts, site.largest, site.workers)
