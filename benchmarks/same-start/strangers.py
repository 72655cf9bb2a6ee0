"""Strangers who start where the source does: are they accused, and what does it cost to acquit them?

    python benchmarks/same-start/strangers.py run --work WORK      every unit that WORK does not hold yet
    python benchmarks/same-start/strangers.py table --work WORK    strangers.json, and its table on standard output

One unit is one source: digits (mlp, cnn, lenet) or garments of 14x14 pixels (mlp, lenet, res), five of each.
Its strangers share recipe and initial weights: on other data, on other data under the source's own course, on the
source's data in another order, and on nine tenths of it. Every method that gives a verdict is enrolled with same-start
twins and,
for comparison, with other-start twins, and asked at its own number of queries; verdicts come from `conclude` at .05.
Units stay in WORK; a unit that was interrupted begins again with the models that were made.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import beta
from torch import nn

from birthmark import data as datasets
from birthmark import registry
from birthmark.artifact import canonical, write_atomically
from birthmark.claim import Claim
from birthmark.data.tasks import TASKS
from birthmark.errors import BirthmarkError
from birthmark.marks.keys import new_secret
from birthmark.types import Access, Floats
from birthmark.verdict import Nulls, conclude, nulls_of
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.cohort import OTHER_START, SAME_START, twin_cards
from birthmark.workshop.marking import make_claim, make_keyring
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import accuracy, probabilities
from birthmark.zoo.build import build, workshop
from birthmark.zoo.executors import Serial
from birthmark.zoo.store import Store

ALPHA, SOURCES = 0.05, 5
DIGITS = {"epochs": 20, "batch": 32, "bf16": False}
REGIMES = {
    ("digits", "mlp"): DIGITS,
    ("digits", "cnn"): DIGITS,
    ("digits", "lenet"): DIGITS,
    **{
        (name, TASKS[name].recipe): dict(TASKS[name].training)
        for name in ("garments-mlp", "garments-cnn", "garments-res")
    },
}
TWINNED = (
    "kinship",
    "lineage",
    "akh",
    "tafa",
    "random-queries",
    "sac-normal",
    "sac-m",
    "sac-jc",
    "sac-source",
    "sac-w",
)
RANKED = {"kinship": {"placebos": 2}, "ipguard": {}}  # among references, 19 of them
CRAFTED = {  # among references, or with placebos where crafting takes no cohort; the small cohort, two sources
    "cem": {"cohort": "small"},
    "metafinger": {"cohort": "small"},
    "liteguard": {"cohort": "small"},
    "metav": {"cohort": "small"},
    "naturalfinger": {"cohort": "small", "space": "pixels"},
}
CRAFTED_SOURCES = 2
WIDTHS = {"kind": 22, "method": 15, "twins": 12, "null": 11, "access": 14}
STRANGERS = ("other data", "other data, one seed", "another order", "nine tenths")


class Elsewhere(Owner):
    """An owner whose twins start elsewhere, though the source's start is no secret: for comparison alone."""

    def twin_cards(self, n: int) -> list[Card]:
        return twin_cards(self.card, n, kind=OTHER_START)


@dataclass(frozen=True)
class Unit:
    """One source."""

    task: str
    recipe: str
    source: int

    @property
    def name(self) -> str:
        return f"{self.task}-{self.recipe.partition(':')[0]}-{self.source}"

    def card(self, parts: datasets.Data) -> Card:
        training = REGIMES[self.task, self.recipe]
        return Card("trained", parts.about(), "owner", self.recipe, self.source, self.source, training=training)


def suspects(source: Card, n: int) -> Iterator[tuple[str, Card]]:
    """Kind and card of every suspect; `n` is the number of the source's samples."""
    tenth = n // 10
    elsewhere = ("innocent", "attacker", "innocent[0/2]")
    nine = (f"owner[:{n - tenth}]", f"owner[{tenth}:]", f"owner[{tenth // 2}:{n - tenth // 2}]")
    for i in range(3):
        own = 1_000_000 + 1_000 * source.course + i
        yield "other data", replace(source, split=elsewhere[i], course=own)
        yield "other data, one seed", replace(source, split=elsewhere[i])
        yield "another order", replace(source, course=own + 10)
        yield "nine tenths", replace(source, split=nine[i], course=own + 20)
        yield "other start", replace(source, split=elsewhere[i], start=own, course=own)
    other = "cnn" if source.recipe != "cnn" else "lenet"
    student = {key: value for key, value in source.training.items() if key in ("rate", "batch", "epochs")}
    for i, (kind, attack, settings) in enumerate(
        (
            ("tuned", "ftal", {}),
            ("tuned long", "ftal", {"epochs": 10}),
            ("pruned", "prune", {"amount": 0.5}),
            ("soft student", "distill", {"student": source.recipe, **student}),
            ("soft student, other", "distill", {"student": other, **student}),
            ("label student", "retrain", {"student": source.recipe, **student}),
            ("label student, other", "retrain", {"student": other, **student}),
        )
    ):
        yield kind, stolen(source, attack, settings, "attacker", 50 + 100 * source.course + i)


def crafted(owner: Owner) -> Iterator[tuple[str, str, str, Claim]]:
    """Claims of methods that craft their queries with a cohort, as `claims` gives them."""
    for name, settings in CRAFTED.items():
        try:
            yield name, "", "references", registry.make("methods", name, settings).fit(owner, seed=0)
        except BirthmarkError as error:
            print(f"{name}: {error}", flush=True)


def claims(owner: Owner, elsewhere: Owner) -> Iterator[tuple[str, str, str, Claim]]:
    """Method, kind of twins, null, claim."""
    for name in TWINNED:
        for kind, whose in ((SAME_START, owner), (OTHER_START, elsewhere)):
            yield name, kind, "placebos", registry.make("methods", name).fit(whose, seed=0)
    for kind, whose in ((SAME_START, owner), (OTHER_START, elsewhere)):
        yield (
            "ipguard",
            kind,
            "placebos",
            registry.make("methods", "ipguard", {"placebos": 19, "references": 8}).fit(whose, seed=0),
        )
    for name, settings in RANKED.items():
        yield name, "", "references", registry.make("methods", name, {**settings, "references": 19}).fit(owner, seed=0)
    ring, master = make_keyring(owner, references=8, seed=0), new_secret()
    for client in ("a", "b", "c"):
        yield "dynamarks", "", "placebos", make_claim(ring, master, client, strength="strong")


def shown(rows: Floats, access: str) -> Floats:
    return np.eye(rows.shape[1])[rows.argmax(axis=1)] if access == "labels" else rows


def verdicts(
    claim: Claim, null: str, models: Sequence[tuple[str, nn.Module]]
) -> Iterator[tuple[str, str, str, float, float]]:
    """Access, kind of suspect, verdict, z, p."""
    scorer = registry.scorer(claim)
    answers = [(kind, probabilities(model, claim.queries)) for kind, model in models]
    for access in ("probabilities", "labels"):
        if access == "labels" and scorer.needs > Access.LABELS:
            continue
        nulls: Nulls | None = None
        for kind, rows in answers:
            seen = shown(rows, access)
            nulls = nulls_of(claim, seen) if nulls is None else nulls
            found = conclude(claim, seen, ALPHA, null, nulls=nulls)
            yield access, kind, found.verdict.value, found.standing.z, found.standing.p


def run_unit(unit: Unit, work: Path, *, craft: bool) -> dict[str, Any]:
    """One source's rows: counts of verdicts and the mean z by method, twins, null, access and kind of suspect."""
    parts, store = datasets.load(unit.task), Store(work / "zoo")
    card = unit.card(parts)
    build([card], store, data=parts, executor=Serial())
    module = store.load(card.key)
    make = workshop(module, card, store, parts, Serial())
    base = (module, card, parts["owner"], parts["reserve"], parts["queries"], make)
    owner, elsewhere = (kind(*base, scratch=work / "crafted") for kind in (Owner, Elsewhere))
    cards = list(suspects(card, len(parts["owner"])))
    models = list(zip([kind for kind, _ in cards], make([one for _, one in cards]), strict=True))
    cells = defaultdict[tuple[str, ...], list[tuple[str, float, float]]](list)
    for method, twins, null, claim in crafted(owner) if craft else claims(owner, elsewhere):
        for access, kind, *found in verdicts(claim, null, models):
            cells[method, twins, null, access, kind].append(tuple(found))  # type: ignore[arg-type]
    names = ("method", "twins", "null", "access", "kind")
    rows = [
        {
            **dict(zip(names, cell, strict=True)),
            "n": len(found),
            "supported": sum(verdict == "supported" for verdict, _, _ in found),
            "at_alpha": sum(p <= ALPHA for _, _, p in found),
            "z": [round(z, 2) if np.isfinite(z) else None for _, z, _ in found],
        }
        for cell, found in cells.items()
    ]
    return {"unit": unit.name, "accuracy": round(accuracy(module, parts["test"]), 4), "rows": rows}


def bound(hits: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval."""
    low = float(beta.ppf(0.025, hits, n - hits + 1)) if hits else 0.0
    return low, float(beta.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0


def summary(units: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pooled over units: one row a method, twins, null, access and kind, and one for all strangers together."""
    cells = defaultdict[tuple[str, ...], list[dict[str, Any]]](list)
    for unit in units:
        for row in unit["rows"]:
            key = (row["method"], row["twins"], row["null"], row["access"])
            for kind in (row["kind"], *(["strangers"] if row["kind"] in STRANGERS else [])):
                cells[*key, kind].append(row)
    found = []
    for (method, twins, null, access, kind), rows in cells.items():
        n, hits = sum(row["n"] for row in rows), sum(row["supported"] for row in rows)
        z = [value for row in rows for value in row["z"] if value is not None]
        low, high = bound(hits, n)
        found.append(
            {
                "method": method,
                "twins": twins,
                "null": null,
                "access": access,
                "kind": kind,
                "n": n,
                "supported": hits,
                "at_alpha": sum(row["at_alpha"] for row in rows),
                "low": round(low, 4),
                "high": round(high, 4),
                "mean_z": round(float(np.mean(z)), 2) if z else None,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sources", type=int, default=SOURCES)
    said = parser.parse_args()
    torch.set_num_threads(1)
    units = [(Unit(task, recipe, source), False) for source in range(said.sources) for task, recipe in REGIMES]
    units += [(unit, True) for unit, _ in units if unit.task == "digits" and unit.source < CRAFTED_SOURCES]
    if said.what == "run":
        for unit, craft in units:
            place = said.work / "units" / f"{unit.name}{'-crafted' * craft}.json"
            if not place.is_file():
                write_atomically(place, canonical(run_unit(unit, said.work, craft=craft)) + b"\n")
                print(place.stem, flush=True)
        return
    done = [json.loads(path.read_text()) for path in sorted((said.work / "units").glob("*.json"))]
    rows = summary(done)
    record = {"alpha": ALPHA, "units": [{"unit": u["unit"], "accuracy": u["accuracy"]} for u in done], "rows": rows}
    write_atomically(Path(__file__).parent / "strangers.json", json.dumps(record, indent=1).encode() + b"\n")
    for row in sorted(rows, key=lambda r: (r["kind"], r["method"], r["access"], r["twins"])):
        what = "".join(f"{row[key]:<{width}}" for key, width in WIDTHS.items())
        share = f"{row['supported']:>4}/{row['n']:<4} [{row['low']:.3f}, {row['high']:.3f}]"
        print(f"{what}{share} p <= .05 {row['at_alpha']:>3}  z {row['mean_z']}")


if __name__ == "__main__":
    main()
