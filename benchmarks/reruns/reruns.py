"""How often enrolment refuses honest sources, and which false recipes it finds (docs/decisions/0018).

    python benchmarks/reruns/reruns.py WORK    every family that WORK does not hold yet; then reruns.json

A family is a source with 19 twins from its start. Honest: twins of the source's own recipe; every member is held
against the others in turn, which gives 20 dependent enrolments, the first of them counted apart. False: twins of a
recipe that is not the source's, for each of two sources of a family.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from birthmark import data as datasets
from birthmark.artifact import write_atomically
from birthmark.data import Data
from birthmark.data.tasks import TASKS
from birthmark.types import Floats, Samples
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import reference_cards, twin_cards
from birthmark.workshop.reruns import LEVEL, Shown, compare
from birthmark.workshop.training import probabilities
from birthmark.zoo.make import make

DIGITS = {"epochs": 20, "batch": 32, "bf16": False}
HONEST = (  # data, recipe, training, families
    ("digits", "mlp", DIGITS, 60),
    ("digits", "lenet", DIGITS, 20),
    ("garments-mlp", TASKS["garments-mlp"].recipe, TASKS["garments-mlp"].training, 24),
    ("garments-cnn", TASKS["garments-cnn"].recipe, TASKS["garments-cnn"].training, 16),
)
LIES: dict[str, dict[str, Any]] = {
    "3 epochs": {"training": {"epochs": 3}},
    "6 epochs": {"training": {"epochs": 6}},
    "9 epochs": {"training": {"epochs": 9}},
    "1,000 of 2,500 images": {"split": "owner[:1000]"},
    "2,000 of 2,500 images": {"split": "owner[:2000]"},
    "label smoothing .1": {"training": {"smoothing": 0.1}},
    "label smoothing .02": {"training": {"smoothing": 0.02}},
    "another start": {"start": 1_000_000},
}
FAMILIES, LIARS, MEASURED = 12, 2, 2000
LEVELS = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)


@cache
def references(name: str, recipe: str) -> list[nn.Module]:
    data, training = datasets.load(name), next(t for n, r, t, _ in HONEST if (n, r) == (name, recipe))
    return [
        make(c, {}, data)
        for c in reference_cards(Card("trained", data.about(), "owner", recipe, 999, training=training), 8)
    ]


def smallest(
    models: Sequence[nn.Module], train: Samples, data: Data, others: Sequence[nn.Module]
) -> list[tuple[float, str]]:
    """For each model as the source, the others being its twins: p of the number that tells most, times their count."""
    test = data["test"]
    held, trained = ([probabilities(model, part.inputs) for model in models] for part in (test, train))
    independent = [probabilities(model, test.inputs) for model in others]
    return [telling(i, held, trained, independent, test, train) for i in range(len(models))]


def telling(
    i: int, held: list[Floats], trained: list[Floats], independent: list[Floats], test: Samples, train: Samples
) -> tuple[float, str]:
    order = [i, *(j for j in range(len(held)) if j != i)]
    shown = [Shown(np.stack([rows[j] for j in order]), part) for rows, part in ((held, test), (trained, train))]
    found = compare(*shown, np.array(independent), False)
    return min((one.p * len(found), one.name) for one in found)


def family(name: str, recipe: str, training: dict[str, Any], start: int) -> dict[str, Any]:
    """Smallest p of the honest family, and, on garments, of its first members among false twins."""
    data = datasets.load(name)
    source = Card("trained", data.about(), "owner", recipe, start, start, training=training)
    models, others = [make(card, {}, data) for card in (source, *twin_cards(source, 19))], references(name, recipe)
    found: dict[str, Any] = {"honest": smallest(models, data["owner"][:MEASURED], data, others), "lies": {}}
    if name == "garments-mlp" and start < FAMILIES:
        for lie, change in LIES.items():
            how = {**training, **change.get("training", {})}
            false = replace(
                source, training=how, split=change.get("split", "owner"), start=start + change.get("start", 0)
            )
            twins = [make(card, {}, data) for card in twin_cards(false, 19)]
            train = data[false.split][:MEASURED]
            found["lies"][lie] = [smallest([models[i], *twins], train, data, others)[0] for i in range(LIARS)]
    return found


def refusals(found: Sequence[tuple[float, str]]) -> dict[str, Any]:
    """How many are refused, at enrolment's level and at others, and by what."""
    return {
        "n": len(found),
        "refused": sum(p < LEVEL for p, _ in found),
        "at": {str(level): sum(p < level for p, _ in found) for level in LEVELS},
        "by": Counter(name for p, name in found if p < LEVEL),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    torch.set_num_threads(1)
    record = []
    for name, recipe, training, n in HONEST:
        found = []
        for start in range(n):
            place = work / f"{name}-{recipe.partition(':')[0]}-{start}.json"
            if not place.is_file():
                write_atomically(place, json.dumps(family(name, recipe, dict(training), start)).encode())
            found.append(json.loads(place.read_text()))
        every = [one for member in found for one in member["honest"]]
        lies = {lie: [one for member in found for one in member["lies"].get(lie, [])] for lie in LIES}
        record.append(
            {
                "data": name,
                "recipe": recipe,
                "enrolments": refusals([one["honest"][0] for one in found]),
                "dependent": refusals(every),
                "false": {lie: refusals(rows) for lie, rows in lies.items() if rows},
            }
        )
    text = json.dumps({"level": LEVEL, "families": record}, indent=1)
    write_atomically(Path(__file__).parent / "reruns.json", text.encode() + b"\n")
    print(text)


if __name__ == "__main__":
    main()
