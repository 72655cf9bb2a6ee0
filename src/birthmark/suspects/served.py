"""What runs inside the child process: open the file as declared, answer batches, and never a traceback."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, OracleError
from birthmark.inputs import from_bytes
from birthmark.oracle import Oracle
from birthmark.suspects import files
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.looking import look
from birthmark.suspects.pipes import receive, send


def serve(asked: IO[bytes], answers: IO[bytes], confine: Callable[[int], None], guards: list[str]) -> None:
    """Open what the first message names, then answer batches until the pipe ends."""
    path = Path(str(receive(asked)[0]["path"]))
    files.preload(path)
    tempfile.tempdir = os.devnull  # or libraries would look for a place to write in
    send(answers, {"guards": guards})
    head, _ = receive(asked)
    try:
        if head.get("look"):
            send(answers, _looked(path, head, confine))
            return
        suspect = _opened(path, head, confine)
        said = {"access": int(suspect.access), "answers": suspect.answers.value, "name": suspect.name}
        send(answers, {**said, "remarks": list(suspect.remarks())})
    except Exception as error:
        send(answers, refusal(error, ArtifactError, str(path)))
        return
    while True:
        try:
            head, blob = receive(asked)
        except EOFError:
            return
        try:
            rows = suspect(from_bytes(head, blob))
            send(answers, {"shape": list(rows.shape)}, np.ascontiguousarray(rows, dtype=np.float64).tobytes())
        except Exception as error:
            send(answers, refusal(error, OracleError, suspect.name))


def _looked(path: Path, head: dict[str, object], confine: Callable[[int], None]) -> dict[str, object]:
    assert isinstance(head["memory"], int)
    confine(head["memory"])
    return dict(look(path))


def _opened(path: Path, head: dict[str, object], confine: Callable[[int], None]) -> Oracle:
    flat, task, memory = head["spec"], head["task"], head["memory"]
    assert isinstance(flat, dict)
    assert isinstance(memory, int)
    confine(memory)
    return files.open_here(path, SuspectSpec(**flat), Task.read(task) if isinstance(task, dict) else None)


def refusal(error: Exception, kind: type[BirthmarkError], name: str) -> dict[str, object]:
    """An error as a message: ours by its own name, others as `kind`, in one line."""
    if isinstance(error, BirthmarkError):
        return {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, MemoryError):
        return {"error": kind.__name__, "message": f"{name}: needs more memory than such a file is given"}
    text = " ".join(str(error).split())[:200]
    return {"error": kind.__name__, "message": f"{name}: cannot be opened or asked ({type(error).__name__}: {text})"}
