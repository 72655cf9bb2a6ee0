"""Ways to a suspect: models on this machine, ONNX files, Hugging Face folders, and one file per HTTP dialect.

`open` is the one entry: it looks at the target and says which. Torch is loaded for files that need it only.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

from birthmark.errors import ArtifactError, BirthmarkError, SettingError
from birthmark.suspects.address import printable_url
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.dialect import Dialect

if TYPE_CHECKING:
    from httpx2 import BaseTransport

    from birthmark.claim import Task
    from birthmark.oracle import Oracle

OTHERS = frozenset({"address", "child", "client", "code", "deadline", "description", "dialect", "files", "folder"}) | {
    *("looking", "onnx", "pipes", "probing", "reading", "remote", "sandbox", "scope", "served", "tokenised", "writing")
}  # modules here that are no dialects
CODE = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")  # module:function


def open(
    target: str | Path,
    *,
    spec: SuspectSpec | None = None,
    task: "Task | None" = None,
    authorisation: str = "",
    weights: bool = False,
    transport: "BaseTransport | None" = None,
) -> "Oracle":
    """A suspect from a URL, a TOML description, a model file (safetensors, .pt, .onnx), a Hugging Face folder, or code
    of the user's own, "module:function".

    A file is opened and asked in a child process with limits (`sandbox`), so that nothing in it can do harm.

    Args:
        spec: what is declared of it; what its own metadata says completes it.
        task: what it must answer to be comparable; needed for all but safetensors files.
        authorisation: on what ground a remote suspect is queried; needed for every URL, goes into the evidence.
        weights: open a file in this process and grant its weights, where it has any: for models of one's own.
        transport: an httpx2 transport to use instead of the network, for tests.

    Raises:
        SettingError: no authorisation, or something about the suspect must be declared.
        ArtifactError: a file that is missing or not what it says.
        OracleError: a server that does not answer.
    """
    spec = spec or SuspectSpec()
    text = str(target)
    if text.lower().endswith(".toml"):
        spec = SuspectSpec.read(Path(text))
        if not spec.transport.url:
            raise SettingError(
                f"{text}: it describes no suspect; add url (or give the suspect's address and this file as its spec)"
            )
        text = spec.transport.url
    if CODE.fullmatch(text) and not Path(text).exists():
        from birthmark.suspects.code import open_code

        return open_code(text, spec, task)
    remote = "://" in text
    if task is None and not text.lower().endswith((".safetensors", ".pt", ".pth")):
        shown = printable_url(text) if remote else text
        raise SettingError(f"{shown}: the shape of inputs and the number of classes must be known to ask it")
    if remote:
        from birthmark.suspects import probing

        return probing.open_url(text, spec, cast("Task", task), authorisation, transport)
    return _open_path(Path(text), spec, task, weights)


def _open_path(path: Path, spec: SuspectSpec, task: "Task | None", weights: bool) -> "Oracle":
    try:
        there = path.exists()
    except ValueError:  # a name with a zero byte
        there = False
    if not there:
        raise ArtifactError(
            f"{str(path)[:200]}: no such file or folder; a remote suspect's address starts with http:// or https://"
        )
    from birthmark.suspects import files, sandbox

    files.refuse_others(path)
    identity = {**files.identity(path), **spec.declaration()}  # before anything else is read
    model = files.open_here(path, spec, task) if weights else sandbox.Sandboxed(path, spec, task)
    model.identity = identity
    return model


@cache
def dialects() -> Mapping[str, type[Dialect]]:
    """All dialects by name, in the order of their probes.

    Every module here that is one, then installed entry points "birthmark.dialects".
    """
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
