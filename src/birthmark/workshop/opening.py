"""From files and names, as the command line has them, to an owner with a workshop, and to thefts."""

import math
from collections.abc import Callable, Mapping
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
    source: Path,
    *,
    recipe: str,
    data: str,
    data_dir: Path | None,
    data_seed: int,
    split: str,
    training: Mapping[str, Any],
    cache: Path,
    engine: Executor,
    architecture: str,
    shape: tuple[int, ...],
    classes: int,
    twins: int,
    references: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[Owner, Samples]:
    """Open a source file and its data as an owner, with twins and references already made; and the test samples.

    Args:
        engine: trains the owner's models, as long as the owner is in use; the caller closes it.

    Raises:
        SettingError: neither the file nor the caller says how the model was trained.
        DataError: the data do not fit the model, or are too few to train its relatives on.
        ArtifactError: the file is not a model.
    """
    parts = datasets.load(data, seed=data_seed, directory=data_dir)
    code = is_code(recipe) and not architecture
    if code:
        raise SettingError(
            f"the recipe {recipe} trains networks of your own: give --architecture module:function too, (shape, "
            f"outputs) -> untrained network, to read {source.name}"
        )
    module, model, about = load_module(
        source, architecture=architecture, shape=shape or parts.shape, classes=classes or parts.classes
    )
    datasets.require(parts, model.shape, model.outputs)
    card = source_card(
        source, about.get("card"), recipe=recipe, data=data, data_seed=data_seed, split=split, training=training
    )
    notes = (*parts.notes, *datasets.require_enough(parts, card.split))
    store = Store(cache, trusted=(architecture,) if is_code(architecture) else ())
    make = workshop(module, card, store, parts, engine, _shares(progress))
    make([*twin_cards(card, twins), *reference_cards(card, references)])
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


def source_card(
    source: Path,
    said: Mapping[str, Any] | None,
    *,
    recipe: str,
    data: str,
    data_seed: int,
    split: str,
    training: Mapping[str, Any],
) -> Card:
    """The source's card: the one in its file, or a "given" one that names the recipe its twins follow.

    Raises:
        SettingError: neither is there.
    """
    if not recipe and said and said.get("kind") == "trained":
        return as_card(said)
    if not recipe:
        raise SettingError(
            f"{source} does not say how it was trained, so no twin can be made; give --recipe (a built-in "
            "architecture, or module:function: seed -> trained network)"
        )
    about = {"name": data, "seed": data_seed}
    return Card(
        kind="given",
        data=about,
        split=split,
        recipe=recipe,
        seed=0,
        training=training,
        settings={"sha256": file_digest(source)},
    )


def _shares(progress: Callable[[float], None] | None) -> Callable[[Progress], None] | None:
    return None if progress is None else lambda state: progress(state.done / max(state.total, 1))


def steal(
    name: str,
    target: Oracle,
    out: Path,
    parts: datasets.Data,
    *,
    split: str,
    budget: int | None,
    settings: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Run an attack on a target and write the stolen model; says what it cost and what it kept.

    What was answered is kept beside `out` until the model is there, so that an interrupted theft asks nothing twice.

    Raises:
        AccessError: the target grants less than the attack needs.
        BudgetError: the budget allows nothing.
        OracleError: the target failed; a new run goes on with what was answered.
    """
    attack, answered = registry.make("attacks", name, settings), out.with_name(f"{out.name}.answers")
    out.parent.mkdir(parents=True, exist_ok=True)
    stolen, theft = carry_out(attack, target, parts[split], parts["test"], seed=seed, budget=budget, answers=answered)
    kind = Answers.LOGITS if parts.classes else Answers.VALUES
    width = outputs(stolen, parts["test"].inputs[:1]).shape[1]
    about = {"attack": name, "settings": dict(settings), "seed": seed}
    save_model(out, stolen, ModelHead(architecture_of(stolen), parts.shape, width, kind), about)
    answered.unlink(missing_ok=True)
    return {
        "attack": name,
        "model": str(out),
        "queries": theft.queries,
        "seconds": theft.seconds,
        "accuracy": theft.accuracy,
        "target_accuracy": theft.source_accuracy,
        "agreement": None if math.isnan(theft.agreement) else theft.agreement,
        "failed": theft.failed,
    }
