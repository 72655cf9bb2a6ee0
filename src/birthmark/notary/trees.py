"""A salted Merkle tree over a claim, so that single queries can be shown without the rest.

Hashes as in RFC 6962, 2.1; every leaf has a salt of its own, so that nobody can guess at what is not shown.
"""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from pydantic.dataclasses import dataclass as checked

from birthmark.artifact import canonical, digest_of
from birthmark.claim import Claim
from birthmark.errors import SettingError
from birthmark.notary.strict import STRICT, record, written

OPENING = "birthmark/opening/1"


@dataclass(frozen=True)
class Tree:
    """A Merkle tree over named contents, each salted, so that an opening gives none of the others away.

    Attributes:
        leaves: name and content digest of each. salt: of the whole tree; each leaf has its own from it.
    """

    leaves: tuple[tuple[str, str], ...]
    salt: bytes = field(repr=False)

    def _salt(self, place: int) -> bytes:
        return hmac.digest(self.salt, str(place).encode(), "sha256")

    def _hashes(self) -> list[bytes]:
        return [_leaf(self._salt(i), name, digest) for i, (name, digest) in enumerate(self.leaves)]

    @property
    def root(self) -> bytes:
        return _root(self._hashes())

    def opening(self, name: str) -> "Opening":
        """What shows that one leaf was committed to.

        Raises:
            SettingError: no leaf of that name.
        """
        names = [one for one, _ in self.leaves]
        if name not in names:
            raise SettingError(f"the claim has no {name!r}; its parts are {', '.join(names[:3])}, ... {names[-1]}")
        place = names.index(name)
        path = tuple(one.hex() for one in _path(self._hashes(), place))
        return Opening(name, self.leaves[place][1], self._salt(place).hex(), place, len(names), path)


@checked(frozen=True, config=STRICT)
class Opening:
    """One leaf of a committed claim, shown without the others.

    Attributes:
        name: such as "query/7". sha256: of its content. salt: of this leaf alone. place, leaves: where in the tree.
        path: hashes of its neighbours, from the leaf up.
    """

    name: str
    sha256: str
    salt: str
    place: int
    leaves: int
    path: tuple[str, ...]

    @property
    def blob(self) -> bytes:
        return written(self, OPENING)

    @classmethod
    def read(cls, blob: bytes, name: str) -> "Opening":
        """Raises ArtifactError for anything else."""
        return record(cls, blob, name, OPENING)

    def fits(self, root: str, leaves: int) -> bool:
        """Whether a tree of this root and size holds this leaf at this place."""
        if not 0 <= self.place < self.leaves == leaves:
            return False
        try:
            start = _leaf(bytes.fromhex(self.salt), self.name, self.sha256)
            found = _climbed(start, self.place, self.leaves, [bytes.fromhex(one) for one in self.path])
        except ValueError:
            return False
        return found == bytes.fromhex(root)


def _leaf(salt: bytes, name: str, digest: str) -> bytes:
    return sha256(b"\0" + salt + canonical([name, digest])).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _split(n: int) -> int:
    """The largest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def _root(hashes: Sequence[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    k = _split(len(hashes))
    return _node(_root(hashes[:k]), _root(hashes[k:]))


def _path(hashes: Sequence[bytes], place: int) -> list[bytes]:
    if len(hashes) == 1:
        return []
    k = _split(len(hashes))
    if place < k:
        return [*_path(hashes[:k], place), _root(hashes[k:])]
    return [*_path(hashes[k:], place - k), _root(hashes[:k])]


def _climbed(start: bytes, place: int, n: int, path: list[bytes]) -> bytes:
    """The root that a leaf and its neighbours give; ValueError for a path of another length."""
    if n == 1:
        if path:
            raise ValueError("too long")
        return start
    if not path:
        raise ValueError("too short")
    k = _split(n)
    if place < k:
        return _node(_climbed(start, place, k, path[:-1]), path[-1])
    return _node(path[-1], _climbed(start, place - k, n - k, path[:-1]))


def tree_of(claim: Claim, salt: bytes) -> Tree:
    """The tree over a claim: every query, the source's and the placebos' answers to it, and all else."""
    return Tree(tuple(_leaves(claim)), salt)


def _leaves(claim: Claim) -> Iterator[tuple[str, str]]:
    yield "claim", digest_of([claim.method, claim.settings, claim.task.plain(), claim.seed])
    for i, query in enumerate(claim.queries):
        yield f"query/{i}", array_digest(query)
    for name, tensor in sorted(claim.tensors.items()):
        if name == "owners" and tensor.ndim == 3 and tensor.shape[1] == len(claim.queries):
            for i in range(tensor.shape[1]):
                yield f"answer/{i}", array_digest(tensor[0, i])
                yield f"placebos/{i}", array_digest(tensor[1:, i])
        elif name != "queries":
            yield f"tensor/{name}", array_digest(tensor)


def array_digest(array: np.ndarray[Any, Any]) -> str:
    """SHA-256, in hex, of an array's type, shape and little-endian bytes."""
    if isinstance(array, str) or array.dtype.kind == "T":
        return digest_of(array if isinstance(array, str) else array.tolist())
    plain = np.ascontiguousarray(array)
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    return sha256(canonical([plain.dtype.str, list(array.shape)]) + plain.tobytes()).hexdigest()
