"""Enrolment by a recipe: twins, references and thefts are trained, then `birthmark.enrolment` makes the claim of what
they answer; and it says which of the owner's own thefts the claim would catch, with how many queries.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from birthmark import registry
from birthmark.answers import as_labels
from birthmark.artifact import checked_size
from birthmark.claim import Claim
from birthmark.enrolment import MEASURED, Also, Compared, check_inputs, finished
from birthmark.errors import BirthmarkError, NullError, SettingError, ShapeError
from birthmark.evidence import plain_data
from birthmark.method import Method
from birthmark.oracle import Function, Probabilities
from birthmark.types import Answers, Floats, Form, Samples
from birthmark.verdict import Nulls, conclude
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import reference_cards, surrogate_cards, treated_cards
from birthmark.workshop.owner import Owner, enrolling, survivors
from birthmark.workshop.reruns import Shown, same_models
from birthmark.workshop.training import outputs

BUDGETS = (20, 50, 100, 200, 500, 1000, 2000)


def train_and_enroll(
    owner: Owner,
    method: Method,
    *,
    seed: int,
    test: Samples | None = None,
    surrogates: int = 3,
    progress: Callable[[float], None] | None = None,
) -> Claim:
    """Make a claim, check it on the owner's own models, and say what it can reach.

    Args:
        seed: of the choice of queries, and together with the owner's secret of the twins' courses.
        test: held-out samples that accuracies are measured on; default the owner's pool.
        surrogates: number of small thefts by the owner, on the reserve, that the expected power is measured on.

    Returns:
        The claim, with `facts`: versions, source, twins, reruns, self_check, reach, power, warnings.

    Raises:
        BirthmarkError: the source is no rerun of its twins' recipe, or the claim accuses the owner's own independent
            references: the source lies close to everybody.
        ShapeError: the source's outputs do not fit the data.
    """
    check_inputs(owner, method)
    check_references(owner, int(getattr(method, "references", 0)))
    test, owner = owner.pool if test is None else test, enrolling(owner, seed)
    check_source(owner, test)
    check_size(owner, method)
    owner.make(relatives(owner, method))
    twins, references = (int(getattr(method, name, 0)) for name in ("placebos", "references"))
    check_twins(owner, twins)
    train = owner.train[:MEASURED]
    held, trained = (Shown(owner.owners_say(part.inputs, twins), part) for part in (test, train))
    if same := same_models(held.rows):
        raise BirthmarkError(
            f"claim refused: source and twins are not all different models ({same[0]} and {same[1]}, the source being "
            "0); the recipe must use its seed, for the order of the data at least"
        )
    found = Compared(held, trained, owner.references_say(test.inputs, references))
    claim = finished(method, owner, found, [*owner.notes, *replaced(owner, method)], Also(seed=seed, progress=progress))
    about = {
        "parameters": sum(p.numel() for p in owner.source.parameters()),
        "card": owner.card.key,
        "kind": owner.card.kind,
    }
    facts = {
        **claim.facts,
        "source": {**claim.facts["source"], **about, "kind": owner.card.kind},
        "power": power(claim, owner, surrogates) if surrogates else [],
    }
    return replace(claim, facts=plain_data(facts), twins=owner.twin_kind if twins else "")


def check_references(owner: Owner, n: int) -> None:
    """Raise SettingError, before anything is trained, unless independent models can be made for such inputs."""
    whole = owner.pool.inputs.dtype.kind in "iu"
    if n and owner.card.own_code and (whole or owner.task.form is not Form.NUMBERS):
        found = "whole numbers" if whole else owner.task.form.value
        raise SettingError(
            f"birthmark trains no independent models for inputs that are {found}; train them yourself, with the twins, "
            "and enrol them (--twin, --reference: docs/enroll.md), or take --references 0, which ends inconclusive"
        )


def check_twins(owner: Owner, n: int) -> None:
    """Raise BirthmarkError unless the source has its twins' architecture."""
    if n and _shapes(owner.source) != _shapes(owner.twins(1)[0]):
        raise BirthmarkError("claim refused: the source's architecture is not its twins'; give the --recipe it has")


def relatives(owner: Owner, method: Method) -> list[Card]:
    """The cards of all models that a method's claim takes, made side by side."""
    twins, references, treated = (int(getattr(method, name, 0)) for name in ("placebos", "references", "treated"))
    survivors(
        owner,
        [*owner.twin_cards(twins), *reference_cards(owner.card, references, drawn_by=owner.guard, flat=owner.flat)],
    )
    others, rows = owner.reference_cards(references), owner.treated_cards(references, treated)
    return [*owner.twin_cards(twins), *others, *(card for cards in rows for card in cards)]


def replaced(owner: Owner, method: Method) -> list[str]:
    """What to say of references and treated ones that could not be trained."""
    references, treated = (int(getattr(method, name, 0)) for name in ("references", "treated"))
    others, rows = owner.reference_cards(references), owner.treated_cards(references, treated)
    lost = len(
        {card.key for card in reference_cards(owner.card, references, flat=owner.flat)} - {card.key for card in others}
    )
    for usual, row in zip(treated_cards(owner.card, others, treated, flat=owner.flat), rows, strict=True):
        lost += len({card.key for card in usual} - {card.key for card in row})
    return [f"{lost} of the references and treated ones diverged or named one class alone: others took their place"] * (
        lost > 0
    )


def check_size(owner: Owner, method: Method) -> None:
    """Raise BirthmarkError, before anything is trained, for a claim of more answers than can be read again."""
    numbers = (int(getattr(method, name, 0)) for name in ("placebos", "references", "treated", "queries"))
    twins, references, treated, wanted = numbers
    if method.reruns:  # every party's answers to all queries are in the claim
        queries = min(wanted, int(getattr(method, "share", 1.0) * len(owner.pool)))
        checked_size(queries * owner.task.outputs * 8 * (1 + twins + references * (1 + treated)), method.name)


def check_source(owner: Owner, test: Samples) -> None:
    """Raise ShapeError unless the source answers the data's inputs with the data's number of outputs."""
    try:
        rows = outputs(owner.source, test.inputs[:4])
    except (RuntimeError, ValueError) as error:
        raise ShapeError(
            f"the source cannot answer inputs of shape {test.shape}: {str(error).splitlines()[0]}; give the data it "
            "was made for"
        ) from None
    if rows.shape[1] != owner.task.outputs:
        raise ShapeError(
            f"the source answers {rows.shape[1]} outputs, the data have {owner.task.outputs}; give the data it was "
            "trained on"
        )
    if not owner.values and (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-4):
        raise ShapeError(
            "the source returns probabilities, expected logits (birthmark applies softmax itself); leave its last "
            "softmax out"
        )


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def power(claim: Claim, owner: Owner, n: int) -> list[dict[str, Any]]:
    """What the claim says of the owner's own thefts.

    Z and p by number of queries, with probabilities and with labels.
    """
    cards = surrogate_cards(owner.card, n, flat=owner.flat)
    rows = []
    for card, model in zip(cards, owner.make(cards), strict=True):
        for kind in (Answers.VALUES,) if owner.values else (Answers.PROBABILITIES, Answers.LABELS):
            found = _curve(claim, outputs(model, claim.queries), kind)
            if found:
                rows.append(
                    {
                        "theft": card.attack,
                        "student": str(card.settings.get("student", "")),
                        "answers": kind.value,
                        "by_queries": found,
                    }
                )
    return rows


def _curve(claim: Claim, rows: Floats, kind: Answers) -> list[dict[str, float]]:
    scorer = registry.scorer(claim)
    if kind is Answers.LABELS:
        rows = as_labels(rows)
    elif kind is Answers.PROBABILITIES:
        if scorer.needs.name == "WEIGHTS":
            return []
        rows = Probabilities(Function(lambda _: rows, Answers.LOGITS))(claim.queries)
    curve = []
    for budget in [*(b for b in BUDGETS if b < len(rows)), len(rows)]:
        try:
            found = conclude(claim, rows[:budget], 0.05, "placebos", nulls=Nulls()).standing
        except (ValueError, NullError):
            continue
        curve.append({"queries": budget, "z": found.z, "p": found.p})
    return curve
