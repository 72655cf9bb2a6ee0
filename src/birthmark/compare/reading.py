"""Named weights of a model file as NumPy arrays; the file is opened in a child process with limits, as suspects are."""

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birthmark.artifact import LARGEST
from birthmark.errors import ArtifactError
from birthmark.secrets import printable
from birthmark.suspects.sandbox import GROWTH, MEMORY, OPENING, Child, bytes_of

PREFIX = re.compile(r"^(?:(?:module|_orig_mod|state_dict|model_state_dict)\.)+")
KINDS = frozenset("fiub")
SECONDS = 60.0  # for one tensor, and for the file beyond its size
Tensor = NDArray[np.number]
Weights = Mapping[str, Tensor]


def weights(path: Path) -> Weights:
    """A model's tensors by name, in the order of the names' numbers; wrappers' prefixes (`module.`) are dropped.

    Args:
        path: a safetensors, ONNX or PyTorch file, an index of shards (`*.index.json`), or a folder that holds one.

    Raises:
        ArtifactError: missing, truncated, of an unknown kind, with a missing shard, too large, or with weights that
            are not finite.
    """
    if not path.exists():
        raise ArtifactError(f"{path}: no such file or folder")
    found = {PREFIX.sub("", name): value for name, value in _Reader(path).all().items()}
    for name, value in found.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ArtifactError(
                f"{path}: {printable(name, 80)} holds NaN or infinity; the file is damaged or training diverged"
            )
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def _natural(name: str) -> list[tuple[int, str]]:
    return [
        (int(part[:18]), "") if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


class _Reader(Child):
    """A stranger's file, and its tensors one by one."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, bytes_of(path if path.is_dir() else path.parent if _index(path) else path)
        if self.size > 8 * LARGEST:
            raise ArtifactError(f"{path}: larger than {8 * LARGEST} bytes")
        super().__init__(path, "birthmark.compare.serving")

    def all(self) -> dict[str, Tensor]:
        """Every tensor by name."""
        try:
            head: dict[str, object] = {"memory": MEMORY + GROWTH * self.size}
            said, _ = self._exchange(head, b"", SECONDS + self.size / OPENING, ArtifactError)
            listed = said.get("tensors")
            if not isinstance(listed, list):
                raise self._broken(ArtifactError)
            return dict(self._tensor(place, one) for place, one in enumerate(listed))
        finally:
            self.close()

    def _tensor(self, place: int, said: object) -> tuple[str, Tensor]:
        if not isinstance(said, list) or len(said) != 3 or not isinstance(said[2], list):
            raise self._broken(ArtifactError)
        name, shape = str(said[0]), tuple(said[2])
        try:
            dtype = np.dtype(str(said[1]))
        except (TypeError, ValueError):
            raise self._broken(ArtifactError) from None
        if dtype.kind not in KINDS or not all(type(n) is int and n >= 0 for n in shape):
            raise self._broken(ArtifactError)
        _, data = self._exchange({"tensor": place}, b"", SECONDS + self.size / OPENING, ArtifactError)
        if len(data) != prod(shape) * dtype.itemsize:
            raise self._broken(ArtifactError)
        return name, np.frombuffer(data, dtype=dtype).reshape(shape)


def _index(path: Path) -> bool:
    return path.name.endswith(".index.json")
