"""Where birthmark is not the best on fingerbench-tasks: harder thefts than the plan's, and a handful of queries.

hard    eight thefts that no method was made for, of the plan's sources, against the plan's innocents; 300 queries, five
methods few     the plan's own thefts with 3 to 100 queries: `kinship`, LiteGuard, MetaV

One record a task. Raw scores of LiteGuard and MetaV, which have no error rate; z of the others.

    python benchmarks/tasks_limits.py --store STORE --out benchmarks/fingerbench-tasks/experiments TASK ...
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tasks_baselines import liteguard, metav, readers, surrogates
from tasks_experiments import REFERENCES, TREATED, owner_of, workshop
from torch import nn

from birthmark import stats
from birthmark.artifact import canonical, write_atomically
from birthmark.claim import Claim
from birthmark.errors import BirthmarkError
from birthmark.method import Method
from birthmark.methods.kinship import Kinship
from birthmark.methods.lineage import Lineage
from birthmark.methods.tafa import Tafa
from birthmark.types import Floats
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import DECODERS, reference_cards, twin_cards
from birthmark.workshop.training import outputs, probabilities
from birthmark.zoo.store import Store
from birthmark.zoo.task_plans import TASKS, derived, innocents, source_card, stolen

SOURCES, QUERIES, FEW = (1, 2, 3), 300, (3, 10, 30, 100)


def harder(task: str, source: Card) -> dict[str, Card]:
    """Thefts by name; `distill-tuned` is extracted from the copy that `derived` calls ftal-heavy."""
    what = TASKS[task]
    epochs, rate = int(what.training["epochs"]), float(what.training.get("rate", 6e-3))
    same, other, third = (*DECODERS, "mlp:width=64,depth=2") if what.generator else (what.recipe, *what.others)
    student = {"epochs": max(10, epochs), "rate": rate}
    thefts: dict[str, tuple[str, dict[str, Any]]] = {
        "ftal-full": ("ftal", {"epochs": max(10, epochs), "rate": rate}),
        "rtal": ("rtal", {"epochs": 5, "rate": rate / 2}),
        "prune-80-ft": ("prune", {"amount": 0.8, "epochs": 5}),
        "regularise": ("regularise", {"rate": rate / 4}),
        "distill-third": ("distill", {"student": third, **student}),
        "distill-few": ("distill", {"student": same, **student}),
        "double": ("double", {"between": other, "student": same, **student}),
        "distill-tuned": ("distill", {"student": same, **student}),
    }
    found = {
        name: stolen(source, attack, settings, source.seed * 1000 + 300 + i)
        for i, (name, (attack, settings)) in enumerate(thefts.items())
    }
    found["distill-few"] = replace(found["distill-few"], split="attacker[0/4]")
    found["distill-tuned"] = replace(found["distill-tuned"], parents=(derived(task, source)["ftal-heavy"].key,))
    return found


def crafted(
    name: str, models: Sequence[nn.Module], owned: int, pool: Floats, values: bool, queries: int, seed: int
) -> Floats:
    """LiteGuard's or MetaV's raw scores (n,) of models[owned:].

    The first ones are the source, six thefts and the independents.
    """
    starts = torch.from_numpy(pool)
    networks = readers(list(models), values, starts[:500])
    chosen = starts[np.random.default_rng(seed).permutation(len(starts))[:queries]]
    craft = {"liteguard": liteguard, "metav": metav}[name]
    x, verdict = craft(networks[0], networks[1:7], networks[7:owned], chosen, seed=seed)
    return np.array([float(verdict(network(x)).mean()) for network in networks[owned:]])


def standing(method: Method, claim: Claim, models: Sequence[nn.Module], values: bool, queries: int) -> Floats:
    """z (n,) of the models' answers to the first queries of a claim."""
    answer = outputs if values else probabilities
    scores = [method.score(claim, answer(model, claim.queries[:queries])) for model in models]
    return np.array([stats.standardised(s.source, s.placebos) for s in scores])


def measured(task: str, store: Store) -> list[dict[str, Any]]:
    """Rows of one task: AUC of each theft against the plan's innocents, by source."""
    values = TASKS[task].values
    data, make = workshop(task, store)
    clean = make([card for _, card in innocents(task).values()])
    pool, found = data["queries"].inputs, dict[tuple[str, str, int, str], list[float]]()
    methods: list[Method] = [
        Kinship(queries=QUERIES, references=REFERENCES, treated=TREATED),
        Lineage(queries=QUERIES, references=REFERENCES, treated=TREATED),
        Tafa(queries=QUERIES, references=REFERENCES),
    ]
    for seed in SOURCES:
        source = source_card(task, seed)
        owner, owned = (
            owner_of(task, source, store),
            make([source, *surrogates(task, source), *reference_cards(source, 4), *twin_cards(source, 6)]),
        )
        plain = {name: card for name, card in derived(task, source).items() if name != "unpaired"}
        known = dict(zip(plain, make(list(plain.values())), strict=True))
        hard = dict[str, nn.Module]()
        for name, card in harder(task, source).items():
            try:
                hard[name] = make([card])[0]
            except BirthmarkError as error:  # rtal of a generator, whose last layer is no classifier's
                print(f"{task}, {name}: {error}", flush=True)

        def note(part: str, method: str, queries: int, thefts: Mapping[str, nn.Module], scores: Floats) -> None:
            n = len(thefts)
            for name, score in zip(thefts, scores[:n], strict=True):
                found.setdefault((part, method, queries, name), []).append(
                    float((np.sign(score - scores[n:]) / 2 + 0.5).mean())
                )

        suspects = [*hard.values(), *clean]
        for method in methods:
            claim = method.fit(owner, seed=0)
            note("hard", method.name, QUERIES, hard, standing(method, claim, suspects, values, QUERIES))
            if method.name == "kinship":
                for few in FEW:
                    note(
                        "few", method.name, few, known, standing(method, claim, [*known.values(), *clean], values, few)
                    )
        for name in ("liteguard", "metav"):
            note(
                "hard", name, QUERIES, hard, crafted(name, [*owned, *suspects], len(owned), pool, values, QUERIES, seed)
            )
            for few in FEW:
                note(
                    "few",
                    name,
                    few,
                    known,
                    crafted(name, [*owned, *known.values(), *clean], len(owned), pool, values, few, seed),
                )
    return [
        {
            "task": task,
            "part": part,
            "method": method,
            "queries": queries,
            "theft": name,
            "auc": [round(a, 4) for a in aucs],
            "innocents": len(clean),
        }
        for (part, method, queries, name), aucs in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("task", nargs="+", choices=tuple(TASKS))
    said = parser.parse_args()
    torch.set_num_threads(1)
    for task in said.task:
        rows = measured(task, Store(said.store))
        record = {
            "format": "birthmark/experiment/1",
            "experiment": "limits",
            "task": task,
            "sources": SOURCES,
            "rows": json.loads(json.dumps(rows)),
        }
        write_atomically(said.out / f"limits-{task}.json", canonical(record) + b"\n")
        for part, queries in (("hard", QUERIES), *(("few", few) for few in FEW)):
            cell = {
                m: [np.mean(r["auc"]) for r in rows if (r["part"], r["queries"], r["method"]) == (part, queries, m)]
                for m in ("kinship", "lineage", "tafa", "liteguard", "metav")
            }
            print(
                task, part, queries, {m: round(float(np.mean(aucs)), 4) for m, aucs in cell.items() if aucs}, flush=True
            )


if __name__ == "__main__":
    main()
