"""Enrolment: from a source and its recipe to a claim that has been tested on the owner's own models first.

A claim is only handed out after a self-check: does the source look like a rerun of its recipe, do the owner's own
independent references stay unaccused, and which of the owner's own thefts would it catch, with how many queries?
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
from torch import nn

from birthmark import registry, stats
from birthmark.claim import Claim
from birthmark.errors import BirthmarkError, NullError, SettingError, ShapeError
from birthmark.evidence import plain_data
from birthmark.method import Method
from birthmark.oracle import Function, Probabilities
from birthmark.types import Answers, Floats, Form, Plain, Samples
from birthmark.verdict import LEAST_REFERENCES, Nulls, conclude
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import reference_cards, surrogate_cards, treated_cards
from birthmark.workshop.owner import Owner, survivors
from birthmark.workshop.reruns import LEAST, LEVEL, Comparison, compare
from birthmark.workshop.seeds import drawn
from birthmark.workshop.training import accuracy, outputs, probabilities

BUDGETS = (20, 50, 100, 200, 500, 1000, 2000)
MEASURED = 2000  # training samples that source and twins are compared on
REFUSED = 0.01  # a claim is refused if so many references would be accused by chance with less than this probability


def enroll(
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
    test, owner = owner.pool if test is None else test, enrolling(owner, seed)
    check_source(owner, test)
    owner.make(relatives(owner, method))
    twins, references = owner.twins(getattr(method, "placebos", 0)), owner.references(getattr(method, "references", 0))
    compared = reruns(owner, twins, references, test)
    if progress is not None:
        progress(0.5)
    claim = method.fit(owner, seed=seed)
    if progress is not None:
        progress(0.7)
    checked = self_check(claim)
    warnings = [*owner.notes, *replaced(owner, method), *claim.facts.get("warnings", ()), *leaning(checked)]
    if twins and not compared:
        warnings.append(
            f"{len(twins)} twins: with fewer than {LEAST} nobody can tell whether the source is their rerun"
        )
    facts = {
        **claim.facts,
        "versions": versions(),
        "source": {
            "accuracy": accuracy(owner.source, test),
            "parameters": sum(p.numel() for p in owner.source.parameters()),
            "card": owner.card.key,
            "kind": owner.card.kind,
        },
        "twins": {"n": len(twins), "accuracy": [round(accuracy(twin, test), 4) for twin in twins]},
        "reruns": compared,
        "self_check": checked,
        "reach": reach(claim),
        "power": power(claim, owner, surrogates) if surrogates else [],
        "warnings": warnings,
    }
    if progress is not None:
        progress(1.0)
    return replace(claim, facts=plain_data(facts), twins=owner.twin_kind if twins else "")


def enrolling(owner: Owner, seed: int) -> Owner:
    """The owner in one enrolment, whose seed has its part in the twins' courses."""
    return replace(owner, secret=drawn("enrolment", owner.secret, seed))


def relatives(owner: Owner, method: Method) -> list[Card]:
    """The cards of all models that a method's claim takes, made side by side."""
    twins, references, treated = (int(getattr(method, name, 0)) for name in ("placebos", "references", "treated"))
    survivors(owner, [*owner.twin_cards(twins), *reference_cards(owner.card, references, drawn_by=owner.guard)])
    others, rows = owner.reference_cards(references), owner.treated_cards(references, treated)
    return [*owner.twin_cards(twins), *others, *(card for cards in rows for card in cards)]


def replaced(owner: Owner, method: Method) -> list[str]:
    """What to say of references and treated ones that could not be trained."""
    references, treated = (int(getattr(method, name, 0)) for name in ("references", "treated"))
    others, rows = owner.reference_cards(references), owner.treated_cards(references, treated)
    lost = len({card.key for card in reference_cards(owner.card, references)} - {card.key for card in others})
    for usual, row in zip(treated_cards(owner.card, others, treated), rows, strict=True):
        lost += len({card.key for card in usual} - {card.key for card in row})
    return [f"{lost} of the references and treated ones diverged or named one class alone: others took their place"] * (
        lost > 0
    )


def check_inputs(owner: Owner, method: Method) -> None:
    """Raise SettingError for a method that changes its queries, and inputs that nobody can change a little."""
    whole = owner.pool.inputs.dtype.kind in "iu"
    if not method.any_inputs and (whole or owner.task.form is not Form.NUMBERS):
        found = "whole numbers" if whole else owner.task.form.value
        raise SettingError(
            f"{method.name} makes queries by changing pixels or features, and these inputs are {found}; use a method "
            "that chooses them from the pool: kinship, akh, random-queries, sac-normal"
        )


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


def self_check(claim: Claim) -> dict[str, Any]:
    """The references' own verdicts: how often the claim would accuse models that the owner knows to be innocent."""
    rows = list[dict[str, float]]()
    for i, answers in enumerate(claim.references):
        try:
            found = conclude(claim.without(i), answers, 0.05, "placebos", nulls=Nulls()).standing
        except NullError:
            rows.append({})  # no placebos: nothing to rank among
        else:
            rows.append({"z": found.z, "p": found.p})
    accused = sum(row.get("p", 1.0) <= 0.05 for row in rows)
    chance = float(1 - _binomial_below(accused, len(rows), 0.05)) if rows else 1.0
    if chance < REFUSED:
        raise BirthmarkError(
            f"claim refused: it would accuse {accused} of the owner's own {len(rows)} independent references at .05 "
            f"(chance {chance:.2g}); "
            "this source lies close to everybody. Train the source again under another seed, or enrol with more twins "
            "and references (--twins, --references)"
        )
    return {"references": rows, "accused_at_.05": accused, "n": len(rows)}


def _binomial_below(hits: int, n: int, share: float) -> float:
    from scipy.stats import binom

    return float(binom.cdf(hits - 1, n, share))


def reruns(owner: Owner, twins: Sequence[nn.Module], references: Sequence[nn.Module], test: Samples) -> dict[str, Any]:
    """What the comparison of source and twins found, for the claim's facts; empty with too few twins to compare.

    Raises:
        BirthmarkError: the source is no rerun of its twins' recipe: then an innocent's p is not exact.
    """
    if len(twins) < LEAST:
        return {}
    models = [owner.source, *twins]
    if _shapes(owner.source) != _shapes(twins[0]):
        raise BirthmarkError("claim refused: the source's architecture is not its twins'; give the --recipe it has")
    answer, train = outputs if owner.values else probabilities, owner.train[:MEASURED]
    held, trained = ([answer(model, part.inputs) for model in models] for part in (test, train))
    if len({rows.tobytes() for rows in held}) < len(held):
        raise BirthmarkError(
            "claim refused: source and twins are not all different models; the recipe must use its seed, for the order "
            "of the data at least"
        )
    found = compare(held, trained, [answer(model, test.inputs) for model in references], test, train)
    if off := _off(found):
        raise BirthmarkError(
            f"claim refused: the source is no rerun of its twins' recipe: {'; '.join(map(str, off[:3]))}. Say how the "
            "source was made: recipe, --training (epochs, smoothing), --split and --start. Of honest sources less "
            "than 1 % are refused: enrol again with another --seed"
        )
    return {
        "level": LEVEL,
        "detectable_sd": round(found[0].detectable, 1),
        "numbers": {
            one.name: {"source": one.source, "twins": [min(one.twins), max(one.twins)], "p": one.p} for one in found
        },
    }


def _off(found: Sequence[Comparison]) -> list[Comparison]:
    """The numbers by which the source is no rerun, the farthest first."""
    return sorted((one for one in found if one.p < one.level), key=lambda one: one.p)


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def leaning(checked: Plain) -> list[str]:
    accused, n = checked["accused_at_.05"], checked["n"]
    few = f"{n} references: with fewer than {LEAST_REFERENCES} every verdict is inconclusive (--references)"
    lean = f"{accused} of {n} references would reach p <= .05 by the placebos alone"
    return [*([few] if n < LEAST_REFERENCES else []), *([lean] if accused else [])]


def reach(claim: Claim) -> dict[str, Any]:
    """The smallest p the claim can reach, and the placebos that smaller alphas take."""
    n = int(claim.settings.get("placebos", 0))
    against = n or len(claim.references)
    return {
        "null": "placebos" if n else "references",
        "n": against,
        "smallest_p": stats.smallest_p(against) if against else None,
        "needed_for_.05": stats.needed(0.05),
        "needed_for_.01": stats.needed(0.01),
        "queries": len(claim.queries),
    }


def power(claim: Claim, owner: Owner, n: int) -> list[dict[str, Any]]:
    """What the claim says of the owner's own thefts.

    Z and p by number of queries, with probabilities and with labels.
    """
    cards = surrogate_cards(owner.card, n)
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
        rows = np.eye(rows.shape[1])[rows.argmax(axis=1)]
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


def versions() -> dict[str, str]:
    """Versions of what could change a bit."""
    return {name: version(name) for name in ("birthmark", "torch", "numpy")}
