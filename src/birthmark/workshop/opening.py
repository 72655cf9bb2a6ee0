"""From files and names, as the command line has them, to an owner with a workshop, and to thefts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from birthmark import data as datasets
from birthmark import registry
from birthmark.artifact import file_digest
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.carrying_out import carry_out
from birthmark.types import Answers, Samples
from birthmark.workshop.card import Card
from birthmark.workshop.choices import DataChoice, Making, ModelFile
from birthmark.workshop.cohort import reference_cards, twin_cards
from birthmark.workshop.modelfile import ModelHead, load_module, save_model
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import outputs
from birthmark.zoo.build import workshop
from birthmark.zoo.crew import Progress
from birthmark.zoo.executors import Executor
from birthmark.zoo.make import is_code
from birthmark.zoo.store import Store, architecture_of, as_card


def open_owner(
    source: ModelFile,
    making: Making,
    data: DataChoice,
    *,
    cohort: tuple[int, int],
    cache: Path,
    engine: Executor,
    progress: Callable[[float], None] | None = None,
) -> tuple[Owner, Samples]:
    """Open a source file and its data as an owner, with twins and references already made; and the test samples.

    Args:
        cohort: numbers of twins and of references.
        engine: trains the owner's models, as long as the owner is in use; the caller closes it.

    Raises:
        SettingError: neither the file nor the caller says how the model was trained.
        DataError: the data do not fit the model, or are too few to train its relatives on.
        ArtifactError: the file is not a model.
    """
    parts = datasets.load(data.name, seed=data.seed, directory=data.directory)
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
    card = source_card(source.path, about.get("card"), making, data)
    notes = (*parts.notes, *datasets.require_enough(parts, card.split))
    store = Store(cache, trusted=(source.architecture,) if is_code(source.architecture) else ())
    make = workshop(module, card, store, parts, engine, _shares(progress))
    make([*twin_cards(card, cohort[0]), *reference_cards(card, cohort[1])])
    return Owner(
        module,
        card,
        parts[card.split],
        parts["reserve"],
        parts["queries"],
        make,
        values=not parts.classes,
        scratch=cache / "crafted",
        notes=notes,
    ), parts["test"]


def source_card(source: Path, said: Mapping[str, Any] | None, making: Making, data: DataChoice) -> Card:
    """The source's card: the one in its file, or a "given" one that names the recipe its twins follow.

    Raises:
        SettingError: neither is there.
    """
    if not making.recipe and said and said.get("kind") == "trained":
        return as_card(said)
    if not making.recipe:
        raise SettingError(
            f"{source} does not say how it was trained, so no twin can be made; give --recipe (a built-in "
            "architecture, or module:function: seed -> trained network)"
        )
    return Card(
        kind="given",
        data={"name": data.name, "seed": data.seed},
        split=making.split,
        recipe=making.recipe,
        seed=0,
        training=making.training,
        settings={"sha256": file_digest(source)},
    )


def _shares(progress: Callable[[float], None] | None) -> Callable[[Progress], None] | None:
    return None if progress is None else lambda state: progress(state.done / max(state.total, 1))


@dataclass(frozen=True)
class Theft:
    """An attack by name with its settings, the part of the data that the thief has, and the most queries it sends."""

    attack: str
    settings: Mapping[str, Any] = field(default_factory=dict)
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
    }
