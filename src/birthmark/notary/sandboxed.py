"""The judge's workbench for a source whose recipe is the owner's own code, which only a confined process ever runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birthmark.artifact import file_digest
from birthmark.data import Data
from birthmark.errors import SettingError
from birthmark.notary.strangers import Stranger
from birthmark.notary.workbench import Bench, judges, mixture
from birthmark.workshop.card import Card
from birthmark.workshop.choices import Making, ModelFile
from birthmark.workshop.opening import enough
from birthmark.workshop.owner import Owner
from birthmark.zoo.build import build
from birthmark.zoo.executors import Executor
from birthmark.zoo.store import Store

if TYPE_CHECKING:
    from torch import nn

    from birthmark.notary.cases import Case


@dataclass(frozen=True)
class Confinement:
    """How an owner's own code is run.

    Attributes:
        folder: where it lies. seconds: that one training may take.
        course: of the source's own training, the recipe's first argument.
    """

    folder: Path
    seconds: float
    course: int = 0


@dataclass(frozen=True)
class Workplace:
    """Where the judge works: the declared data, the judge's own if there are any, a store and what trains."""

    parts: Data
    theirs: Data | None
    store: Store
    engine: Executor


def stranger_bench(case: "Case", file: ModelFile, making: Making, code: Confinement, place: Workplace) -> Bench:
    """The bench for a source of the owner's own code.

    Raises:
        SettingError: no start that is a number, or no such folder.
        BirthmarkError: what the file holds cannot be read in a confined process.
    """
    if not making.start.isdecimal():
        raise SettingError("a recipe of the owner's own code takes --start N, the seed of the source's initial weights")
    parts, theirs = place.parts, place.theirs
    pools = [parts["queries"].inputs, case.claim.queries, *([theirs["test"].inputs] if theirs else [])]
    stranger = Stranger(code.folder, making.recipe, file.architecture, np.concatenate(pools), code.seconds)
    source, digest = stranger.read(file.path, parts.shape, parts["test"].outputs), file_digest(file.path)
    card = Card(
        "given",
        parts.about(making.split),
        making.split,
        making.recipe,
        start=int(making.start),
        training=making.training or enough(len(parts[making.split])),
        settings={"sha256": digest},
        code=stranger.code(),
    )
    pieces = (parts[making.split], parts["reserve"], parts["queries"])
    make, secret = partial(_made, stranger, place, parts), int(digest, 16) % 2**128
    owner, mixed = Owner(source, card, *pieces, make, values=not parts.classes, secret=secret), mixture(parts, theirs)
    judged = replace(owner, reserve=mixed["reserve"], make=partial(_made, stranger, place, mixed))
    own = judges(judged, mixed, theirs["test"] if theirs else None)
    return Bench(owner, own, digest, theirs is not None, lambda one: stranger.trained(one.start, code.course))


def _made(stranger: Stranger, place: Workplace, parts: Data, cards: Sequence[Card]) -> "list[nn.Module]":
    """Models of cards: those of the owner's own code in a confined process, the others in the judge's store."""
    build([one for one in cards if not one.own_code], place.store, data=parts, executor=place.engine)
    return [stranger.trained(one.start, one.course) if one.own_code else place.store.load(one.key) for one in cards]
