"""Enrolment: from source, twins and independent models, as far as they answer, to a claim that was tested first.

    claim = enroll(source, twins, references, pool, start="same")

Each model is a function (inputs -> probabilities), an array of answers to the pool, an estimator with `predict_proba`,
a network, or whatever `birthmark.suspects.open` opened. Training them first, by a recipe, is
`birthmark.workshop.enroll`, which comes here, too. A claim is only handed out after checks: does the source look like
a rerun of its twins' recipe, and do the owner's own independent models stay unaccused?
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from importlib.metadata import version
from typing import cast

import numpy as np
from scipy.stats import binom

from birthmark import registry, stats
from birthmark.answered import Answered, answered, check_different, coarse, distinct, named, unlabelled
from birthmark.answers import accuracy_of
from birthmark.asking import Model, oracle_of
from birthmark.claim import Claim
from birthmark.errors import AccessError, BirthmarkError, NullError, SettingError
from birthmark.evidence import plain_data
from birthmark.method import Method
from birthmark.parties import Parties
from birthmark.types import Access, Array, Floats, Form, Plain, Samples
from birthmark.verdict import LEAST_REFERENCES, Nulls, conclude
from birthmark.workshop.reruns import LEAST, LEVEL, Comparison, Shown, compare
from birthmark.workshop.seeds import secret_start

MEASURED = 2000  # samples that source and twins are compared on
COMPARED = 500  # inputs that tell models apart
REFUSED = 0.01  # a claim is refused if so many references would be accused by chance with less than this probability
FOR_ALPHA = 0.05  # that verify has by default
Progress = Callable[[float], None]
START = (
    "where do the twins start? From the source's own initial weights: --same-start (start='same'). Elsewhere: "
    "--other-start --start SEED (start=SEED), the source's own start being a secret seed of 128 bits; of a start that "
    "others may share, strangers would be accused"
)


@dataclass(frozen=True)
class Also:
    """What else an owner may give.

    Attributes:
        treated: of every reference in turn its copies and students, equally many of each.
        train: what the source was trained on, or a part of it: source and twins are compared on it, too.
        names: of source, twins, references, treated ones, for messages.
        seed: of the choice of queries.
        progress: called with the share done, 0 to 1.
    """

    treated: Sequence[Model] = ()
    train: Samples | None = None
    names: Sequence[str] = ()
    seed: int = 0
    progress: Progress | None = field(default=None, repr=False)


def enroll(
    source: Model,
    twins: Sequence[Model],
    references: Sequence[Model],
    pool: Samples | Array,
    *,
    start: str | int = "",
    method: Method | str = "kinship",
    also: Also = Also(),
) -> Claim:
    """Make a claim from models that are there, of any framework.

    Args:
        twins: reruns of the source's recipe on its data, under secret seeds: 19 reach p = .05.
        references: independent models of one task with it, at least four.
        pool: inputs (n, *d) that the source was not trained on; as `Samples` with their targets, where they are known.
        start: "same" if the twins start from the source's initial weights, else the source's own secret start.
        method: a name or an instance; of an instance the number of models is what is given here.

    Raises:
        BirthmarkError: models that are the same, a source that is no rerun of its twins' recipe, a claim that accuses
            the owner's own references.
        SettingError: nothing is said of where the twins start, or answers do not fit each other or the pool.
        AccessError: the method takes weights.
        OracleError: answers that cannot be such a model's.
    """
    given = pool if isinstance(pool, Samples) else unlabelled(np.asarray(pool))
    everybody = [source, *twins, *references, *also.treated]
    names, inputs = also.names or named(len(twins), len(references), len(also.treated)), given.inputs
    kind = "values" if given.labelled and not given.classes else ""
    oracles = [
        oracle_of(one, name, inputs, outputs=max(given.classes, 0), kind=kind, form=given.form)
        for one, name in zip(everybody, names, strict=True)
    ]
    samples, notes = distinct(given)
    parties = answered(oracles, len(twins), len(references), samples)
    return enrolled(parties, method, start=start, notes=notes, also=also)


def enrolled(
    parties: Answered, method: Method | str, *, start: str | int, notes: Sequence[str] = (), also: Also = Also()
) -> Claim:
    """As `enroll`, of parties that are there; what the method asks for is set to what they are."""
    kind = start_of(start) if parties.twins else ""
    fitting = fitted(method, parties)
    names = [one.name for one in parties.everybody]
    shown = parties.pool.inputs[:MEASURED]
    references = parties.references_say(shown, len(parties.references))
    owners = parties.owners_say(parties.pool.inputs, len(parties.twins))
    check_different(np.concatenate([owners[:, :COMPARED], references[:, :COMPARED]]), names)
    trained = None
    if also.train is not None:
        train = also.train[:MEASURED]
        trained = Shown(parties.owners_say(train.inputs, len(parties.twins)), train)
    found = Compared(Shown(owners[:, :MEASURED], parties.pool[:MEASURED]), trained, references)
    made = finished(fitting, parties, found, [*notes, *coarse(parties)], also)
    secret = {"start": sha256(str(start).encode()).hexdigest()} if kind == "other-start" else {}
    told = {
        **secret,
        "parties": {"names": names, "sha256": [one.identify().get("sha256", "") for one in parties.everybody]},
    }
    return replace(made, facts=plain_data({**made.facts, **told}), twins=kind)


@dataclass(frozen=True)
class Compared:
    """Answers that source and twins are compared by: to held-out samples, to those trained on, the references'."""

    held: Shown
    trained: Shown | None
    references: Floats


def finished(method: Method, parties: Parties, found: Compared, notes: Sequence[str], also: Also) -> Claim:
    """Fit the method once the source has passed as a rerun, check the claim, and say what it can reach.

    Raises:
        BirthmarkError: the source is no rerun, or the claim accuses the owner's references.
    """
    compared, progress = reruns(found, parties.task.values), also.progress or (lambda share: None)
    progress(0.5)
    claim = method.fit(parties, seed=also.seed)  # type: ignore[arg-type]  # those made from answers take any parties
    progress(0.7)
    checked, rates = self_check(claim), [accuracy_of(rows, found.held.samples) for rows in found.held.rows]
    warnings = [*notes, *claim.facts.get("warnings", ()), *leaning(checked), *thin(claim, len(rates) - 1)]
    facts = {
        **claim.facts,
        "versions": versions(),
        "source": {"accuracy": rates[0]},
        "twins": {"n": len(rates) - 1, "accuracy": [round(rate, 4) for rate in rates[1:]]},
        "reruns": compared,
        "self_check": checked,
        "reach": reach(claim),
        "power": [],
        "warnings": warnings,
    }
    progress(1.0)
    return replace(claim, facts=facts)


def start_of(start: str | int) -> str:
    """Where the twins start, in a word.

    Raises:
        SettingError: nothing is said of it, or the source's own start is no secret.
    """
    if start == "same":
        return "same-start"
    if isinstance(start, str):
        raise SettingError(START)
    secret_start(start)
    return "other-start"


def fitted(method: Method | str, parties: Answered) -> Method:
    """The method with as many models as are there.

    Raises:
        AccessError: it takes more than answers.
        SettingError: it takes more of them.
    """
    chosen = registry.make("methods", method) if isinstance(method, str) else method
    check_access(chosen, Access.LABELS if parties.coarseness.labels and not parties.values else Access.PROBS)
    check_inputs(parties, chosen)
    there = parties.numbers
    if there["placebos"] < 2 and "[2" in getattr(chosen, "allowed", {}).get("placebos", ""):
        raise SettingError(
            f"{chosen.name} takes at least 2 twins, got {there['placebos']}; {stats.needed(FOR_ALPHA)} reach p = .05: "
            "train the source's recipe again under other secret seeds (--twin)"
        )
    return replace(chosen, **{f.name: there[f.name] for f in fields(chosen) if f.name in there})


def check_inputs(parties: Parties, method: Method) -> None:
    """Raise SettingError for a method that changes its queries, and inputs that nobody can change a little."""
    whole = parties.pool.inputs.dtype.kind in "iu"
    if not method.any_inputs and (whole or parties.task.form is not Form.NUMBERS):
        found = "whole numbers" if whole else parties.task.form.value
        raise SettingError(
            f"{method.name} makes queries by changing pixels or features, and these inputs are {found}; use a method "
            "that chooses them from the pool: kinship, akh, random-queries, sac-normal"
        )


def check_access(method: Method, there: Access) -> None:
    """Raise AccessError, naming the methods that serve, if a method takes more of the owner's models than is there."""
    if method.made_from <= there:
        return
    what = "probabilities" if method.made_from is Access.PROBS else "weights, or trains models of its own"
    known = {name: cast(type[Method], kind).made_from for name, kind in registry.found("methods").items()}
    raise AccessError(
        f"{method.name} makes claims from {what}, and here are {'labels' if there is Access.LABELS else 'answers'} "
        f"alone; {', '.join(sorted(name for name in known if known[name] <= there))} serve, or give --recipe"
    )


def reruns(found: Compared, values: bool) -> Plain:
    """What the comparison of source and twins found, for the claim's facts; empty with too few twins to compare.

    Raises:
        BirthmarkError: the source is no rerun of its twins' recipe: then an innocent's p is not exact.
    """
    if len(found.held.rows) <= LEAST:
        return {}
    compared = compare(found.held, found.trained, found.references, values)
    if off := _off(compared):
        raise BirthmarkError(
            f"claim refused: the source is no rerun of its twins' recipe: {'; '.join(map(str, off[:3]))}. Source and "
            "twins must share recipe and data, the --training (epochs, smoothing), --split and start they were trained "
            "with. Of honest sources less than 1 % are refused: enrol again with other twins (--seed)"
        )
    numbers = {
        one.name: {"source": one.source, "twins": [min(one.twins), max(one.twins)], "p": one.p} for one in compared
    }
    return {"level": LEVEL, "detectable_sd": round(compared[0].detectable, 1), "numbers": numbers}


def _off(found: Sequence[Comparison]) -> list[Comparison]:
    """The numbers by which the source is no rerun, the farthest first."""
    return sorted((one for one in found if one.p < one.level), key=lambda one: one.p)


def self_check(claim: Claim) -> Plain:
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
    chance = float(1 - binom.cdf(accused - 1, len(rows), 0.05)) if rows else 1.0
    if chance < REFUSED:
        raise BirthmarkError(
            f"claim refused: it would accuse {accused} of the owner's own {len(rows)} independent references at .05 "
            f"(chance {chance:.2g}); "
            "this source lies close to everybody. Train the source again under another seed, or enrol with more twins "
            "and references (--twins, --references)"
        )
    return {"references": rows, "accused_at_.05": accused, "n": len(rows)}


def leaning(checked: Plain) -> list[str]:
    """Warnings of what the self-check found."""
    accused, n = checked["accused_at_.05"], checked["n"]
    few = f"{n} references: with fewer than {LEAST_REFERENCES} every verdict is inconclusive (--references)"
    lean = f"{accused} of {n} references would reach p <= .05 by the placebos alone"
    return [*([few] if n < LEAST_REFERENCES else []), *([lean] if accused else [])]


def thin(claim: Claim, twins: int) -> list[str]:
    """Warnings of twins too few to be compared, or to reach a p of .05."""
    few = f"{twins} twins: with fewer than {LEAST} nobody can tell whether the source is their rerun"
    needed = stats.needed(FOR_ALPHA)
    short = f"{twins} twins: every verdict at alpha {FOR_ALPHA:g} is inconclusive; it takes {needed}"
    return [*([few] if 0 < twins < LEAST else []), *([short] if 0 < twins < needed else [])]


def reach(claim: Claim) -> Plain:
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


def versions() -> dict[str, str]:
    """Versions of what could change a bit."""
    return {name: version(name) for name in ("birthmark", "torch", "numpy")}
