"""How settings of `kinship` and `lineage` were chosen: one setting on and off, on sources that no plan uses.

For every task three development sources (seeds 0, 10, 11) with 19 twins and 4 references each, eight copies, four
students of the source's architecture, four of another and two of a third, and 18 innocents of seeds of their own. None
of these models is in fingerbench-tasks.

    python benchmarks/tasks_settings.py --store STORE --out benchmarks/fingerbench-tasks/experiments/settings.json
    affine TASK ...
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tasks_experiments import REFERENCES, TREATED, owner_of, workshop

from birthmark import stats
from birthmark.artifact import canonical, write_atomically
from birthmark.claim import Claim
from birthmark.method import Method
from birthmark.methods.kinship import Kinship
from birthmark.methods.lineage import Lineage
from birthmark.workshop.card import Card
from birthmark.workshop.training import outputs, probabilities
from birthmark.zoo.store import Store
from birthmark.zoo.task_plans import TASKS, derived, innocents, source_card, stolen, treatments

SEEDS, INNOCENTS, QUERIES = (0, 10, 11), 1700, 300
METHODS: Mapping[str, Method] = {
    "kinship": Kinship(queries=QUERIES, references=REFERENCES, treated=TREATED),
    "lineage": Lineage(queries=QUERIES, references=REFERENCES, treated=TREATED),
}


def thefts(task: str, source: Card) -> list[tuple[str, Card]]:
    """Kind and card of every theft."""
    found = [
        ("copies", card) for name, card in derived(task, source).items() if not name.startswith(("distill", "unpaired"))
    ]
    done, first = treatments(task), source.seed * 1000 + 7000
    attack, settings = done["distill-other"]
    third = {**settings, "student": TASKS[task].others[1]}
    found += [("same", derived(task, source)["distill-same"]), ("other", derived(task, source)["distill-other"])]
    found += [("other", stolen(source, attack, settings, first + i)) for i in range(3)]
    found += [("same", stolen(source, *done["distill-same"], first + 10 + i)) for i in range(3)]
    return found + [("third", stolen(source, attack, third, first + 100 + i)) for i in range(2)]


def switched(method: Method, claim: Claim, setting: str, on: bool) -> tuple[Method, Claim]:
    """The method and its claim with a part of the comparison on or off.

    `treated` is a tensor of the claim, the others are switches of `birthmark.scoring.likeness.How`.
    """
    if on:
        return method, claim
    if setting == "treated":
        rest = {key: rows for key, rows in claim.tensors.items() if key != "treated"}
        return method, replace(claim, tensors=rest)
    other = type("Without", (type(method),), {"how": replace(method.how, **{setting: False})})
    return other(**{field.name: getattr(method, field.name) for field in fields(method)}), claim


def measured(task: str, setting: str, store: Store) -> list[dict[str, Any]]:
    """Rows of a task: by method, with the setting on and off, AUC and z of each kind of theft against all innocents."""
    answer = outputs if TASKS[task].values else probabilities
    _, make = workshop(task, store)
    clean = make([card for _, card in innocents(task, INNOCENTS).values()])
    z: dict[tuple[str, bool], dict[str, list[float]]] = {}
    for seed in SEEDS:
        source = source_card(task, seed)
        owner, cards = owner_of(task, source, store), thefts(task, source)
        stolen_models = make([card for _, card in cards])
        for name, method in METHODS.items():
            claim = method.fit(owner, seed=0)
            suspects = [
                (kind, answer(model, claim.queries)) for (kind, _), model in zip(cards, stolen_models, strict=True)
            ]
            suspects += [("innocents", answer(model, claim.queries)) for model in clean]
            for on in (True, False):
                judge, held = switched(method, claim, setting, on)
                found = z.setdefault((name, on), {})
                for kind, answers in suspects:
                    scores = judge.score(held, answers)
                    found.setdefault(kind, []).append(stats.standardised(scores.source, scores.placebos))
    return [
        {"task": task, "method": name, "queries": QUERIES, setting: on, "sources": len(SEEDS), **summary(found)}
        for (name, on), found in z.items()
    ]


def summary(z: Mapping[str, list[float]]) -> dict[str, Any]:
    innocent = np.array(z["innocents"])
    found: dict[str, Any] = {"innocents": {"n": len(innocent), "largest_z": round(float(innocent.max()), 2)}}
    for kind, values in z.items():
        if kind != "innocents":
            above = np.sign(np.array(values)[:, None] - innocent[None]) / 2 + 0.5
            found[kind] = {
                "n": len(values),
                "auc": round(float(above.mean()), 4),
                "z": round(float(np.mean(values)), 2),
                "least_z": round(min(values), 2),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("setting", choices=("affine", "regress", "treated"))
    parser.add_argument("task", nargs="+", choices=tuple(TASKS))
    said = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(said.out.read_text())["rows"] if said.out.exists() else []
    for task in said.task:
        fresh = measured(task, said.setting, Store(said.store))
        known = [row for row in known if not (row["task"] == task and said.setting in row)] + fresh
        for row in fresh:
            print(json.dumps(row), flush=True)
        write_atomically(
            said.out,
            canonical({"command": "python benchmarks/tasks_settings.py SETTING TASK ...", "rows": known}) + b"\n",
        )


if __name__ == "__main__":
    main()
