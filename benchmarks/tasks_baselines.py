"""LiteGuard and MetaV on the tasks of fingerbench-tasks, as rows beside kinship and tafa.

`birthmark.methods.liteguard` and `metav` craft pictures for classifiers. Their rules are not bound to those: here they
craft any real-valued inputs for any outputs, with one cohort for both: the source and six thefts by its owner on the
reserve against the owner's references and six twins. Outputs (probabilities for classifiers) are standardised by the
source's on the pool. Neither has an error rate, so records hold scores alone.

    python benchmarks/tasks_baselines.py --store STORE --out benchmarks/fingerbench-tasks TASK[:SOURCE,...] ...
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from birthmark.artifact import canonical, write_atomically
from birthmark.bench.run import FORMAT, machine
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import reference_cards, twin_cards
from birthmark.workshop.enroll import versions
from birthmark.workshop.training import seeded
from birthmark.zoo.build import build
from birthmark.zoo.executors import Serial
from birthmark.zoo.store import Store
from birthmark.zoo.task_plans import NAME, TASKS, plan, source_card

BUDGETS = (60, 100, 300, 600)
Network = Callable[[Tensor], Tensor]


def surrogates(task: str, source: Card) -> list[Card]:
    """Six thefts by the owner, on the reserve, with settings that no suspect of the plan has."""
    what = TASKS[task]
    rate, epochs = float(what.training.get("rate", 6e-3)), int(what.training["epochs"])
    student = "mlp:width=96,depth=1" if what.generator else what.recipe
    thefts = [
        ("ftal", {"epochs": 3, "rate": rate / 5}),
        ("ftal", {"epochs": 4, "rate": rate / 2}),
        ("prune", {"amount": 0.4}),
        ("weight-noise", {"level": 0.15}),
        ("quantise", {"bits": 5}),
        ("distill", {"student": student, "epochs": max(10, epochs), "rate": rate}),
    ]
    return [
        Card(
            kind="stolen",
            data=source.data,
            split="reserve",
            recipe="",
            seed=3_000 + source.seed * 100_000 + 50 + i,
            attack=attack,
            settings=settings,
            parents=(source.key,),
        )
        for i, (attack, settings) in enumerate(thefts)
    ]


def readers(models: list[nn.Module], values: bool, pool: Tensor) -> list[Network]:
    """Networks as functions to standardised outputs (n, k), without gradients of their weights.

    The first one sets the scale.
    """
    for model in models:
        model.eval().requires_grad_(False)

    def plain(model: nn.Module) -> Network:
        return lambda x: model(x).flatten(1) if values else model(x).softmax(dim=1)

    first = plain(models[0])(pool)
    mean, scale = first.mean(dim=0), first.std(dim=0).clamp_min(1e-3)
    return [lambda x, read=plain(model): (read(x) - mean) / scale for model in models]


def liteguard(
    source: Network, derived: list[Network], independent: list[Network], starts: Tensor, *, seed: int, steps: int = 400
) -> tuple[Tensor, Network]:
    """Inputs with a verifier each; returns them and the suspect's outputs -> verifiers' outputs (q,)."""
    with seeded(seed):
        x = starts.clone().requires_grad_()
        w = (0.1 * torch.randn(len(x), source(x).shape[1])).requires_grad_()
        b = torch.zeros(len(x), requires_grad=True)
        adam = torch.optim.Adam([{"params": [x], "lr": 0.02}, {"params": [w, b], "lr": 0.01}])
        for _ in range(steps):
            one, other = derived[torch.randint(len(derived), ())], independent[torch.randint(len(independent), ())]
            soft = nn.functional.softplus
            cost = (
                0.5 * soft(-((source(x) * w).sum(1) + b))
                + soft(-((one(x) * w).sum(1) + b))
                + 1.5 * soft((other(x) * w).sum(1) + b)
            )
            adam.zero_grad()
            cost.sum().backward()
            adam.step()
    return x.detach(), lambda rows: torch.sigmoid((rows * w.detach()).sum(1) + b.detach())


def metav(
    source: Network, derived: list[Network], independent: list[Network], starts: Tensor, *, seed: int, steps: int = 400
) -> tuple[Tensor, Network]:
    """Inputs and one joint verifier of all outputs together; returns them and the suspect's outputs -> verdict (1,)."""
    with seeded(seed):
        x = starts.clone().requires_grad_()
        verifier = nn.Sequential(nn.Linear(source(x).numel(), 128), nn.Linear(128, 1))
        adam = torch.optim.Adam([{"params": [x], "lr": 0.02}, {"params": verifier.parameters(), "lr": 1e-3}])
        for _ in range(steps):
            some = [derived[i] for i in torch.randint(len(derived), (3,))]
            others = [independent[i] for i in torch.randint(len(independent), (3,))]
            soft = nn.functional.softplus
            cost = (
                soft(-verifier(source(x).flatten()))
                + sum(soft(-verifier(m(x).flatten())) for m in some) / 3
                + sum(soft(verifier(m(x).flatten())) for m in others) / 3
            )
            adam.zero_grad()
            cost.backward()
            adam.step()
    return x.detach(), lambda rows: verifier(rows.flatten()).detach()  # the logit: its order is the probability's


def run(task: str, seed: int, store: Store, out: Path, budgets: Sequence[int]) -> None:
    """Craft and score both methods at every budget for one source."""
    said = plan(task, sources=(seed,))
    data, source = said.load(), source_card(task, seed)
    cards = [source, *surrogates(task, source), *reference_cards(source, 4), *twin_cards(source, 6)]
    build(cards, store, data=data, executor=Serial())
    pool = torch.from_numpy(data["queries"].inputs)
    random = np.random.default_rng(seed)
    suspects = [entry for entry in said.entries if entry.role in ("positive", "negative") and entry.card.key in store]
    networks = readers(
        [store.load(card.key) for card in cards] + [store.load(entry.card.key) for entry in suspects],
        TASKS[task].values,
        pool[:500],
    )
    ours, derived, independent, theirs = networks[0], networks[1:7], networks[7 : len(cards)], networks[len(cards) :]
    for name, craft in (("liteguard", liteguard), ("metav", metav)):
        began = time.monotonic()
        cells: list[dict[str, dict[str, float]]] = [{} for _ in suspects]
        for budget in budgets:
            starts = pool[random.permutation(len(pool))[:budget]]
            queries, verdict = craft(ours, derived, independent, starts, seed=seed)
            for cell, network in zip(cells, theirs, strict=True):
                value = float(verdict(network(queries)).mean())
                cell[str(budget)] = {"score": value, "raw": value}
        record = {
            "format": FORMAT,
            "plan": NAME,
            "task": task,
            "title": said.title,
            "source_seed": seed,
            "alpha": 0.05,
            "source": source.key,
            "method": name,
            "settings": {"version": "task-agnostic, benchmarks/tasks_baselines.py"},
            "access": "probs",
            "seed": seed,
            "claim": "",
            "queries": max(budgets),
            "enrol_seconds": round(time.monotonic() - began, 2),
            "enrol_models": len(cards) - 1,
            "refused": "",
            "score_seconds": 0.0,
            "versions": versions(),
            "machine": machine(),
            "suspects": [
                {
                    "name": e.name,
                    "role": e.role,
                    "group": e.group,
                    "tier": e.tier,
                    "key": e.card.key,
                    "shared": e.source is None,
                    "by_queries": cell,
                }
                for e, cell in zip(suspects, cells, strict=True)
            ],
        }
        write_atomically(out / task / f"{name}-probs-{seed}.json", canonical(record) + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--queries", type=int, action="append", help=f"numbers of queries, default {BUDGETS}; one crafting each"
    )
    parser.add_argument("task", nargs="+")
    said = parser.parse_args()
    torch.set_num_threads(1)
    for name in said.task:
        task, _, seeds = name.partition(":")
        for seed in map(int, (seeds or "1,2,3").split(",")):
            run(task, seed, Store(said.store), said.out, said.queries or BUDGETS)


if __name__ == "__main__":
    main()
