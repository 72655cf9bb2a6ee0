"""Opening a suspect at a URL: which dialect it speaks, by its address, its declaration and read-only probes."""

from httpx2 import BaseTransport

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError, nearest
from birthmark.secrets import printable
from birthmark.suspects import dialects
from birthmark.suspects.address import printable_url, without_secret
from birthmark.suspects.client import Client
from birthmark.suspects.description import SuspectSpec, declared
from birthmark.suspects.dialect import Dialect, Get, probed
from birthmark.suspects.remote import Remote


def open_url(
    url: str, spec: SuspectSpec, task: Task, authorisation: str, network: BaseTransport | None = None
) -> Remote:
    """A suspect at a URL, after a read-only probe (GETs) that completes what was declared.

    Raises:
        SettingError: no authorisation, an unknown dialect, or something must be declared.
        OracleError: the server does not answer, or answers in no known dialect.
    """
    if not authorisation.strip():
        raise SettingError(
            f"{printable_url(url)}: querying somebody's API needs a right to do so; say on what ground with "
            "--i-am-authorised TEXT (contract, court order, own service: it goes into the evidence)"
        )
    base, dialect, spec = _addressed(url, declared(spec, task))
    client = Client(base, spec.transport, network)
    try:
        kind, spec, lines = _spoken(client, dialect, spec, task)
        client.spec = spec.transport
        return Remote(client.base + client.query, kind(spec, task), task, client.send, lines)
    except RecursionError:
        client.close()
        raise OracleError(f"{client.base}: what it says of itself is nested without end") from None
    except BaseException:
        client.close()
        raise


def _addressed(url: str, spec: SuspectSpec) -> tuple[str, str, SuspectSpec]:
    """Base URL, dialect and completed spec, as far as the address itself names them."""
    wanted = spec.transport.dialect
    if wanted and wanted not in dialects():
        raise nearest("dialect", wanted, dialects())
    parts = without_secret(url)
    for name, kind in dialects().items():
        if wanted in ("", name) and (split := kind.split(parts.path, spec)) is not None:
            return parts._replace(path=split[0]).geturl(), name, split[1]
    return url, wanted, spec


def _spoken(
    client: Client, dialect: str, spec: SuspectSpec, task: Task
) -> tuple[type[Dialect], SuspectSpec, tuple[str, ...]]:
    """The dialect that the server speaks, the spec completed by what it says of itself, and that in lines."""
    if not dialect and (spec.writing.body is not None or spec.reading.rows):
        dialect = "generic"
    for name, kind in dialects().items():
        if dialect in ("", name) and (found := kind.probe(client.get, spec, task)) is not None:
            return kind, found.spec, tuple(printable(f"probed: {line}", 1000) for line in found.lines)
    if dialect:
        return dialects()[dialect], spec, (f"declared: dialect {dialect}; the server says nothing of itself",)
    described = _described(client.get)
    if client.trouble:
        raise OracleError(
            f"{client.base}: a read-only probe failed: {client.trouble}; if it answers predictions only, declare "
            "dialect"
        )
    raise SettingError(
        f"{client.base}: speaks none of {', '.join(dialects())} as far as a read-only probe shows{described}; declare "
        "dialect, or describe the API in a TOML file (dialect generic)"
    )


def _described(get: Get) -> str:
    """A hint from an OpenAPI description, if the server publishes one."""
    for path in ("/openapi.json", "/docs.json"):
        paths = probed(get(path)).get("paths")
        if isinstance(paths, dict):
            posts = [p for p, verbs in paths.items() if isinstance(verbs, dict) and "post" in verbs]
            return printable(f"; its {path} lists POST {', '.join(posts[:5])}", 200)
    return ""
