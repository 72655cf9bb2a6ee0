"""Data given apart: what the source was trained on, the pool that queries come from, the reserve, and a test set.

Each is whatever one data set may be. Words of classes are matched by name, numbers count alike in all; what the pool
shares with the training data is found by a hash of every row, and said.
"""

from collections.abc import Mapping

import numpy as np

from birthmark.data.stored import UNKNOWN, Read, Stored, copies
from birthmark.data.targets import numbered
from birthmark.errors import DataError
from birthmark.types import Labels, Samples

Reads = Mapping[str, Read]
NAMES = {"train": "owner", "pool": "queries", "reserve": "reserve", "test": "test"}  # roles, and the parts they become


def parts_of(reads: Reads, seed: int) -> tuple[dict[str, Samples], tuple[str, ...]]:
    """The parts of data given apart, and what the owner must know.

    Args:
        reads: by role: "train" and "pool", perhaps "reserve" and "test".

    Raises:
        DataError: shapes, forms or classes that differ, or no labels where they are needed.
    """
    if "train" not in reads or "pool" not in reads:
        raise DataError("data given apart: expected --train and --pool, got --" + " and --".join(reads))
    reads = _with_held(reads)
    if reads["train"].train.classes == UNKNOWN:
        raise DataError("--train: expected inputs with targets, got inputs alone; name the column with --target-column")
    _alike(reads)
    stored = _numbered(reads)
    chosen = _chosen(stored, seed)
    notes = [note if len(reads) == 1 else f"{role}: {note}" for role, read in reads.items() for note in read.notes]
    return {part: stored[role][places] for part, (role, places) in chosen.items()}, (*notes, *_overlaps(stored))


def whole(reads: Reads) -> tuple[dict[str, Samples], tuple[str, ...]]:
    """The pool and, if it is given, the training data, of which nothing is cut off or trained on; and notes.

    Raises:
        DataError: shapes, forms or classes that differ.
    """
    if "train" not in reads or reads["train"].train.classes == UNKNOWN:
        return {"queries": reads["pool"].train[:]}, reads["pool"].notes
    _alike(reads)
    stored = _numbered(reads)
    notes = [f"{role}: {note}" for role, read in reads.items() for note in read.notes]
    return {NAMES[role]: rows[:] for role, rows in stored.items()}, (*notes, *_overlaps(stored))


def _with_held(reads: Reads) -> dict[str, Read]:
    """What the training set itself holds out is the test set, if none is given."""
    held = reads["train"].held
    found = dict(reads)
    if held is not None and "test" not in reads:
        found["test"] = Read(held, words=reads["train"].words)
    return found


def _alike(reads: Reads) -> None:
    first = reads["train"].train
    scale = max(read.train.scale for read in reads.values())
    for role, read in reads.items():
        other = read.train
        if (other.form, other[:1].shape) != (first.form, first[:1].shape):
            raise DataError(
                f"--{role}: expected {first.form} of shape {first[:1].shape} as in --train, got {other.form} of shape "
                f"{other[:1].shape}"
            )
        if scale != other.scale:
            raise DataError(f"--{role}: its values end at {other.scale:g}, others at {scale:g}; save them alike")


def _numbered(reads: Reads) -> dict[str, Stored]:
    """All sets with targets that count alike."""
    known = {role: read for role, read in reads.items() if read.train.classes != UNKNOWN}
    raw = {f"--{role}": _raw(read) for role, read in known.items()}
    targets, words = numbered(raw, "data given apart")
    most = max(read.train.classes for read in known.values())
    classes = (max(len(words), most)) if targets["--train"].dtype == np.int64 else 0
    unknown = np.int64(UNKNOWN)
    return {
        role: Stored(
            read.train.inputs,
            targets.get(f"--{role}", np.full(len(read.train), unknown)),
            classes,
            read.train.scale,
            read.train.form,
        )
        for role, read in reads.items()
    }


def _raw(read: Read) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    return np.array(read.words)[read.train.targets.astype(np.int64)] if read.words else read.train.targets


def _chosen(stored: Mapping[str, Stored], seed: int) -> dict[str, tuple[str, Labels]]:
    """For each part its role and its places there. Copies count once as queries; a reserve that is not given is half
    of a pool with labels, a test set a fifth of it.
    """
    first = copies(stored["pool"])[0]
    once = np.sort(np.unique(first, return_index=True)[1])
    order = np.random.default_rng(seed).permutation(once)
    labelled = stored["pool"].targets.min() >= 0 or stored["pool"].classes == 0
    found = {"owner": ("train", np.arange(len(stored["train"])))}
    for part, share in (("reserve", 0.5), ("test", 0.2)):
        size = round(share * len(once)) if labelled else 0
        if part in stored:
            found[part] = (part, np.arange(len(stored[part])))
        elif size:
            found[part], order = ("pool", np.sort(order[:size])), order[size:]
        elif part == "test":
            found[part] = ("train", np.arange(len(stored["train"])))
    return {**found, "queries": ("pool", order)}


def _overlaps(stored: Mapping[str, Stored]) -> list[str]:
    """What the pool shares with the training data, and how much of it are copies."""
    train, pool = copies(stored["train"], stored["pool"])
    seen, again = int(np.isin(pool, train).sum()), len(pool) - len(np.unique(pool))
    notes = [f"{seen} of {len(pool)} inputs of the pool lie in the training data, too"] if seen else []
    return [*notes, *([f"{again} of {len(pool)} inputs of the pool are copies of others"] if again else [])]
