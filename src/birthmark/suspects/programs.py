"""Exported programs (.pt2) from strangers: read so that nothing in them runs while they are read.

torch's own reader unpickles what a file marks as pickled, evaluates its symbolic expressions as Python, and calls
whatever name of torch a node gives. Before torch sees a file its members are checked: graphs may call operators only,
expressions may hold sizes and arithmetic only; and pickles are read as tensors or not at all.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from birthmark.artifact import LARGEST
from birthmark.errors import ArtifactError

# an operator of torch by its full name, arithmetic on sizes, or a subgraph; never a module's function
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prim|prims|higher_order|quantized_decomposed|_c10d_functional)\.\w+(\.\w+)?|_operator\.[a-z]+_?|math\.[a-z]+|torch\.(sym_\w+|_sym_\w+)"
)
FORBIDDEN = re.compile(r"torch\.ops\.aten\.from_file\b|_operator\.(attrgetter|itemgetter|methodcaller|call)_?")
WORD = re.compile(r"[A-Za-z_]\w*")
KNOWN = re.compile(
    r"[su]\d+|_?[A-Z][A-Za-z]*|oo|int_oo|floor|ceiling"
)  # symbols, sympy's and torch's functions; no function of Python's begins so
SYMBOL = re.compile(
    r"(?<![\w.])Symbol\('\w+'((, (positive|nonnegative|negative|integer|real|nonzero|extended_real)=(True|False))*)"
)  # as sympy writes a symbol
SIGNS = re.compile(r"[\w\s+\-*/%(),<>=!&|~.]*")


def open_program(path: Path) -> nn.Module:
    """The program as a module that answers.

    Raises:
        ArtifactError: not an exported program this torch can read, or one that would run code.
    """
    inspect(path)
    try:
        with _tensors_only():
            return torch.export.load(path).module(check_guards=False)
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise ArtifactError(f"{path}: not an exported program this torch can read ({lines[0][:200]})") from None


def inspect(path: Path) -> None:
    """Check every graph of an exported program.

    Raises:
        ArtifactError: no archive, too large, or with a name or an expression that is no operator's or size's.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise ArtifactError(f"{path}: larger than {LARGEST} bytes when unpacked")
            graphs = [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")]
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{path}: not an exported program ({str(error)[:100] or type(error).__name__}); make one with "
            "torch.export.save"
        ) from None
    for graph in graphs:
        for kind, text in _texts(graph):
            if kind == "operator" and (not OPERATOR.fullmatch(text) or FORBIDDEN.match(text)):
                raise ArtifactError(
                    f"{path}: calls {text[:80]!r}, which is no operator; birthmark does not run code on a file's word"
                )
            if kind == "expression" and not is_size(text):
                raise ArtifactError(
                    f"{path}: holds the expression {text[:80]!r}, which is no size; birthmark does not run code on a "
                    "file's word"
                )


def is_size(text: str) -> bool:
    """Whether an expression holds symbols, numbers, arithmetic and sympy's functions only."""
    text = SYMBOL.sub("(s0", text)
    plain = SIGNS.fullmatch(text) and not re.search(r"\.\s*[A-Za-z_]", text)
    return bool(plain) and all(KNOWN.fullmatch(word) for word in WORD.findall(text))


def _texts(root: Any) -> Iterator[tuple[str, str]]:
    """What torch calls or evaluates, in a graph's JSON."""
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            if isinstance(value.get("target"), str) and "inputs" in value:
                yield "operator", value["target"]
            if isinstance(value.get("as_operator"), str):
                yield "operator", value["as_operator"]
            if "expr_str" in value:
                yield "expression", str(value["expr_str"])
            if isinstance(value.get("range_constraints"), Mapping):
                yield from (("expression", str(key)) for key in value["range_constraints"])
            pending += value.values()
        elif isinstance(value, list):
            pending += value


@contextmanager
def _tensors_only() -> Iterator[None]:
    """torch.load refuses pickles that are more than tensors, also where its caller asks for them."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
