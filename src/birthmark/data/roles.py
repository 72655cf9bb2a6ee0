"""Data given apart: what the source was trained on, the pool that queries come from, the reserve, and a test set.

Each is whatever one data set may be. Words of classes are matched by name, numbers count alike in all; what the pool
shares with the training data is found by a hash of every row, and said.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from birthmark.data.stored import UNKNOWN, Read, Stored, copies
from birthmark.data.targets import numbered
from birthmark.errors import DataError
from birthmark.types import Labels, Samples

Reads = Mapping[str, Read]
NAMES = {"train": "owner", "pool": "queries", "reserve": "reserve", "test": "test"}  # roles, and the parts they become


def parts_of(reads: Reads, seed: int, training: bool) -> tuple[dict[str, Samples], tuple[str, ...]]:
    """The parts of data given apart, and what the owner must know.

    Args:
        reads: by role: "pool", perhaps "train", "reserve" and "test".
        training: whether models are to be trained: then there is a reserve and a test set, too; a labelled pool gives
            half of itself for the one, a fifth for the other, if they are not given.

    Raises:
        DataError: shapes, forms or classes that differ, or no targets where they are needed.
    """
    _there(reads, training)
    reads = _with_held(reads)
    _alike(reads)
    stored = _numbered(reads)
    chosen = _chosen(stored, seed, training)
    notes = [note if len(reads) == 1 else f"{role}: {note}" for role, read in reads.items() for note in read.notes]
    return {part: stored[role][places] for part, (role, places) in chosen.items()}, (*notes, *_overlaps(stored))


def _there(reads: Reads, training: bool) -> None:
    if missing := [role for role in ("train", "pool") if role not in reads and (training or role == "pool")]:
        raise DataError(f"data given apart: expected --{missing[0]}, got --{' and --'.join(reads)} alone")
    if training and reads["train"].train.classes == UNKNOWN:
        raise DataError("--train: expected inputs with targets, got inputs alone; name the column with --target-column")


def _with_held(reads: Reads) -> dict[str, Read]:
    """What the training set itself holds out is the test set, if none is given."""
    held = reads["train"].held if "train" in reads else None
    found = dict(sorted(reads.items(), key=lambda item: item[0] != "train"))
    if held is not None and "test" not in reads:
        found["test"] = Read(held, words=reads["train"].words)
    return found


def _alike(reads: Reads) -> None:
    first = next(iter(reads.values())).train
    scale = max(read.train.scale for read in reads.values())
    for role, read in reads.items():
        other = read.train
        if (other.form, other[:1].shape) != (first.form, first[:1].shape):
            wanted = f"{first.form} of shape {first[:1].shape} as in --{next(iter(reads))}"
            raise DataError(f"--{role}: expected {wanted}, got {other.form} of shape {other[:1].shape}")
        if scale != other.scale:
            raise DataError(f"--{role}: its values end at {other.scale:g}, others at {scale:g}; save them alike")


def _numbered(reads: Reads) -> dict[str, Stored]:
    """All sets with targets that count alike."""
    known = {f"--{role}": read for role, read in reads.items() if read.train.classes != UNKNOWN}
    targets, words = (
        numbered({role: _raw(read) for role, read in known.items()}, "data given apart") if known else ({}, [])
    )
    classes = max((read.train.classes for read in known.values()), default=0)
    found = {}
    for role, read in reads.items():
        mine = targets.get(f"--{role}", np.full(len(read.train), np.int64(UNKNOWN)))
        count = max(len(words), classes) if known else UNKNOWN
        found[role] = replace(read.train, targets=mine, classes=count, names=tuple(words))
    return found


def _raw(read: Read) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    return np.array(read.words)[read.train.targets.astype(np.int64)] if read.words else read.train.targets


def _chosen(stored: Mapping[str, Stored], seed: int, training: bool) -> dict[str, tuple[str, Labels]]:
    """For each part its role and its places there; copies count once as queries."""
    found = {part: (role, np.arange(len(stored[role]))) for role, part in NAMES.items() if role in stored}
    order = np.sort(np.unique(copies(stored["pool"])[0], return_index=True)[1])
    if training:
        labelled = bool((stored["pool"].targets.astype(float) >= 0).all()) or not stored["pool"].classes
        order = np.random.default_rng(seed).permutation(order)
        for part, share in (("reserve", 0.5), ("test", 0.2)):
            size = round(share * len(found["queries"][1])) if labelled and part not in found else 0
            if size:
                found[part], order = ("pool", np.sort(order[:size])), order[size:]
        found.setdefault("test", found["owner"])
    return {**found, "queries": ("pool", order)}


def _overlaps(stored: Mapping[str, Stored]) -> list[str]:
    """What the pool shares with the training data, and how much of it are copies."""
    *train, pool = copies(*(stored[role] for role in ("train", "pool") if role in stored))
    seen, again = int(np.isin(pool, train).sum()) if train else 0, len(pool) - len(np.unique(pool))
    notes = [f"{seen} of {len(pool)} inputs of the pool lie in the training data, too"] if seen else []
    return [*notes, *([f"{again} of {len(pool)} inputs of the pool are copies of others"] if again else [])]
