"""Folders on disk: safetensors and JSON under one digest; written at once or not at all; never pickle.

A folder holds `manifest.json` (format, version, SHA-256 and size of every other file) and the files it names. The
artefact's digest is the SHA-256 of the manifest's canonical JSON, so it pins every byte.
"""

import json
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from birthmark.errors import ArtifactError, BirthmarkError, SettingError, must

LARGEST_WHOLE = 2**53 - 1
LARGEST = 4 << 30  # bytes in one file; more is refused before it is read
LONGEST_NAME = 255  # bytes of a file's name
LONGEST = 16 << 20  # bytes of a text that people write
DEEPEST = 64  # levels of lists and objects in one document
BRACKETS = re.compile(rb"[\[\]{}]")


def canonical(value: Any) -> bytes:
    """Canonical JSON (RFC 8785) of plain data; tuples count as lists.

    Raises:
        SettingError: a number that is not finite, half a character, or nested without end.
    """
    try:
        return rfc8785.dumps(plain(value))
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise SettingError(f"cannot be written as JSON ({str(error)[:100]})") from None


def plain(value: Any) -> Any:
    """Plain JSON data: mappings to dicts, sequences to lists, NumPy scalars to Python's, whole numbers that JSON's do
    not hold to "0x..." (`whole` reads them).
    """
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        return hex(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def whole(value: int | str) -> int:
    """A whole number that `plain` wrote."""
    return int(value, 0) if isinstance(value, str) else value


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of a value's canonical JSON."""
    return sha256(canonical(value)).hexdigest()


def parsed(blob: bytes, name: str, **hooks: Callable[..., object]) -> Any:
    """What a JSON document says that nobody vouches for; `hooks` are those of `json.loads`.

    Raises:
        ArtifactError: not UTF-8, not JSON, or nested deeper than DEEPEST levels (brackets in text count, too).
    """
    try:
        depth = 0
        for bracket in BRACKETS.findall(blob):
            depth += 1 if bracket in b"[{" else -1
            if depth > DEEPEST:
                raise ValueError(f"nested deeper than {DEEPEST} levels")
        return json.loads(blob.decode("utf-8"), **hooks)  # type: ignore[arg-type]
    except ValueError as error:
        raise ArtifactError(f"{name}: not JSON as birthmark writes it ({str(error)[:100]}); it is damaged") from None


def toml(path: Path) -> dict[str, Any]:
    """What a TOML file of the user's says.

    Raises:
        SettingError: no text, larger than LONGEST, or not TOML.
    """
    try:
        return tomllib.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, SettingError):
            raise
        raise SettingError(f"{path}: not a TOML file that can be read ({str(error)[:200]})") from None


def text_of(path: Path) -> str:
    """A text file of the user's.

    Raises:
        SettingError: not one, or larger than LONGEST.
    """
    try:
        if path.stat().st_size > LONGEST:
            raise SettingError(f"{path}: larger than {LONGEST} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, SettingError):
            raise
        raise SettingError(f"{path}: not a text file that can be read ({str(error)[:200]})") from None


def file_digest(path: Path) -> str:
    """SHA-256, in hex, of a file's bytes."""
    total = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only place into one clear line."""
    try:
        yield
    except OSError as error:
        raise BirthmarkError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another place"
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a kill at any moment leaves the old one or the new one, never half of it."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@dataclass(frozen=True)
class Artifact:
    """A folder's content after every digest has been checked."""

    format: str
    digest: str
    data: Any
    tensors: Mapping[str, np.ndarray[Any, Any]]


def save_folder(folder: Path, format: str, data: Any, tensors: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Write an artefact as `folder` and return its digest; an existing artefact there is replaced whole.

    Args:
        format: "birthmark/<noun>/<version>".

    Raises:
        BirthmarkError: the disk is full, the place is not writable, or the tensors are more than `load_folder` reads.
    """
    checked_size(sum(value.nbytes for value in tensors.values()), str(folder))
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            (fresh / "data.json").write_bytes(canonical(data))
            _write_tensors(fresh / "tensors.safetensors", tensors)
            about = {path.name: {"sha256": file_digest(path), "bytes": path.stat().st_size} for path in fresh.iterdir()}
            manifest = canonical({"format": format, "files": about})
            (fresh / "manifest.json").write_bytes(manifest)
            os.chmod(fresh, 0o755)
            if folder.exists():
                if not (folder / "manifest.json").exists() and any(folder.iterdir()):
                    raise BirthmarkError(f"{folder} exists and is no birthmark artefact; choose another place")
                shutil.rmtree(folder)
            os.replace(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return sha256(manifest).hexdigest()


def checked_size(size: int, name: str) -> None:
    """Raise BirthmarkError for more bytes of tensors than `load_folder` reads; 1 MiB is left for their names."""
    if size > LARGEST - (1 << 20):
        raise BirthmarkError(
            f"{name}: {size / 2**30:.1f} GiB of answers and queries, and at most {LARGEST >> 30} GiB can be read; "
            "enrol with fewer queries (--set queries=), twins or references"
        )


def _write_tensors(path: Path, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
    try:
        save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(str(error)) from None
    os.chmod(path, 0o644)


def load_folder(folder: Path, format: str) -> Artifact:
    """Read an artefact, checking format, version, sizes and digests before any of it is used.

    Raises:
        ArtifactError: missing, truncated, edited, of another format, or made by a newer version.
    """
    manifest = _manifest(folder, format)
    blobs = {name: _checked(folder / name, entry) for name, entry in manifest["files"].items()}
    try:
        return Artifact(
            manifest["format"],
            sha256(canonical(manifest)).hexdigest(),
            parsed(blobs["data.json"], str(folder)),
            load(blobs["tensors.safetensors"]),
        )
    except (KeyError, ValueError, SafetensorError) as error:
        raise ArtifactError(
            f"{folder}: the digests hold, but the content cannot be read ({error}); it was not written by birthmark"
        ) from None


def _manifest(folder: Path, format: str) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise ArtifactError(f"{folder}: expected a folder written by birthmark, found no manifest.json there")
    if path.stat().st_size > 1 << 20:
        raise ArtifactError(f"{path}: a manifest of {path.stat().st_size} bytes is no manifest")
    try:
        manifest = parsed(path.read_bytes(), str(path))
        found, files = manifest["format"], manifest["files"]
        must(*(_plain_name(name) and isinstance(entry, dict) for name, entry in files.items()))
        canonical(manifest)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{path}: not a birthmark manifest; the file is damaged") from None
    noun, _, version = str(found).rpartition("/")
    ours, _, newest = format.rpartition("/")
    if noun != ours:
        raise ArtifactError(f"{folder}: expected a {ours}, got a {noun}")
    if not re.fullmatch("[0-9]{1,9}", version) or int(version) > int(newest):
        raise ArtifactError(
            f"{folder}: made by a newer birthmark (format {found}, this one reads up to {format}); upgrade birthmark"
        )
    return dict(manifest)


def _plain_name(name: str) -> bool:
    """Whether a name is one of a file beside the manifest, on every system."""
    return Path(name).name == name and len(name.encode()) <= LONGEST_NAME


def _checked(path: Path, entry: Mapping[str, Any]) -> bytes:
    if not path.is_file():
        raise ArtifactError(f"{path}: named in the manifest but missing; the artefact is incomplete")
    size = path.stat().st_size
    if size != entry.get("bytes") or size > LARGEST:
        raise ArtifactError(
            f"{path}: expected {entry.get('bytes')} bytes, got {size}; the file was truncated or edited"
        )
    blob = path.read_bytes()
    if sha256(blob).hexdigest() != entry.get("sha256"):
        raise ArtifactError(f"{path}: the SHA-256 differs from the manifest's; the file was edited or damaged")
    return blob
