"""What a user chooses, as nouns that several commands share: data, a model file, how the source was made. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataChoice:
    """A data set: its name or place, the folder its files are in, and the seed of its splits."""

    name: str = "digits"
    directory: Path | None = None
    seed: int = 0


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
        split: part of the data that the source was trained on.
        training: settings of the built-in loop.
    """

    recipe: str = ""
    start: str = ""
    other_start: bool = False
    split: str = "owner"
    training: Mapping[str, Any] = field(default_factory=dict)
