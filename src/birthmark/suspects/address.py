"""Addresses, headers and secrets of suspects: what may be asked, shown and sent."""

import ipaddress
import os
import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from birthmark.errors import SettingError
from birthmark.secrets import keep, printable

SECRETIVE = re.compile(r"key|token|secret|sig|pass|pwd|auth|code|cred|session|sas|jwt|bearer", re.IGNORECASE)
ORDINARY = re.compile(r"[A-Za-z0-9 ._:,/+-]{0,30}")  # in a query, no secret; tokens are longer


def split_url(url: str) -> SplitResult:
    """The parts of an http(s) URL.

    Raises:
        SettingError: another scheme, no host, a port or an IPv6 address that cannot be.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port  # raises for a port that cannot be
        if ":" in host:
            ipaddress.ip_address(host.partition("%")[0])
        host.encode("idna")
    except (ValueError, UnicodeError):
        raise SettingError(f"expected a URL such as https://host/path, got {printable_url(url)!r}") from None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or re.search(r"\s", url):
        raise SettingError(f"expected a URL such as https://host/path, got {printable_url(url)!r}")
    return parts


def without_secret(url: str) -> SplitResult:
    """The parts of a suspect's URL, whose query may hold settings (`?api-version=2024-02-01`) but no secret.

    Raises:
        SettingError: not such a URL, a password, a fragment, or a query that looks like a secret.
    """
    parts = split_url(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    odd = [name for name, value in query if SECRETIVE.search(name) or not all(map(ORDINARY.fullmatch, (name, value)))]
    if parts.username or parts.password or parts.fragment or odd or bool(parts.query) != bool(query):
        raise SettingError(
            f"{printable_url(url)}: a URL with a password, a fragment or a secret in its query would be written into "
            "the evidence; give secrets by auth env:NAME or file:PATH"
        )
    return parts


def printable_url(url: str) -> str:
    """A URL without name, password, query and fragment, also where it is broken."""
    rest = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, mark, rest = rest.partition("://") if "://" in rest else ("", "", rest)
    host, slash, path = rest.partition("/")
    shown = f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
    return printable(shown, 300)


def origin(parts: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine's own loopback."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def header_name(text: str) -> str:
    """A header's name as RFC 9110 allows it.

    Raises:
        ValueError: another one.
    """
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}", text):
        raise ValueError("expected a header's name of letters, digits and hyphens")
    return text


def header_text(text: str) -> str:
    """A header's value: one line of ASCII.

    Raises:
        ValueError: other text; it is not shown.
    """
    if not text.isascii() or (text and not text.isprintable()):
        raise ValueError("expected one line of ASCII text")
    return text


def refers_to_secret(text: str) -> bool:
    """Whether a setting says where a secret is: env:NAME or file:PATH."""
    return text.startswith(("env:", "file:"))


def secret(reference: str) -> str:
    """The secret that "env:NAME" or "file:PATH" refers to.

    Raises:
        SettingError: it is not there, empty, of several lines or not ASCII; the secret is never in the message.
    """
    kind, _, place = reference.partition(":")
    if not refers_to_secret(reference):
        raise SettingError("expected a secret as env:NAME or file:PATH")
    try:
        value = os.environ.get(place, "") if kind == "env" else Path(place).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise SettingError(f"the secret file {place!r} cannot be read") from None
    keep(value)
    if not value or not value.isprintable():
        raise SettingError(f"the secret {kind}:{place} is empty or not one line of text")
    if not value.isascii():
        raise SettingError(f"the secret {kind}:{place} is not ASCII, so it cannot be sent in a header")
    return value
