"""Data sets, and their deterministic disjoint splits: owner, reserve, attacker, innocent, queries, test.

A set is one with a name (`known`, `tasks`), arrays of the user's (`archive`), a table (`tables`), or a folder of
pictures (`folder`). `chosen` reads what the user gives for each role and cuts nothing. What of a user's own set
is not as one would expect (words for labels, pictures turned, copies) is said in `Data.notes`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from birthmark.artifact import digest_of
from birthmark.data import tables, tasks
from birthmark.data.archive import npz, pair, single
from birthmark.data.folder import image_folder
from birthmark.data.known import DATASETS, cifar10, fashion_mnist
from birthmark.data.roles import parts_of
from birthmark.data.stored import UNKNOWN, Read, Stored, copies
from birthmark.errors import DataError, nearest
from birthmark.types import Labels, Samples
from birthmark.workshop.choices import ROLES, DataChoice

__all__ = [
    "DATASETS",
    "Data",
    "asked",
    "chosen",
    "cifar10",
    "fashion_mnist",
    "image_folder",
    "load",
    "npz",
    "own",
    "require",
    "split",
]
LEAST = 50  # different samples that can be split

HELD_OUT = ("queries", "test")


@dataclass(frozen=True)
class Data:
    """A data set cut into disjoint parts; `parts` maps a name to samples.

    The official test images (or a share of the rest where there are none) are held out: "queries" is where claims
    choose from, "test" measures accuracy and nothing else.

    Attributes:
        notes: what the owner must know of how the set was read.
    """

    name: str
    parts: Mapping[str, Samples]
    notes: tuple[str, ...] = ()

    def __getitem__(self, split: str) -> Samples:
        """A part, or a piece of it: "attacker", "attacker[:5000]", "reserve[1/3]" (the second third).

        Raises:
            UnknownName: no such part.
            DataError: no such piece.
        """
        match = re.fullmatch(r"([a-z]+)(?:\[(\d*):(\d*)\]|\[(\d+)/(\d+)\])?", split)
        if match is None or match[1] not in self.parts:
            raise nearest("data split", split, self.parts)
        whole = self.parts[match[1]]
        if match[5]:
            edges = np.linspace(0, len(whole), int(match[5]) + 1).astype(int)
            if int(match[4]) >= int(match[5]):
                raise DataError(f"expected a piece from 0 to {int(match[5]) - 1}, got {split!r}")
            return whole[edges[int(match[4])] : edges[int(match[4]) + 1]]
        return whole[int(match[2] or 0) : int(match[3] or len(whole))]

    def about(self, split: str = "owner") -> dict[str, str]:
        """What a card says of its data: the name, and a digest of what models are trained on.

        The foreign pool counts for cards on it alone, and what is held out for none.
        """
        foreign = split.startswith("foreign")
        parts = [part for part in sorted(self.parts) if part not in HELD_OUT and (part == "foreign") == foreign]
        return {"name": self.name, "sha256": digest_of([[part, self.parts[part].digest] for part in parts])}

    @property
    def shape(self) -> tuple[int, ...]:
        """One input's own shape."""
        return next(iter(self.parts.values())).shape

    @property
    def classes(self) -> int:
        """Number of classes; 0 for real-valued targets."""
        return next(iter(self.parts.values())).classes


SHARES = {"owner": 0.30, "reserve": 0.16, "attacker": 0.30, "innocent": 0.24}  # of what is not held out


def load(name: str, *, seed: int = 0, directory: str | Path | None = None, target: str = "") -> Data:
    """Load a data set by name, or from a path (docs/data.md), and cut it into the benchmark's six parts.

    The same name and seed give the same parts on every machine.

    Raises:
        DataError: not found, damaged, or too small to split.
    """
    place = str(directory or os.environ.get("BIRTHMARK_DATA") or "")
    if name in tasks.TASKS or name in DATASETS:
        return _known(name, seed, place)
    read = _readable(name, target)
    if read.train.classes == UNKNOWN:
        raise DataError(
            f"{name}: expected inputs with targets, got inputs alone; give --target-column NAME, or targets"
        )
    return own(name, read, seed=seed)


def chosen(choice: DataChoice, *, training: bool = False) -> Data:
    """What a user chose: one set, which is cut into the benchmark's parts, or sets for each role.

    Args:
        training: whether models are to be trained on it, which takes a reserve (`roles.parts_of`).

    Raises:
        DataError: not found, damaged, too small to split, or sets that do not fit each other.
    """
    roles = {role: place for role in ROLES if (place := getattr(choice, role))}
    if not roles:
        return load(choice.name, seed=choice.seed, directory=choice.directory, target=choice.target)
    reads = {role: _readable(place, choice.target, choice.directory) for role, place in roles.items()}
    parts, notes = parts_of(reads, choice.seed, training)
    return Data(", ".join(roles.values()), parts, notes)


def _readable(name: str, target: str, directory: Path | None = None) -> Read:
    if name in DATASETS:
        return DATASETS[name](directory)
    try:
        return _from_path(Path(name), target)
    except (OSError, ValueError) as error:  # too long a name, no right to read, inputs that are not finite
        raise DataError(f"{name[:200]}: cannot be read ({error})") from None


@lru_cache(maxsize=4)
def _known(name: str, seed: int, directory: str) -> Data:
    place = Path(directory) if directory else None
    if name in tasks.TASKS:
        return Data(name, tasks.parts(name, seed, lambda: fashion_mnist(place)))
    read = DATASETS[name](place)
    return split(name, read.train, read.held, seed=seed)


def _from_path(path: Path, target: str = "") -> Read:
    if path.is_dir():
        return _from_folder(path, target)
    if not path.is_file():
        raise nearest("data set", str(path), [*DATASETS, *tasks.TASKS])
    kind = path.suffix.lower()
    if kind == ".parquet":
        tables.arrow()
    if kind in tables.READERS:
        return tables.table(path, target)
    return single(path) if kind == ".npy" else npz(path)


def _from_folder(path: Path, target: str) -> Read:
    if (path / "data_batch_1.bin").is_file():
        return cifar10(path)
    if (path / "inputs.npy").is_file():
        return pair(path)
    return tables.hub(path, target) if tables.is_hub(path) else image_folder(path)


def own(name: str, read: Read, *, seed: int) -> Data:
    """Split a set of the user's own: copies of one input lie in one part, count once as queries, and are said."""
    held = None if read.held is None else replace(read.held, names=read.words)
    train, notes = replace(read.train, names=read.words), list(read.notes)
    first, *rest = copies(train, *([held] if held else []))
    repeated = len(first) - len(np.unique(first))
    if repeated:
        notes.append(
            f"{repeated} of {len(first)} inputs are copies of others: they share a part and count once as queries"
        )
    if held:
        fresh = np.unique(rest[0], return_index=True)[1]
        fresh = np.sort(fresh[~np.isin(rest[0][fresh], first)])
        if len(fresh) < len(held):
            seen = int(np.isin(rest[0], first).sum())
            again = len(held) - seen - len(fresh)
            notes.append(
                f"of {len(held)} held-out inputs {seen} lie in the training data, too, and {again} are copies of "
                "others: left out"
            )
        held = replace(held, inputs=held.inputs[fresh], targets=held.targets[fresh])
        if len(held) < 2:
            raise DataError(f"{name}: all held-out inputs lie in the training data, too; give others, or none")
    parts = split(name, train, held, seed=seed, groups=first)
    return Data(name, parts.parts, tuple(notes))


def split(
    name: str, train: Samples | Stored, held: Samples | Stored | None, *, seed: int, groups: Labels | None = None
) -> Data:
    """Cut samples into disjoint parts by seed; without official test samples 30 % are held out.

    Args:
        groups: of each sample its group (n,): a group is never torn apart, and has one query. Default each its own.

    Raises:
        DataError: fewer than LEAST samples, or groups.
    """
    sizes = np.unique(np.arange(len(train)) if groups is None else groups, return_inverse=True, return_counts=True)
    _, member, count = sizes
    if len(count) < LEAST:
        same = "" if len(count) == len(train) else f" different ones among {len(train)}"
        raise DataError(f"{name}: expected at least {LEAST} samples to split, got {len(count)}{same}; give more")
    random = np.random.default_rng(seed)
    rank = np.empty(len(count), dtype=np.int64)
    rank[random.permutation(len(count))] = np.arange(len(count))
    order = np.argsort(rank[member], kind="stable")  # samples, group by group
    edges = np.concatenate([[0], np.cumsum(count[np.argsort(rank)])])  # of the groups in that order

    def cut(start: int, end: int) -> Labels:
        return order[edges[start] : edges[end]]

    n, aside = len(count), 0
    if held is None:
        aside = round(0.3 * n)
        held, chosen = train, order[edges[np.arange(aside)]]
    else:
        chosen = random.permutation(len(held))
    ends = aside + np.round(np.cumsum(list(SHARES.values())) * (n - aside)).astype(int)
    half = len(chosen) // 2 if len(chosen) >= 4000 else round(len(chosen) * 0.6)
    parts = {
        part: train[cut(int(start), int(end))]
        for part, start, end in zip(SHARES, [aside, *ends[:-1]], ends, strict=True)
    }
    return Data(name, {**parts, "queries": held[chosen[:half]], "test": held[chosen[half:]]})


def require(data: Data, task_shape: tuple[int, ...], outputs: int) -> None:
    """Raise DataError unless the data's inputs and classes are those of a model."""
    if data.shape != task_shape or data.classes != outputs:
        raise DataError(
            f"{data.name}: inputs of shape {data.shape} with {data.classes} classes do not fit a model for "
            f"{task_shape} with {outputs}"
        )


def require_enough(data: Data, split: str) -> tuple[str, ...]:
    """What is thin in the parts that an owner's models are trained on, before any of them is.

    Args:
        split: the part that source and twins are trained on; the reserve is looked at as well.

    Returns:
        Warnings: classes with hardly any sample.

    Raises:
        DataError: so few samples, or so many of one class, that models learn to answer one class alone.
    """
    if not data.classes:
        return ()
    notes = []
    for part in (split, "reserve"):
        count = np.bincount(data[part].targets.astype(np.int64), minlength=data.classes)
        rest, total = int(count.sum() - count.max()), int(count.sum())
        if total < 2 * data.classes or rest < max(5, 0.03 * total):
            raise DataError(
                f"{data.name}: {part} has {total} samples of {data.classes} classes, {rest} outside the largest: too "
                "few to train models on that do more than name one class; give more samples, merge or leave out rare "
                "classes, or thin out the largest one"
            )
        thin = np.flatnonzero(count < 5)
        if len(thin):
            notes.append(
                f"{part} has fewer than 5 samples of class {', '.join(map(str, thin[:10]))}: models may never name them"
            )
    return tuple(notes)
