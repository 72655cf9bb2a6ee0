"""Secrets of watermarks: one master key, from which every client's key follows (HKDF-SHA256, RFC 5869).

A secret is 32 bytes. It is read from a file that only its owner may read, or from an environment variable
("env:NAME"), and never printed: `Secret` shows a fingerprint instead of itself.
"""

import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256, shake_256
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from birthmark.errors import ArtifactError, SettingError
from birthmark.secrets import keep
from birthmark.types import Floats

BYTES = 32


@dataclass(frozen=True)
class Secret:
    """32 bytes that never show themselves in a message, a log or a traceback."""

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) != BYTES:
            raise SettingError(
                f"expected a key of {BYTES} bytes, got {len(self.value)}; make one with `birthmark key new`"
            )

    @cached_property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart and reveal nothing of them."""
        return sha256(b"birthmark/fingerprint/1" + self.value).hexdigest()[:8]

    def __str__(self) -> str:
        return f"key {self.fingerprint}"

    def derive(self, *path: str | int) -> "Secret":
        """The key for a purpose, named by a path such as ("client", "alice", 0); one cannot be guessed from another."""
        info = b"birthmark/key/1" + b"".join(b"/" + str(part).encode().hex().encode() for part in path)
        return Secret(HKDF(SHA256(), BYTES, salt=None, info=info).derive(self.value))

    def uniforms(self, n: int) -> Floats:
        """n numbers uniform on [0, 1).

        SHAKE-256 of the key, so they are the same under every version of every library.
        """
        words = np.frombuffer(shake_256(self.value).digest(8 * n), dtype="<u8")
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def new_secret() -> Secret:
    """A fresh one from the operating system."""
    return Secret(secrets.token_bytes(BYTES))


def write_secret(path: Path, secret: Secret) -> None:
    """Write a secret to a new file that only its owner may read.

    Raises:
        ArtifactError: there is a file already (a key is never overwritten), or the place is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ArtifactError(
            f"{path} exists; a key is never overwritten: choose another place, or move the old key away"
        ) from None
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(handle, "w") as file:
        file.write(secret.value.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_secret(place: str | Path) -> Secret:
    """Read a secret from a file, or from an environment variable given as "env:NAME".

    Raises:
        ArtifactError: missing, readable by others, or not 64 hex digits.
    """
    name = str(place)
    if name.startswith("env:"):
        text = os.environ.get(name[4:], "")
        if not text:
            raise ArtifactError(f"expected a key in the environment variable {name[4:]}, found nothing there")
        return _parsed(text, f"environment variable {name[4:]}")
    path = Path(place)
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ArtifactError(f"{path}: expected a key file, found something else")
            if found.st_mode & 0o077:
                raise ArtifactError(
                    f"{path}: expected a key file that only its owner may read (mode 600), found mode "
                    f"{found.st_mode & 0o777:03o}; run chmod 600, and make a new key if others may have read it"
                )
            text = file.read(4096).decode("ascii", "replace")
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot read the key ({error.strerror}); make one with `birthmark key new`"
        ) from None
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> Secret:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text.strip()):
        raise ArtifactError(
            f"{where}: expected {2 * BYTES} hex digits, found something else; make a key with `birthmark key new`"
        )
    keep(text.strip(), bytes.fromhex(text.strip()))
    return Secret(bytes.fromhex(text.strip()))
