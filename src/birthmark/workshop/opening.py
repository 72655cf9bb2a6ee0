"""From files and names, as the command line has them, to an owner with a workshop, and to thefts."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from birthmark import data as datasets
from birthmark import registry
from birthmark.artifact import file_digest
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.carrying_out import carry_out
from birthmark.types import Answers, Plain, Samples
from birthmark.workshop.architectures import architecture_of
from birthmark.workshop.card import Card, as_card, is_code
from birthmark.workshop.choices import DataChoice, Making, ModelFile
from birthmark.workshop.code import code_digest, trainer
from birthmark.workshop.cohort import OTHER_START, SAME_START
from birthmark.workshop.modelfile import ModelHead, load_module, save_model
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import outputs
from birthmark.zoo.build import workshop
from birthmark.zoo.crew import Progress
from birthmark.zoo.executors import Executor
from birthmark.zoo.store import Store

CHEAPER = (
    "without twins: birthmark imprint teaches the finished model a key by one short fine-tune, birthmark compare holds "
    "a suspect's file against it; docs/placebos.md says what each costs"
)
STEPS = 250  # that a small network takes to learn more than one class


def open_owner(
    source: ModelFile,
    making: Making,
    data: DataChoice,
    *,
    cache: Path,
    engine: Executor,
    progress: Callable[[float], None] | None = None,
) -> tuple[Owner, Samples]:
    """Open a source file and its data as an owner; and the test samples. Nothing is trained yet.

    Args:
        engine: trains the owner's models, as long as the owner is in use; the caller closes it.

    Raises:
        SettingError: neither the file nor the owner says how the model was trained, or where it started.
        DataError: the data do not fit the model, or are too few to train its relatives on.
        ArtifactError: the file is not a model.
    """
    parts = datasets.chosen(data, training=True)
    if is_code(making.recipe) and not source.architecture:
        raise SettingError(
            f"the recipe {making.recipe} trains networks of your own: give --architecture module:function too, (shape, "
            f"outputs) -> untrained network, to read {source.path.name}"
        )
    module, model, about = load_module(
        source.path,
        architecture=source.architecture,
        shape=source.shape or parts.shape,
        classes=source.classes or parts.classes,
    )
    datasets.require(parts, model.shape, model.outputs)
    digest = file_digest(source.path)
    card, start = source_card(source, about.get("card"), making, parts, digest)
    notes = (*parts.notes, *datasets.require_enough(parts, card.split))
    store = Store(cache, trusted=(source.architecture,) if is_code(source.architecture) else ())
    owner = Owner(
        module,
        card,
        parts[card.split],
        parts["reserve"],
        parts["queries"],
        workshop(module, card, store, parts, engine, _shares(progress), start),
        values=not parts.classes,
        secret=int(digest, 16) % 2**128,
        twin_kind=OTHER_START if making.other_start else SAME_START,
        scratch=cache / "crafted",
        notes=notes,
    )
    owner.twin_cards(1)
    return owner, parts["test"]


def source_card(
    file: ModelFile, said: Plain | None, making: Making, parts: datasets.Data, digest: str
) -> tuple[Card, tuple[tuple[Card, nn.Module], ...]]:
    """The source's card: the one in its file, or a "given" one that names the recipe its twins follow; and, if they are
    given as a file, card and network of its initial weights.

    Raises:
        SettingError: neither is there, the start is unknown, or the file's card is about other data.
    """
    if not making.recipe and said and said.get("kind") == "trained":
        return _own_card(file.path, as_card(said), parts), ()
    if not making.recipe:
        raise SettingError(
            f"{file.path} does not say how it was trained, so no twin can be made; give --recipe (a built-in "
            f"architecture, or module:function: (seed, start) -> trained network) and --start. Or, {CHEAPER}"
        )
    if is_code(making.recipe):
        trainer(making.recipe)
    given = Card(
        "given",
        parts.about(making.split),
        making.split,
        making.recipe,
        training=making.training or (enough(len(parts[making.split])) if is_code(making.recipe) else {}),
        settings={"sha256": digest},
        code=code_digest(making.recipe, *([file.architecture] if is_code(file.architecture) else [])),
    )
    if making.start.isdecimal() or making.start[:2] == "0x":
        return replace(given, start=int(making.start, 0)), ()
    return _with_start(given, file, making, parts)


def _with_start(
    given: Card, file: ModelFile, making: Making, parts: datasets.Data
) -> tuple[Card, tuple[tuple[Card, nn.Module], ...]]:
    """The card of a source whose initial weights are given as a file, and theirs."""
    place = Path(making.start)
    if not making.start or not place.is_file():
        raise SettingError(
            f"expected where {file.path.name} started, got {making.start or 'nothing'}: give --start N, the seed of "
            "its initial weights, or --start FILE with those weights. Twins must start there "
            "too, or a stranger with the same start is accused. If nobody knows it, train the model again and keep "
            f"the seed (birthmark.seed() draws a secret one). Or, {CHEAPER}"
        )
    named = file.architecture if given.own_code else making.recipe
    network = load_module(place, architecture=named, shape=parts.shape, classes=parts["test"].outputs)[0]
    first = replace(given, training={}, settings={"sha256": file_digest(place)})
    return replace(given, parents=(first.key,)), ((first, network),)


def enough(n: int) -> dict[str, int]:
    """Settings of the built-in loop for references of a recipe of the user's own, which says nothing of them."""
    batch = 32 if n < 4000 else 128
    return {"batch": batch, "epochs": max(8, -(-STEPS * batch // max(n, 1)))}


def _own_card(path: Path, card: Card, parts: datasets.Data) -> Card:
    now = parts.about(card.split)
    if card.data.get("name") != now["name"] or card.data.get("sha256", now["sha256"]) != now["sha256"]:
        raise SettingError(
            f"{path} was trained on other data than {parts.name} holds now; give the data it was trained on, or train "
            "it again"
        )
    return replace(card, data=now)


def _shares(progress: Callable[[float], None] | None) -> Callable[[Progress], None] | None:
    return None if progress is None else lambda state: progress(state.done / max(state.total, 1))


@dataclass(frozen=True)
class Theft:
    """An attack by name with its settings, the part of the data that the thief has, and the most queries it sends."""

    attack: str
    settings: Plain = field(default_factory=dict)
    split: str = "attacker"
    budget: int | None = None
    seed: int = 0


def steal(plan: Theft, target: Oracle, out: Path, parts: datasets.Data) -> dict[str, Any]:
    """Run an attack on a target and write the stolen model; says what it cost and what it kept.

    What was answered is kept beside `out` until the model is there, so that an interrupted theft asks nothing twice.

    Raises:
        AccessError: the target grants less than the attack needs.
        BudgetError: the budget allows nothing.
        OracleError: the target failed; a new run goes on with what was answered.
    """
    attack, answered = registry.make("attacks", plan.attack, plan.settings), out.with_name(f"{out.name}.answers")
    out.parent.mkdir(parents=True, exist_ok=True)
    stolen, theft = carry_out(
        attack, target, parts[plan.split], parts["test"], seed=plan.seed, budget=plan.budget, answers=answered
    )
    kind = Answers.LOGITS if parts.classes else Answers.VALUES
    width = outputs(stolen, parts["test"].inputs[:1]).shape[1]
    about = {"attack": plan.attack, "settings": dict(plan.settings), "seed": plan.seed}
    save_model(out, stolen, ModelHead(architecture_of(stolen), parts.shape, width, kind), about)
    answered.unlink(missing_ok=True)
    return {
        "attack": plan.attack,
        "model": str(out),
        "queries": theft.queries,
        "seconds": theft.seconds,
        "accuracy": theft.accuracy,
        "target_accuracy": theft.source_accuracy,
        "agreement": None if math.isnan(theft.agreement) else theft.agreement,
        "failed": theft.failed,
        "notes": list(parts.notes),
    }
