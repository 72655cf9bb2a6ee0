"""What a gateway is told: a TOML file, and BIRTHMARK_GATEWAY_... variables that override its single values.

    upstream = "http://127.0.0.1:8000"
    keyring = "keyring/"                 # made by `birthmark key new`
    secret = "env:BIRTHMARK_SECRET"      # or a file that only its owner may read
    strength = "default"
    policy = "closed"                    # or "open": what cannot be marked is answered unmarked, and counted
    client = "header:X-Client-Id"        # or "api-key:Authorization", "certificate:X-SSL-Client-S-DN"
    clients = ["alice", "bob"]           # empty: any name
    [wire]
    dialect = "oip"
    [log]
    folder = "log/"

Unknown names are errors: a misspelt setting must not leave answers unmarked.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from birthmark.artifact import toml
from birthmark.errors import SettingError
from birthmark.gateway.codec import Wire
from birthmark.gateway.writer import LogSettings

PREFIX = "BIRTHMARK_GATEWAY_"
IDENTITIES = ("header", "api-key", "certificate")
ANONYMOUS = "anonymous"
COUNTS = ("most_body", "most_memory", "connections", "most_connections", "per_address", "per_client")
SECONDS = ("timeout", "head_timeout", "body_timeout")
T = TypeVar("T")


@dataclass(frozen=True)
class Config:
    """All settings of a gateway; defaults are the safe side.

    Attributes:
        upstream: base URL of the model server.
        keyring: folder of the keyring.
        secret: the master key, "env:NAME" or a file.
        strength, answers: of the mark, see `DynaMarks`; strength "none" passes everything unmarked (for measuring the
            proxy itself).
        policy: "closed" (503) or "open" (unmarked and counted) for answers that cannot be marked or logged.
        client: where a client's name comes from, "header:NAME", "api-key:NAME" (its SHA-256 is the name) or
            "certificate:NAME", a header that the proxy which ends TLS sets. Headers must come from a proxy that clients
            cannot get round.
        clients: names that are served; empty means any.
        unknown: "refuse" (401) a request without a known name, or let it "share" one anonymous key.
        pass_through: regular expressions of paths that are never predictions: under the policy "closed" nothing else
            passes but GET and HEAD of what the dialect says of its models.
        most_body: bytes of the largest prediction request or answer. most_memory: of all that are under way.
        timeout: seconds for the upstream to answer, and for a client to take a part of what is passed on.
        head_timeout, body_timeout: seconds for a client to send a request's headers, and its body.
        connections: to the upstream at once. most_connections: of clients; per_address: of one address.
        per_client: predictions of one client under way at once.
        proxies: addresses of your own proxies, whose connections count towards most_connections alone.
        operators: addresses that may read /metrics, /healthz and /readyz of the gateway itself; others are passed on.
        digits: decimals that marked answers are rounded to, if the upstream rounds; -1 for none.
        wire, log: see `Wire` and `LogSettings`.
    """

    upstream: str
    keyring: Path
    secret: str
    strength: str = "default"
    answers: str = "probabilities"
    policy: str = "closed"
    client: str = "header:X-Client-Id"
    clients: tuple[str, ...] = ()
    unknown: str = "refuse"
    pass_through: tuple[str, ...] = ()
    most_body: int = 64 << 20
    most_memory: int = 1 << 30
    timeout: float = 30.0
    head_timeout: float = 10.0
    body_timeout: float = 60.0
    connections: int = 100
    most_connections: int = 1000
    per_address: int = 100
    per_client: int = 100
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    operators: tuple[str, ...] = ("127.0.0.1", "::1")
    digits: int = -1
    wire: Wire = field(default_factory=Wire)
    log: LogSettings | None = None

    def __post_init__(self) -> None:
        _check_upstream(self.upstream)
        if self.policy not in ("open", "closed") or self.unknown not in ("refuse", "share"):
            raise SettingError(
                f"expected policy open or closed and unknown refuse or share, got {self.policy!r} and {self.unknown!r}"
            )
        kind, _, name = self.client.partition(":")
        if kind not in IDENTITIES or not name:
            raise SettingError(f"expected client as {', '.join(f'{i}:NAME' for i in IDENTITIES)}, got {self.client!r}")
        for name in COUNTS:
            if not getattr(self, name) >= 1:
                raise SettingError(f"expected {name} to be 1 or more")
        for name in SECONDS:
            if not getattr(self, name) > 0:
                raise SettingError(f"expected {name} to be above 0")
        for pattern in self.pass_through:
            _check_pattern(pattern)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise SettingError(f"pass_through {pattern!r} is no regular expression ({error})") from None


def _check_upstream(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SettingError(f"expected upstream to be a URL such as http://127.0.0.1:8000 ({error})") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"expected upstream to be a URL such as http://127.0.0.1:8000, got {parts.scheme or 'none'}")
    if parts.username or parts.password:
        raise SettingError(
            "expected upstream without a user name and password: clients' own Authorization headers are passed on"
        )


def read_config(path: Path | None, environment: Mapping[str, str] = os.environ, **given: object) -> Config:
    """Settings from a TOML file, overridden by the environment, overridden by what is given (unless None).

    Raises:
        SettingError: unreadable, an unknown or missing name, or a value of the wrong kind.
    """
    data: dict[str, Any] = {**(toml(path) if path else {}), **_told(Config, environment, PREFIX)}
    for part, cls in (("wire", Wire), ("log", LogSettings)):
        if told := _told(cls, environment, f"{PREFIX}{part.upper()}_"):
            data[part] = {**data.get(part, {}), **told}
    data |= {key: value for key, value in given.items() if value is not None}
    where = str(path or "the settings")
    data["wire"] = _made(Wire, data.get("wire", {}), f"{where}, [wire]")
    if log := data.pop("log", None):
        data["log"] = _made(LogSettings, {"folder": "log", **log} if isinstance(log, dict) else log, f"{where}, [log]")
    return _made(Config, data, where)


def _told(cls: type, environment: Mapping[str, str], prefix: str) -> dict[str, object]:
    """The single values that the environment overrides."""
    names = {f.name: f.type for f in fields(cls) if f.name not in ("wire", "log")}
    told = {name: environment.get(prefix + name.upper()) for name in names}
    return {name: _of(names[name], text) for name, text in told.items() if text is not None}


def _made(cls: type[T], data: object, where: str) -> T:
    kinds = {f.name: f.type for f in fields(cls)}  # type: ignore[arg-type]
    if not isinstance(data, Mapping):
        raise SettingError(f"{where}: expected a table, got {type(data).__name__}")
    if unknown := sorted(set(data) - kinds.keys()):
        raise SettingError(f"{where}: no setting {', '.join(unknown)}; there are {', '.join(sorted(kinds))}")
    for name, value in data.items():
        if name not in ("wire", "log") and not _fits(value, kinds[name]):
            kind = getattr(kinds[name], "__name__", kinds[name])
            raise SettingError(f"{where}: expected {name} to be {kind}, got {type(value).__name__}")
    try:
        return cls(**{key: _kept(value, key) for key, value in data.items()})
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise SettingError(f"{where}: missing {', '.join(missing)}") from None


def _fits(value: object, kind: object) -> bool:
    """Whether what a TOML file holds, or what was given, is of a setting's kind."""
    if str(kind).startswith("tuple"):
        wanted = (int, float) if "float" in str(kind) else (str,)
        return isinstance(value, (list, tuple)) and all(type(item) in wanted for item in value)
    kinds: Mapping[object, tuple[type, ...]] = {int: (int,), float: (int, float), Path: (str, Path)}
    return isinstance(value, kinds.get(kind, (str,))) and not isinstance(value, bool)


def _kept(value: object, name: str) -> object:
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if name in ("keyring", "folder") and isinstance(value, str) else value


def _of(kind: object, text: str) -> object:
    try:
        if kind is int:
            return int(text)
        if kind is float:
            return float(text)
    except ValueError:
        raise SettingError(f"expected a number in the environment, got {text!r}") from None
    if str(kind).startswith("tuple"):
        items = [item.strip() for item in text.split(",") if item.strip()]
        return [float(item) for item in items] if "float" in str(kind) else items
    return text
