"""What a user chooses, as nouns that several commands share: data, a model file, how the source was made. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROLES = ("train", "pool", "reserve", "test")


@dataclass(frozen=True)
class DataChoice:
    """Data: a set for each role, or one set that is cut into the benchmark's parts.

    Attributes:
        name: of one set, or its place; used if no role has a set of its own.
        directory: the folder that files of sets with a name are in.
        seed: of splits.
        train, pool, reserve, test: places of what the source was trained on, where queries are chosen from, what the
            source never saw, and what accuracy is measured on.
        target: the column to predict, where a table does not say.
    """

    name: str = "digits"
    directory: Path | None = None
    seed: int = 0
    train: str = ""
    pool: str = ""
    reserve: str = ""
    test: str = ""
    target: str = ""


@dataclass(frozen=True)
class ModelFile:
    """A model file, and what it does not say itself: architecture, one input's shape, number of classes or values."""

    path: Path
    architecture: str = ""
    shape: tuple[int, ...] = ()
    classes: int = 0


@dataclass(frozen=True)
class Making:
    """What the owner says of how the source was made.

    Attributes:
        recipe: a built-in architecture, or "module:function" (seed, start) -> trained network; default the file's card.
        start: seed of the source's initial weights, or a file that holds them; default what the file's card says.
        other_start: whether twins start elsewhere than the source, whose start is a secret seed then.
        same_start: whether it was said that they start where it does: of twins that are given somebody must say it.
        split: part of the data that the source was trained on.
        training: settings of the built-in loop.
    """

    recipe: str = ""
    start: str = ""
    other_start: bool = False
    same_start: bool = False
    split: str = "owner"
    training: Mapping[str, Any] = field(default_factory=dict)
