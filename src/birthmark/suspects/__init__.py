"""Ways to a suspect: models on this machine, ONNX files, Hugging Face folders, and one file per HTTP dialect.

`open` is the one entry: it looks at the target and says which. Torch is loaded for files that need it only.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

from birthmark.errors import ArtifactError, BirthmarkError, OracleError, SettingError, nearest
from birthmark.secrets import printable
from birthmark.suspects.description import SuspectSpec, Translated, declared
from birthmark.types import Answers

if TYPE_CHECKING:
    from birthmark.claim import Task
    from birthmark.oracle import Oracle
    from birthmark.suspects.dialect import Dialect, Response

OTHERS = frozenset(
    {"description", "dialect", "local", "onnx", "folder", "client", "remote"}
)  # modules here that are no dialects


def open(
    target: str | Path,
    *,
    spec: SuspectSpec | None = None,
    task: "Task | None" = None,
    authorisation: str = "",
    transport: Any = None,
) -> "Oracle":
    """A suspect from a URL, a TOML description, a model file (safetensors, .onnx) or a Hugging Face folder.

    Args:
        spec: what is declared of it; what its own metadata says completes it.
        task: what it must answer to be comparable; needed for all but safetensors files.
        authorisation: on what ground a remote suspect is queried; needed for every URL, goes into the evidence.
        transport: an httpx2 transport to use instead of the network, for tests.

    Raises:
        SettingError: no authorisation, or something about the suspect must be declared.
        ArtifactError: a file that is missing or not what it says.
        OracleError: a server that does not answer.
    """
    spec = spec or SuspectSpec()
    text = str(target)
    if text.endswith(".toml"):
        spec = SuspectSpec.read(Path(text))
        if not spec.url:
            raise SettingError(
                f"{text}: it describes no suspect; add url (or give the suspect's address and this file as its spec)"
            )
        text = spec.url
    if "://" in text:
        return open_url(text, spec, _needed(task, text), authorisation, transport)
    path = Path(text)
    if not path.exists():
        raise ArtifactError(
            f"{path}: no such file or folder; a remote suspect's address starts with http:// or https://"
        )
    if path.is_dir():
        from birthmark.suspects import folder
        from birthmark.workshop.whitebox import Open

        known = declared(replace(spec, answers=spec.answers or "logits"), _needed(task, text))
        return Open(folder.load_folder(path, known, _needed(task, text)), known.kind or Answers.LOGITS, path.name)
    if path.suffix.lower() == ".onnx":
        from birthmark.suspects import onnx

        return onnx.open_onnx(path, spec, _needed(task, text))
    from birthmark.suspects import local

    local.refuse_others(path)
    if spec.labels:
        raise SettingError(f"{path}: its rows have columns, not names; declare order")
    model = local.open_file(
        path, answers=spec.kind, architecture=spec.architecture, shape=spec.shape, classes=spec.classes
    )
    plain = (
        spec.layout in ("", "nchw"),
        spec.datatype in ("", "FP32"),
        (spec.low, spec.high) == (0, 1),
        not (spec.mean or spec.std or spec.order),
    )
    return model if all(plain) else Translated(model, spec)


def open_url(url: str, spec: SuspectSpec, task: "Task", authorisation: str, transport: Any = None) -> "Oracle":
    """A suspect at a URL, after a read-only probe (GETs) that completes what was declared.

    Raises:
        SettingError: no authorisation, an unknown dialect, or something must be declared.
        OracleError: the server does not answer, or answers in no known dialect.
    """
    from birthmark.suspects.client import Client
    from birthmark.suspects.remote import Remote

    if not authorisation.strip():
        raise SettingError(
            f"{_shown(url)}: querying somebody's API needs a right to do so; say on what ground with "
            "--i-am-authorised TEXT (contract, court order, own service: it goes into the evidence)"
        )
    spec = declared(spec, task)
    base, dialect, spec = _addressed(url, spec)
    client = Client(base, spec, transport)
    try:
        kind, spec, lines = _probed(client.get, lambda: client.trouble, dialect, spec, task, client.base)
        client.spec = spec
        return Remote(client.base, kind(spec, task), task, client.send, lines)
    except BaseException:
        client.close()
        raise


@cache
def dialects() -> Mapping[str, type["Dialect"]]:
    """All dialects by name, in the order of their probes.

    Every module here that is one, then installed entry points "birthmark.dialects".
    """
    from birthmark.suspects.dialect import Dialect

    found = list[type[Dialect]]()
    for module in iter_modules(__path__):
        if module.name not in OTHERS:
            content = vars(import_module(f"{__name__}.{module.name}")).values()
            found += [
                c
                for c in content
                if isinstance(c, type) and issubclass(c, Dialect) and c.__module__.endswith(f".{module.name}")
            ]
    found += [cast(type[Dialect], point.load()) for point in entry_points(group="birthmark.dialects")]
    table = dict[str, type[Dialect]]()
    for kind in sorted(found, key=lambda kind: kind.order):
        if table.setdefault(kind.name, kind) is not kind:
            raise BirthmarkError(
                f"two dialects are named {kind.name!r}: {table[kind.name].__module__} and {kind.__module__}"
            )
    return table


def _addressed(url: str, spec: SuspectSpec) -> tuple[str, str, SuspectSpec]:
    """Base URL, dialect and completed spec, as far as the address itself names them."""
    if spec.dialect and spec.dialect not in dialects():
        raise nearest("dialect", spec.dialect, dialects())
    parts = urlsplit(url)
    for name, kind in dialects().items():
        if spec.dialect in ("", name) and (split := kind.split(parts.path, spec)) is not None:
            return urlunsplit(parts._replace(path=split[0])), name, split[1]
    return url, spec.dialect, spec


def _probed(
    get: Callable[[str], "Response | None"],
    trouble: Callable[[], str],
    dialect: str,
    spec: SuspectSpec,
    task: "Task",
    base: str,
) -> tuple[type["Dialect"], SuspectSpec, tuple[str, ...]]:
    if not dialect and (spec.body is not None or spec.rows):
        dialect = "generic"
    for name, kind in dialects().items():
        if dialect in ("", name) and (found := kind.probe(get, spec, task)) is not None:
            return kind, found.spec, tuple(printable(f"probed: {line}", 1000) for line in found.lines)
    if dialect:
        return dialects()[dialect], spec, (f"declared: dialect {dialect}; the server says nothing of itself",)
    described = _described(get)
    if trouble():
        raise OracleError(
            f"{base}: a read-only probe failed: {trouble()}; if it answers predictions only, declare dialect"
        )
    raise SettingError(
        f"{base}: speaks none of {', '.join(dialects())} as far as a read-only probe shows{described}; declare "
        "dialect, or describe the API in a TOML file (dialect generic)"
    )


def _described(get: Callable[[str], "Response | None"]) -> str:
    """A hint from an OpenAPI description, if the server publishes one."""
    for path in ("/openapi.json", "/docs.json"):
        response = get(path)
        if response is not None:
            try:
                posts = [p for p, verbs in response.json("probe")["paths"].items() if "post" in verbs]
            except (BirthmarkError, KeyError, AttributeError, TypeError):
                continue
            return printable(f"; its {path} lists POST {', '.join(posts[:5])}", 200)
    return ""


def _needed(task: "Task | None", target: str) -> "Task":
    if task is None:
        raise SettingError(f"{_shown(target)}: the shape of inputs and the number of classes must be known to ask it")
    return task


def _shown(target: str) -> str:
    from birthmark.suspects.client import printable_url

    return printable_url(target) if "://" in target else target
