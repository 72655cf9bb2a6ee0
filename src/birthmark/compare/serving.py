"""What runs in the child process that reads a stranger's weights: open the file, hand out one tensor after another."""

import os
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO

import numpy as np

from birthmark.compare import files
from birthmark.errors import ArtifactError
from birthmark.suspects.pipes import receive, send
from birthmark.suspects.served import refusal


def serve(asked: IO[bytes], answers: IO[bytes], confine: Callable[[int], None], guards: list[str]) -> None:
    """Say what tensors the file holds, then send each one that is asked for until the pipe ends."""
    path = Path(str(receive(asked)[0]["path"]))
    _preload(path)
    tempfile.tempdir = os.devnull  # or libraries would look for a place to write in
    send(answers, {"guards": guards})
    head, _ = receive(asked)
    try:
        confine(int(str(head["memory"])))
        found = list(files.tensors(path).items())
        send(answers, {"tensors": [[name, value.dtype.str, list(value.shape)] for name, value in found]})
    except Exception as error:
        send(answers, refusal(error, ArtifactError, path.name))
        return
    while True:
        try:
            head, _ = receive(asked)
        except EOFError:
            return
        send(answers, {}, np.ascontiguousarray(found[int(str(head["tensor"]))][1]).tobytes())


def _preload(path: Path) -> None:
    """Import what opening such a file takes, before its process is confined."""
    inside = path.iterdir() if path.is_dir() else [path]
    kinds = {file.suffix.lower() for file in inside} | {Path(path.stem).suffix.lower()}
    for kind, names in ((".onnx", ("onnx", "onnx.numpy_helper")), *((end, ("torch",)) for end in files.TORCH)):
        for name in names if kind in kinds else ():
            try:
                import_module(name)
            except ImportError:  # said when it is needed
                continue
