"""Models on disk by card: one file a model, written at once or not at all, checked whenever it is read.

    STORE/models/KEY.safetensors    the network, with its card and the SHA-256 of its tensors inside
    STORE/data/DIGEST/*.npy         the data sets that workers map into memory, shared between them
    STORE/events.jsonl              what was started, built, rebuilt, failed: one JSON object a line

The same card makes the same file, byte for byte; a folder can be shared by any number of plans and builders.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import nn

from birthmark.artifact import canonical, digest_of, disk_errors, plain, write_atomically
from birthmark.data import Data
from birthmark.errors import ArtifactError
from birthmark.inputs import are_strings, texts
from birthmark.types import CHUNK, Answers, Array, Form, Plain, Samples
from birthmark.workshop import architectures
from birthmark.workshop.card import Card, as_card
from birthmark.workshop.modelfile import ModelHead, make_network, read_tensors, save_model, tensors_digest
from birthmark.workshop.training import outputs
from birthmark.workshop.whitebox import Open


class Store:
    """A folder of models.

    Args:
        folder: made when the first model is written.
        trusted: architectures given as "module:function" that may be imported to read a model; the user names them.
    """

    def __init__(self, folder: str | Path, trusted: tuple[str, ...] = ()) -> None:
        self.folder = Path(folder)
        self.trusted = trusted

    def path(self, key: str) -> Path:
        return self.folder / "models" / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def card(self, key: str) -> Card:
        """The card inside a model file.

        Raises:
            ArtifactError: no such model, or a file that is not one of this store's.
        """
        return as_card(self._checked(key)[0]["card"])

    def load(self, key: str, like: nn.Module | None = None) -> nn.Module:
        """A model, in eval mode, after its digest has been checked.

        Args:
            like: a network of the same architecture, for models whose architecture has no name.

        Raises:
            ArtifactError: missing, or not the bytes that were written.
        """
        _, entry, tensors = self._checked(key)
        path, name = self.path(key), str(entry.get("architecture", ""))
        if not name and like is None:
            raise ArtifactError(f"{path}: its architecture has no name, so it can only be read beside its source")
        if ":" in name and name.partition(":")[0] not in architectures.ARCHITECTURES and name not in self.trusted:
            raise ArtifactError(
                f"{path}: its card names code to import ({name!r}), which birthmark does not run on a file's word; "
                f"give --architecture {name} if you trust it"
            )
        module = (
            deepcopy(like)
            if like is not None and not name
            else make_network(ModelHead(name, tuple(entry["shape"]), entry["outputs"]))
        )
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            raise ArtifactError(
                f"{path}: the weights do not fit its network: {' '.join(str(error).split())[:300]}"
            ) from None
        return module.eval()

    def digest(self, key: str) -> str:
        """SHA-256 of a model's tensors, after checking it."""
        return str(self._checked(key)[0]["digest"])

    def sound(self, key: str) -> bool:
        """Whether the model is there and is what was written."""
        try:
            self._checked(key)
        except ArtifactError:
            return False
        return True

    def save(self, card: Card, module: nn.Module, shape: tuple[int, ...], *, values: bool = False) -> str:
        """Write a model; returns the digest of its tensors.

        Raises:
            OracleError: weights that are not finite: training diverged.
            BirthmarkError: the disk is full or the folder is not writable.
        """
        Open(module, name=card.key)
        width = outputs(module, np.zeros((2, *shape), dtype=np.float32)).shape[1]
        digest = tensors_digest(module.state_dict())
        about = plain({"key": card.key, "card": asdict(card), "digest": digest, "torch": torch.__version__})
        kind = Answers.VALUES if values else Answers.LOGITS
        save_model(
            self.path(card.key), module, ModelHead(architectures.architecture_of(module), shape, width, kind), about
        )
        return digest

    def discard(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def _checked(self, key: str) -> tuple[Plain, Plain, Mapping[str, torch.Tensor]]:
        path = self.path(key)
        entry, tensors = read_tensors(path)
        about = entry.get("about", {})
        if (
            about.get("digest") != tensors_digest(tensors)
            or about.get("key") != key
            or as_card(about["card"]).key != key
        ):
            raise ArtifactError(
                f"{path}: its tensors or its card are not those that were written; the file was edited or damaged"
            )
        return about, entry, tensors

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Only one process at a time is inside for one key; the system lets go when a process dies."""
        place = self.folder / "locks" / key
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def log(self, event: str, key: str, **what: Any) -> None:
        """Append one event; a line that a kill cut short is closed first."""
        path = self.folder / "events.jsonl"
        line = json.dumps({"time": round(time.time(), 3), "event": event, "key": key, **what}) + "\n"
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+") as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        line = "\n" + line
                file.write(line.encode())

    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first; torn lines are left out."""
        path, found = self.folder / "events.jsonl", list[dict[str, Any]]()
        for line in path.read_text(errors="replace").splitlines() if path.is_file() else []:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def keep_data(self, data: Data) -> str:
        """Write a data set once, for workers to map; returns its digest."""
        digest = digest_of([data.name, {part: samples.digest for part, samples in data.parts.items()}])[:16]
        place = self.folder / "data" / digest
        if (place / "parts.json").is_file():
            return digest
        with disk_errors(place):
            place.mkdir(parents=True, exist_ok=True)
            for part, samples in data.parts.items():
                for name, array in (("inputs", samples.inputs), ("targets", samples.targets)):
                    fresh = place / f".{part}.{name}.{os.getpid()}.npy"
                    _write(fresh, array)
                    os.replace(fresh, place / f"{part}.{name}.npy")
        write_atomically(
            place / "parts.json",
            canonical(
                {
                    "name": data.name,
                    "classes": {part: s.classes for part, s in data.parts.items()},
                    "form": next(iter(data.parts.values())).form.value,
                }
            ),
        )
        return digest

    def data(self, digest: str) -> Data:
        """A data set that `keep_data` wrote, mapped into memory: pages are shared by all processes."""
        place = self.folder / "data" / digest
        try:
            said = json.loads((place / "parts.json").read_bytes())
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{place}: the zoo's data cannot be read ({error}); start the build again") from None
        parts = dict[str, Samples]()
        for part, classes in said["classes"].items():
            form = Form(said.get("form", "numbers"))
            inputs, targets = (place / f"{part}.{name}.npy" for name in ("inputs", "targets"))
            read = _strings if form is not Form.NUMBERS else _mapped
            parts[part] = Samples(read(inputs), _mapped(targets), classes, form)
        return Data(said["name"], parts)


def _write(path: Path, array: NDArray[np.generic]) -> None:
    """One array; what does not lie in memory is copied in pieces."""
    if are_strings(array):
        path.write_text(json.dumps(array.tolist()), encoding="utf-8")
    elif isinstance(array, np.ndarray):
        np.save(path, np.ascontiguousarray(array), allow_pickle=False)
    else:
        out = open_memmap(path, mode="w+", dtype=array.dtype, shape=array.shape)
        for start in range(0, len(array), CHUNK):
            out[start : start + CHUNK] = array[start : start + CHUNK]


def _mapped(path: Path) -> Array:
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _strings(path: Path) -> Array:
    return texts(json.loads(path.read_text(encoding="utf-8")))
