"""Commitments: what is fixed before an accusation, and what is drawn only afterwards.

What an owner could choose to fit a suspect (seeds of the source and of twins, the part of the pool that is asked) is a
hash of three things: the commitment, a secret that the commitment fixes by its digest, and a public random value of a
later round that it names. Nobody knows all three before that round, and nobody but the owner ever needs to.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from pydantic.dataclasses import dataclass as checked

from birthmark.artifact import canonical
from birthmark.errors import ArtifactError, SettingError, must
from birthmark.notary.strict import STRICT, moment, now, record, written
from birthmark.notary.trees import Tree
from birthmark.types import Plain

FORMAT, DRAWN = "birthmark/commitment/1", "birthmark/drawn/1"
BEFORE_TRAINING, BEFORE_DISPUTE = "before training", "before the dispute"
SECRET = 32  # bytes
TEST = ("method", "settings", "budget", "answers", "alpha", "null")
FIXED = {
    BEFORE_TRAINING: ("recipe", "environment", "data", "pool", *TEST),
    BEFORE_DISPUTE: ("source", "recipe", "environment", "data", "pool", *TEST),
}


@checked(frozen=True, config=STRICT)
class Commitment:
    """What an owner fixes by publishing a digest.

    Attributes:
        stage: "before training", the highest grade: the source's own seed is drawn, too; or "before the dispute": that
            seed was the owner's choice.
        owner: who commits, as they call themselves.
        time: when, by the owner's own clock; a time stamp says it for others.
        fixed: what cannot change any more (`FIXED`): digests of weights, data and pool, the recipe with its
            environment, and how suspects are tested.
        secret: SHA-256 of the owner's secret.
        beacon, round: whose public random value of which later round decides the draws.
        root, leaves: Merkle root over a claim that exists already, and the number of its leaves; "" and 0 without one.
        earlier: digests of all of the owner's commitments before this one, about the same source or not.
    """

    stage: str
    owner: str
    time: str
    fixed: Plain
    secret: str
    beacon: str
    round: str
    root: str = ""
    leaves: int = 0
    earlier: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.stage not in FIXED:
            raise ArtifactError(f"expected a commitment {' or '.join(FIXED)}, got {self.stage!r}")
        if missing := [name for name in FIXED[self.stage] if name not in self.fixed]:
            raise ArtifactError(f"a commitment {self.stage} fixes {', '.join(missing)}, too")
        if not self.beacon or not self.round:
            raise ArtifactError(
                "a commitment names the beacon and the later round whose public value decides the draws"
            )

        if self.root and self.stage == BEFORE_TRAINING:
            raise ArtifactError("no claim can be there before training; a commitment to one is made before the dispute")
        alpha, settings = self.fixed["alpha"], self.fixed["settings"]
        if type(alpha) is not float or not 0 < alpha < 1 or not isinstance(settings, dict):
            raise ArtifactError("a commitment fixes alpha, between 0 and 1, and settings by name")

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of its bytes."""
        return sha256(self.blob).hexdigest()

    @property
    def blob(self) -> bytes:
        """Its canonical JSON, which is what is signed and stamped."""
        return written(self, FORMAT)

    @classmethod
    def read(cls, blob: bytes, name: str) -> "Commitment":
        """A commitment from its bytes.

        Raises:
            ArtifactError: not one, another version, or of a time in the future.
        """
        found = record(cls, blob, name, FORMAT)
        moment(found.time, name)
        return found


@checked(frozen=True, config=STRICT)
class Drawn:
    """What a commitment's round has brought, and the owner's secret: from here on every choice follows.

    Attributes:
        commitment: its digest. value: the round's public random value, in hex. secret: in hex.
    """

    commitment: str
    value: str
    secret: str

    def __post_init__(self) -> None:
        if not (re.fullmatch("[0-9a-f]{32,}", self.value) and re.fullmatch("[0-9a-f]{64}", self.secret)):
            raise ArtifactError("a draw holds a public value and a secret in hexadecimal digits")

    @property
    def blob(self) -> bytes:
        return written(self, DRAWN)

    @classmethod
    def read(cls, blob: bytes, name: str) -> "Drawn":
        """Raises ArtifactError for anything else."""
        return record(cls, blob, name, DRAWN)

    def seed(self, *words: str | int) -> int:
        """A seed of 128 bits for what the words name, such as "start", "course", "twins"."""
        key = bytes.fromhex(self.secret)
        return int.from_bytes(hmac.digest(key, canonical([self.commitment, self.value, *words]), "sha256")[:16])

    def key(self, *words: str | int) -> bytes:
        """A key of 32 bytes for what the words name."""
        return hmac.digest(
            bytes.fromhex(self.secret), canonical([self.commitment, self.value, "key", *words]), "sha256"
        )

    def part(self, n: int, share: float) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """The part of a pool of `n` inputs that may be asked, as rising places."""
        order = np.random.default_rng(self.seed("pool")).permutation(n)
        return np.sort(order[: max(1, int(share * n))])


def draw(commitment: Commitment, value: str, secret: bytes) -> Drawn:
    """What follows from a commitment once its round has come.

    Args:
        value: the round's public random value, at least 128 bits in hex.

    Raises:
        ArtifactError: the secret is not the committed one.
        SettingError: no such value.
    """
    try:
        must(len(bytes.fromhex(value)) >= 16)
    except ValueError:
        raise SettingError(
            f"expected a public random value of at least 32 hexadecimal digits, got {value[:80]!r}"
        ) from None
    if sha256(secret).hexdigest() != commitment.secret:
        raise ArtifactError("this secret is not the one that the commitment fixed")
    return Drawn(commitment.digest, value.lower(), secret.hex())


def commit(
    stage: str,
    owner: str,
    fixed: Plain,
    secret: bytes,
    *,
    round: tuple[str, str],
    tree: "Tree | None" = None,
    earlier: Sequence[str] = (),
) -> Commitment:
    """A commitment of this moment.

    Args:
        round: the beacon and its round.
        tree: over a claim that is there already.
    """
    root, leaves = (tree.root.hex(), len(tree.leaves)) if tree else ("", 0)
    digest = sha256(secret).hexdigest()
    return Commitment(stage, owner, now(), dict(fixed), digest, *round, root, leaves, tuple(earlier))


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET)


def read_secret(path: Path) -> bytes:
    """An owner's secret from its file.

    Raises:
        ArtifactError: not one.
    """
    try:
        found = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        raise ArtifactError(f"{path}: expected the secret of a commitment, {2 * SECRET} hexadecimal digits") from None
    if len(found) != SECRET:
        raise ArtifactError(f"{path}: expected a secret of {2 * SECRET} hexadecimal digits, got {2 * len(found)}")
    return found
