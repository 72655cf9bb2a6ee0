"""Side questions of fingerbench-tasks, each a small experiment with one JSON record.

backbones    are innocent fine-tunes of a public model accused, with twins from the same weights and with twins from
scratch? data-free    can twins be students of the source on made-up inputs, where its training data are gone? Is that
null valid? smooth       how far does tafa go on GELU, SiLU, softplus and tanh networks? precision    what do rounding,
8 bits, top-3 and labels cost? (on the models of fingerbench-tasks) unpaired     whose samples are these? ten sources,
500 samples (on the models of fingerbench-tasks) students     are missed students of another architecture near the
source at all? (source 0, on which settings are chosen) sources      students of rotation and garments-cnn on five more
sources (4 to 8): three hold too few to tell

python benchmarks/tasks_experiments.py --store STORE --out benchmarks/fingerbench-tasks/experiments NAME ...
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from birthmark import registry, stats
from birthmark.artifact import canonical, write_atomically
from birthmark.claim import Claim
from birthmark.crafting.sampling import latents
from birthmark.data import Data
from birthmark.data import load as load_data
from birthmark.errors import BirthmarkError
from birthmark.method import Method
from birthmark.methods.kinship import Kinship
from birthmark.methods.moments import Moments
from birthmark.methods.tafa import Tafa
from birthmark.types import Answers, Floats, Samples
from birthmark.workshop import architectures
from birthmark.workshop.card import Card
from birthmark.workshop.cohort import twin_cards
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import Training, fit, outputs, probabilities
from birthmark.workshop.whitebox import Open
from birthmark.zoo.build import build
from birthmark.zoo.executors import Serial
from birthmark.zoo.store import Store
from birthmark.zoo.task_plans import TASKS, derived, innocents, source_card, stolen

TWINS, REFERENCES, TREATED = 19, 4, 5


def workshop(task: str, store: Store) -> tuple[Data, Callable[[Sequence[Card]], list[nn.Module]]]:
    """A task's data, and what makes models of cards: cached in the store, parents included if given among the cards."""
    data = load_data(task)

    def make(cards: Sequence[Card]) -> list[nn.Module]:
        build(list(cards), store, data=data, executor=Serial())
        return [store.load(card.key) for card in cards]

    return data, make


def owner_of(task: str, card: Card, store: Store) -> Owner:
    data, make = workshop(task, store)
    return Owner(
        make([card])[0], card, data["owner"], data["reserve"], data["queries"], make, values=TASKS[task].values
    )


def judged(method: Method, claim: Claim, answers: Floats) -> dict[str, float]:
    scores = method.score(claim, answers)
    n = len(scores.placebos)
    z = stats.standardised(scores.source, scores.placebos)
    return {
        "z": round(z, 3),
        "p": round(stats.rank_p(scores.source, scores.placebos), 4),
        "p_parametric": stats.student_p(scores.source, scores.placebos),
        "n": n,
    }


def methods() -> dict[str, Method]:
    return {
        "kinship": Kinship(queries=300, references=REFERENCES, treated=TREATED),
        "tafa": Tafa(references=REFERENCES),
    }


def backbones(store: Store) -> dict[str, Any]:
    """Public weights: an mlp trained on the reserve.

    Sources fine-tune all layers on the owner's data, innocents on other data.
    """
    task, found = "garments-mlp", list[dict[str, Any]]()
    data, make = workshop(task, store)
    public = replace(source_card(task, 0), split="reserve", seed=90_000)
    make([public])
    tune = {"epochs": 4, "rate": 1e-3}
    for seed in (1, 2, 3):
        card = replace(stolen(public, "ftal", tune, seed), split="owner")
        cohort = {
            "from the same weights": twin_cards(card, TWINS),
            "from scratch": twin_cards(source_card(task, seed), TWINS),
        }
        source = make([card])[0]
        suspects = {
            f"innocent {i}": (
                "innocent",
                replace(
                    stolen(public, "ftal", tune, 200 + i),
                    split=("innocent", "attacker", "innocent[0/2]", "owner")[i % 4],
                ),
            )
            for i in range(12)
        }
        suspects |= {
            "copy": ("derived", replace(stolen(card, "quantise", {"bits": 6}, 70), split="attacker")),
            "tuned": ("derived", stolen(card, "ftal", {"epochs": 2, "rate": 3e-4}, 71)),
            "pruned": ("derived", stolen(card, "prune", {"amount": 0.3}, 72)),
            "distilled": (
                "derived",
                stolen(card, "distill", {"student": TASKS[task].others[0], "epochs": 12, "rate": 3e-3}, 73),
            ),
        }
        models = dict(zip(suspects, make([c for _, c in suspects.values()]), strict=True))
        for null, cards in cohort.items():
            twins = make(cards)
            for name, method in methods().items():
                method = replace(method, references=0)  # what the twins alone say
                owner = Owner(
                    source, card, data["owner"], data["reserve"], data["queries"], lambda _, t=twins: t, values=False
                )
                claim = method.fit(owner, seed=0)
                for suspect, (kind, _) in suspects.items():
                    found.append(
                        {
                            "source": seed,
                            "twins": null,
                            "method": name,
                            "suspect": suspect,
                            "kind": kind,
                            **judged(method, claim, probabilities(models[suspect], claim.queries)),
                        }
                    )
    return {"rows": found, "summary": summary(found, ("twins", "method", "kind"))}


def data_free(store: Store) -> dict[str, Any]:
    """Twins: real ones; students of the source on noise; and both kinds judged on innocents and on copies."""
    found = list[dict[str, Any]]()
    for task in ("diabetes", "friedman1"):
        data, make = workshop(task, store)
        inputs = data["queries"].inputs
        random = np.random.default_rng(0)
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        noise = random.uniform(low, high, (len(data["owner"]) * 2, *inputs.shape[1:])).astype(np.float32)
        others = [store.load(card.key) for _, card in innocents(task).values()]
        for seed in (1, 2, 3):
            card = source_card(task, seed)
            source = make([card])[0]
            how = Training(**TASKS[task].training)
            students = []
            for i in range(TWINS):
                samples = Samples(noise, outputs(source, noise).astype(np.float32), 0)
                students.append(
                    fit(
                        architectures.build(card.recipe, samples.shape, 1, seed=500 + i),
                        samples,
                        replace(how, epochs=max(5, how.epochs // 2)),
                        seed=500 + i,
                    )
                )
            copies = [store.load(c.key) for n, c in derived(task, card).items() if not n.startswith("distill")]
            for null, twins in (
                ("twins on the owner's data", make(twin_cards(card, TWINS))),
                ("students of the source on noise", students),
            ):
                for name, method in methods().items():
                    method = replace(method, references=0)
                    if name == "tafa":
                        method = replace(method, starts="noise")
                    owner = Owner(
                        source,
                        card,
                        data["owner"],
                        data["reserve"],
                        Samples(noise, np.zeros((len(noise), 1), np.float32), 0),
                        lambda _, t=twins: t,
                        values=True,
                    )
                    claim = method.fit(owner, seed=0)
                    for kind, models in (("innocent", others), ("derived", copies)):
                        found += [
                            {
                                "task": task,
                                "source": seed,
                                "twins": null,
                                "method": name,
                                "kind": kind,
                                **judged(method, claim, outputs(m, claim.queries)),
                            }
                            for m in models
                        ]
    return {"rows": found, "summary": summary(found, ("task", "twins", "method", "kind"))}


def with_activation(task: str, data: Data, activation: type[nn.Module], seed: int, split: str) -> nn.Module:
    """A network of the task with another activation in place of every ReLU, trained."""
    samples, what = data[split], TASKS[task]
    network = architectures.build(what.recipe, samples.shape, samples.outputs, seed=seed)
    for place, layer in enumerate(network.children()):
        if isinstance(layer, nn.ReLU):
            network[place] = activation()  # type: ignore[index]
    return fit(network, samples, Training(**what.training), seed=seed)


def smooth(store: Store) -> dict[str, Any]:
    """The regressor of `diabetes` and the classifier of `garments-mlp`, with every ReLU replaced before training."""
    found = list[dict[str, Any]]()
    kinds = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "softplus": nn.Softplus, "tanh": nn.Tanh}
    for task in ("diabetes", "garments-mlp"):
        data, _ = workshop(task, store)
        what = TASKS[task]
        for kind, activation in kinds.items():
            trained = partial(with_activation, task, data, activation)
            source, twins = trained(1, "owner"), [trained(1000 + i, "owner") for i in range(TWINS)]
            target = Open(source, Answers.VALUES if what.values else Answers.LOGITS)
            thefts = [
                ("ftal", {"epochs": 3, "rate": 1e-3}),
                ("prune", {"amount": 0.3}),
                ("prune", {"amount": 0.6, "epochs": 2}),
                ("quantise", {"bits": 4}),
                ("weight-noise", {"level": 0.2}),
            ]
            copies = [
                registry.make("attacks", attack, settings).steal(target, data["attacker"], seed=5)
                for attack, settings in thefts
            ]
            others = [trained(300 + i, ("owner", "innocent")[i % 2]) for i in range(8)]
            owner = Owner(
                source,
                source_card(task, 1),
                data["owner"],
                data["reserve"],
                data["queries"],
                lambda _, t=twins: t,
                values=what.values,
            )
            for name, method in methods().items():
                method = replace(method, references=0)
                try:
                    claim = method.fit(owner, seed=0)
                except BirthmarkError as error:
                    found.append(
                        {"task": task, "activation": kind, "method": name, "kind": "refused", "reason": str(error)}
                    )
                    continue
                read = outputs if what.values else probabilities
                for label, models in (("innocent", others), ("derived", copies)):
                    found += [
                        {
                            "task": task,
                            "activation": kind,
                            "method": name,
                            "kind": label,
                            **judged(method, claim, read(m, claim.queries)),
                        }
                        for m in models
                    ]
    return {
        "rows": found,
        "summary": summary([row for row in found if "z" in row], ("task", "activation", "method", "kind")),
    }


def shown(rows: Floats, how: str) -> Floats:
    """Answers as an API of low precision gives them."""
    if how == "8 bits":
        low, high = rows.min(), rows.max()
        return np.round((rows - low) / (high - low) * 255) / 255 * (high - low) + low if high > low else rows
    if how == "top 3":
        floor = np.sort(rows, axis=1)[:, -3][:, None]
        return np.where(rows >= floor, rows, 0.0)
    if how == "labels":
        return np.eye(rows.shape[1])[rows.argmax(axis=1)]
    return np.round(rows, int(how)) if how != "exact" else rows


def precision(store: Store, tasks: Sequence[str] = tuple(TASKS)) -> dict[str, Any]:
    """Every suspect of fingerbench-tasks that is there, at every precision."""
    found = list[dict[str, Any]]()
    for task in tasks:
        what = TASKS[task]
        for seed in (1, 2, 3):
            card = source_card(task, seed)
            if not all(c.key in store for c in [card, *twin_cards(card, TWINS), *derived(task, card).values()]):
                continue
            owner = owner_of(task, card, store)
            suspects = [("derived", n, c) for n, c in derived(task, card).items()] + [
                ("innocent", n, c) for n, (_, c) in innocents(task).items()
            ]
            models = [(kind, name, store.load(c.key)) for kind, name, c in suspects if c.key in store]
            for name, method in methods().items():
                claim = method.fit(owner, seed=0)
                for kind, suspect, model in models:
                    rows = (outputs if what.values else probabilities)(model, claim.queries)
                    for how in (
                        ("exact", "4", "2", "1", "8 bits")
                        if what.values
                        else ("exact", "4", "3", "2", "1", "top 3", "labels")
                    ):
                        if how == "labels" and name == "tafa":
                            continue
                        found.append(
                            {
                                "task": task,
                                "source": seed,
                                "method": name,
                                "kind": kind,
                                "suspect": suspect,
                                "precision": how,
                                **judged(method, claim, shown(rows, how)),
                            }
                        )
    return {"summary": summary(found, ("task", "method", "precision", "kind")), "changed": changed(found)}


def changed(rows: Sequence[dict[str, Any]], alpha: float = 0.05) -> list[dict[str, Any]]:
    """Suspects whose p crossed alpha by a loss of precision, by task, method, precision and kind."""
    exact = {
        (r["task"], r["source"], r["method"], r["suspect"]): r["p"] <= alpha for r in rows if r["precision"] == "exact"
    }
    counts: dict[tuple[str, ...], list[int]] = {}
    for r in rows:
        if r["precision"] != "exact":
            was, now = exact[(r["task"], r["source"], r["method"], r["suspect"])], r["p"] <= alpha
            cell = counts.setdefault((r["task"], r["method"], r["precision"], r["kind"]), [0, 0, 0])
            cell[0] += 1
            cell[1] += was and not now
            cell[2] += now and not was
    return [
        dict(zip(("task", "method", "precision", "kind", "n", "lost", "gained"), (*key, *cell), strict=True))
        for key, cell in counts.items()
    ]


def unpaired(store: Store) -> dict[str, Any]:
    """Ten sources of one recipe (source 1 and nine of its twins), each stolen by training a new generator on its
    samples.
    """
    found = list[dict[str, Any]]()
    for task in ("vae", "gan"):
        what, first = TASKS[task], source_card(task, 1)
        owners = [first, *twin_cards(first, TWINS)]
        if not all(card.key in store for card in owners):
            continue
        settings = {
            "student": what.recipe,
            "epochs": int(what.training["epochs"]),
            "rate": float(what.training["rate"]),
        }
        thefts = [stolen(card, "distill", settings, 9100 + i) for i, card in enumerate(owners[:10])]
        data, make = workshop(task, store)
        models, students = make(owners), make(thefts)
        others = [store.load(card.key) for name, (_, card) in innocents(task).items() if card.key in store]
        method = Moments(references=0)
        for i, student in enumerate(students):
            twins = models[:i] + models[i + 1 :]
            owner = Owner(
                models[i], owners[i], data["owner"], data["reserve"], data["queries"], lambda _, t=twins: t, values=True
            )
            claim = method.fit(owner, seed=0)
            found.append(
                {
                    "task": task,
                    "source": i,
                    "kind": "derived",
                    **judged(method, claim, outputs(student, latents(500, 12, seed=77 + i))),
                }
            )
            found += [
                {
                    "task": task,
                    "source": i,
                    "kind": "innocent",
                    **judged(method, claim, outputs(m, latents(500, 12, seed=900 + j))),
                }
                for j, m in enumerate(others)
            ]
    return {"rows": found, "summary": summary(found, ("task", "kind"))}


def students(store: Store) -> dict[str, Any]:
    """Distance of students (10 and 40 epochs, two architectures) and of four reruns from source 0, on the test part,
    beside kinship's z.
    """
    found = list[dict[str, Any]]()
    method = Kinship(queries=300, references=0)
    for task in ("rotation", "garments-cnn"):
        card, what = source_card(task, 0), TASKS[task]
        data, make = workshop(task, store)
        owner = owner_of(task, card, store)
        claim, read = method.fit(owner, seed=0), outputs if what.values else probabilities
        answers = read(owner.source, data["test"].inputs)
        settings = [
            {"student": recipe, "epochs": epochs, "rate": 6e-3} for recipe in what.others for epochs in (10, 40)
        ]
        suspects = [("derived", said, stolen(card, "distill", said, 77)) for said in settings]
        suspects += [("innocent", {}, replace(card, seed=500 + i)) for i in range(4)]
        make([card, *(suspect for _, _, suspect in suspects)])
        for kind, said, suspect in suspects:
            model = store.load(suspect.key)
            rows = read(model, data["test"].inputs)
            near = (
                float((rows.argmax(1) == answers.argmax(1)).mean())
                if data.classes
                else float(np.sqrt(((rows - answers) ** 2).mean()))
            )
            measure = "agreement" if data.classes else "rms difference"
            row = {"task": task, "kind": kind, **said, measure: round(near, 4)}
            found.append({**row, **judged(method, claim, read(model, claim.queries))})
    return {"rows": found, "summary": summary(found, ("task", "kind"))}


def summary(rows: Sequence[dict[str, Any]], by: tuple[str, ...]) -> list[dict[str, Any]]:
    """Count, shares of p at the best rank and at most .05, of parametric p at most .01, median, extreme z, per cell."""
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault(tuple(row[key] for key in by), []).append(row)
    found = []
    for key, cell in cells.items():
        accused = sum(r["p"] <= 0.05 for r in cell)
        low, high = stats.clopper_pearson(accused, len(cell))
        z = [r["z"] for r in cell]
        found.append(
            {
                **dict(zip(by, key, strict=True)),
                "n": len(cell),
                "p_at_most_05": accused,
                "share_05": round(accused / len(cell), 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "parametric_01": sum(r["p_parametric"] <= 0.01 for r in cell),
                "z_min": round(min(z), 2),
                "z_median": round(float(np.median(z)), 2),
                "z_max": round(max(z), 2),
            }
        )
    return found


def sources(store: Store) -> dict[str, Any]:
    """Students by `kinship` with 300 queries on sources that the plan does not have; the plan's innocents."""
    found = list[dict[str, Any]]()
    method = methods()["kinship"]
    for task in ("rotation", "garments-cnn"):
        answer = outputs if TASKS[task].values else probabilities
        _, make = workshop(task, store)
        clean = {name: card for name, (_, card) in innocents(task).items()}
        z: dict[str, list[list[float]]] = {"student": [], "innocent": []}
        for seed in range(4, 9):
            card = source_card(task, seed)
            owner = owner_of(task, card, store)
            claim = method.fit(owner, seed=0)
            own = {name: theft for name, theft in derived(task, card).items() if name.startswith("distill")}
            for kind, cards in (("student", own), ("innocent", clean)):
                rows = [
                    {
                        "task": task,
                        "source": seed,
                        "kind": kind,
                        "suspect": name,
                        **judged(method, claim, answer(model, claim.queries)),
                    }
                    for name, model in zip(cards, make(list(cards.values())), strict=True)
                ]
                found += rows
                z[kind].append([row["z"] for row in rows])
        value, low, high = stats.bootstrap_auc(z["student"], z["innocent"], seed=0)
        found.append(
            {"task": task, "kind": "auc", "auc": round(value, 4), "low": round(low, 4), "high": round(high, 4)}
        )
    summed = [row for row in found if row["kind"] == "auc"]
    return {"rows": [row for row in found if row["kind"] != "auc"], "summary": summed}


EXPERIMENTS: dict[str, Callable[[Store], dict[str, Any]]] = {
    "backbones": backbones,
    "data-free": data_free,
    "smooth": smooth,
    "precision": precision,
    "unpaired": unpaired,
    "students": students,
    "sources": sources,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--task", action="append", choices=list(TASKS), help="precision: only this task, in a record of its own"
    )
    parser.add_argument("name", nargs="+", choices=list(EXPERIMENTS))
    said = parser.parse_args()
    torch.set_num_threads(1)
    runs = [(name, EXPERIMENTS[name]) for name in said.name if name != "precision" or not said.task]
    if "precision" in said.name:
        runs += [(f"precision-{task}", partial(precision, tasks=[task])) for task in said.task or ()]
    for name, experiment in runs:
        result = experiment(Store(said.store))
        write_atomically(
            said.out / f"{name}.json",
            canonical({"format": "birthmark/experiment/1", "experiment": name, **json.loads(json.dumps(result))})
            + b"\n",
        )
        for row in result["summary"]:
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
