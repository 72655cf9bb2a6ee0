"""Recipes of an owner's own code, trained by a judge: in a process without network, writing or programs.

The judge's own process never imports a line of it. It sees digests and answers to the inputs that the tests need, kept
in a network of their own (`Answered`) that stands for the stranger's.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from birthmark.errors import BirthmarkError, SettingError
from birthmark.notary import confined
from birthmark.secrets import printable
from birthmark.suspects.pipes import receive, send
from birthmark.suspects.sandbox import INHERITED, MEMORY, THREADS
from birthmark.types import Array, Floats

STARTED = 60.0  # seconds that libraries take


class Answered(nn.Module):
    """A network that is known by its answers alone.

    Attributes:
        digest: of its weights, as the process that held them said.
    """

    def __init__(self, inputs: Array, rows: Floats, digest: str) -> None:
        super().__init__()
        self.digest = digest
        self._places = {row.tobytes(): i for i, row in enumerate(np.ascontiguousarray(inputs, np.float32))}
        self._rows = rows

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Answers (n, k), float64, to inputs that were asked before; KeyError for any other."""
        places = [self._places[row.tobytes()] for row in np.ascontiguousarray(inputs.numpy(), np.float32)]
        return torch.from_numpy(self._rows[places])


@dataclass(frozen=True)
class Stranger:
    """An owner's own code.

    Attributes:
        folder: where it lies. recipe, architecture: "module:function".
        inputs: (n, *d) that models are asked, every input of the judge's tests.
        seconds: that one training may take.
    """

    folder: Path
    recipe: str
    architecture: str
    inputs: Array
    seconds: float

    def code(self) -> str:
        """SHA-256, in hex, of the code's text, as `workshop.code.code_digest` says it; nothing of it is run."""
        names = [name for name in (self.recipe, self.architecture) if ":" in name]
        return str(self._ordered({"what": "code", "names": names})[0]["code"])

    def trained(self, start: int, course: int) -> Answered:
        """What the recipe makes of these seeds.

        Raises:
            BirthmarkError: it fails, takes too long, or wants what it may not have.
        """
        return self._model({"what": "train", "recipe": self.recipe, "start": str(start), "course": str(course)})

    def read(self, path: Path, shape: Sequence[int], classes: int) -> Answered:
        """The network in a model file, whose architecture is the owner's code."""
        about = {"path": str(path.resolve()), "architecture": self.architecture}
        return self._model({"what": "read", **about, "inputs": list(shape), "classes": classes})

    def _model(self, order: dict[str, object]) -> Answered:
        said, blob = self._ordered({**order, "shape": list(self.inputs.shape)}, self.inputs.tobytes())
        shape = said.get("shape")
        if not isinstance(shape, list) or len(shape) != 2 or shape[0] != len(self.inputs):
            raise BirthmarkError(f"{self.recipe}: the confined process answered what was not asked")
        rows = np.frombuffer(blob, dtype=np.float64)
        if rows.size != shape[0] * shape[1] or not np.isfinite(rows).all():
            raise BirthmarkError(f"{self.recipe}: its network's answers are not finite numbers of one shape")
        return Answered(self.inputs, rows.reshape(shape).copy(), printable(said.get("digest", ""), 64))

    def _ordered(self, order: dict[str, object], blob: bytes = b"") -> tuple[dict[str, object], bytes]:
        if not self.folder.is_dir():
            raise SettingError(f"{self.folder}: expected the folder of the owner's code (--code)")
        with tempfile.TemporaryDirectory(prefix="birthmark-") as empty:
            process = _started(empty)
            late = threading.Timer(STARTED + self.seconds, process.kill)
            late.start()
            try:
                assert process.stdin
                assert process.stdout
                send(process.stdin, {**order, "folder": str(self.folder.resolve()), "memory": MEMORY}, blob)
                said, found = receive(process.stdout, head=1 << 20)
            except (OSError, EOFError, ValueError, RecursionError):
                raise BirthmarkError(
                    f"{self.recipe}: the confined process ended without an answer within {self.seconds:.0f} s: "
                    "it takes longer (--sandbox SECONDS) or more memory, or is damaged or hostile"
                ) from None
            finally:
                late.cancel()
                process.kill()
                process.communicate()
        if "error" in said:
            raise BirthmarkError(f"{self.recipe}: failed in the sandbox ({printable(said['error'], 300)})")
        return said, found


def _started(empty: str) -> "subprocess.Popen[bytes]":
    inherited = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith(THREADS)}
    places = os.pathsep.join(dict.fromkeys(str(Path(place).absolute()) for place in sys.path if place))
    own = {"PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1", "TORCHINDUCTOR_CACHE_DIR": "/", "HOME": empty}
    return subprocess.Popen(
        [sys.executable, "-P", confined.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=empty,
        env={**inherited, **own},
        start_new_session=True,
    )
