"""Side questions of the docs that no plan can ask, each a small experiment with its record.

    python benchmarks/experiments.py NAME --store STORE --out FOLDER [ARGUMENT ...]

baselines TASK ...   LiteGuard's and MetaV's rules on any real-valued inputs and outputs, as records beside kinship's
backbones            are innocent fine-tunes of a public model accused, twins from the same weights or from scratch?
data-free            can twins be students of the source on noise, where its training data are gone? Is that null valid?
smooth               how far does tafa go on GELU, SiLU, softplus and tanh networks?
unpaired             whose samples are these? ten generators of one recipe, each stolen by its samples
without PART TASK    the bench of kinship and lineage with a part of it off: regress, affine, treated
query-sets FOLDER    how much of kinship's figures in these records is the luck of the query set?
naturalness PLAN M   how well does a small network tell the queries of method M from held-out images? .5 is natural

The store must hold the plan's models (birthmark zoo build). Every claim is of the methods' defaults.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from birthmark import registry, stats
from birthmark.artifact import canonical, write_atomically
from birthmark.bench.jobs import FORMAT, machine
from birthmark.bench.run import Choice, run
from birthmark.claim import Claim
from birthmark.crafting.images import eight_bit
from birthmark.crafting.sampling import latents
from birthmark.data.tasks import TASKS
from birthmark.enrolment import versions
from birthmark.errors import BirthmarkError
from birthmark.method import Method
from birthmark.methods.kinship import Kinship
from birthmark.methods.lineage import Lineage
from birthmark.methods.moments import Moments
from birthmark.methods.tafa import Tafa
from birthmark.types import Answers, Floats, Samples
from birthmark.workshop import architectures
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.cohort import reference_cards, twin_cards
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import Training, fit, outputs, probabilities, seeded
from birthmark.workshop.whitebox import Open
from birthmark.zoo.build import build
from birthmark.zoo.catalogue import read
from birthmark.zoo.executors import Serial
from birthmark.zoo.plan import Entry
from birthmark.zoo.store import Store

Rows = list[dict[str, Any]]
Network = Callable[[Tensor], Tensor]
METHODS: dict[str, Method] = {"kinship": Kinship(queries=300, references=0), "tafa": Tafa(references=0)}  # twins alone
TWINS = 19


class Lab:
    """A task's plan, data and models."""

    def __init__(self, task: str, store: Store) -> None:
        self.plan, self.data = read(f"fingerbench-tasks/{task}").load()
        self.task, self.store, self.how = TASKS[self.plan.data], store, Training(**TASKS[self.plan.data].training)
        self.read = outputs if self.task.values else probabilities

    def entries(self, source: int, *roles: str) -> list[Entry]:
        return [entry for entry in self.plan.of(source) if entry.role in roles]

    def source(self, seed: int) -> Card:
        return self.entries(seed, "source")[0].card

    def make(self, cards: Sequence[Card]) -> list[nn.Module]:
        build(list(cards), self.store, data=self.data, executor=Serial())
        return [self.store.load(card.key) for card in cards]

    def claim(self, method: Method, card: Card, owned: list[nn.Module], pool: Samples | None = None) -> Claim:
        """A claim of the first of these models whose twins are the others, whatever they are."""
        own = (self.data["owner"], self.data["reserve"], pool or self.data["queries"])
        return method.fit(Owner(owned[0], card, *own, lambda cards: owned[1:], values=self.task.values), seed=0)

    def told(self, claim: Claim, innocent: list[nn.Module], derived: list[nn.Module], **about: object) -> Rows:
        """z and p of each model's answers, by rank alone."""
        kinds = {"innocent": innocent, "derived": derived}
        pairs = [(kind, model) for kind, models in kinds.items() for model in models]
        return [{**about, "kind": kind, **standing(claim, self.read(m, claim.queries))} for kind, m in pairs]


def standing(claim: Claim, answers: Floats) -> dict[str, float]:
    scores = registry.scorer(claim).score(claim, answers)
    return {
        "z": round(stats.standardised(scores.source, scores.placebos), 3),
        "p": round(stats.rank_p(scores.source, scores.placebos), 4),
        "p_parametric": stats.student_p(scores.source, scores.placebos),
        "n": len(scores.placebos),
    }


def summary(rows: Rows, *by: str) -> Rows:
    """Count, shares of p at most .05 with their interval, of parametric p at most .01, least, median, largest z."""
    cells: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        cells.setdefault(tuple(row[key] for key in by), []).append(row)
    found = []
    for key, cell in cells.items():
        hits, z = sum(r["p"] <= 0.05 for r in cell), [r["z"] for r in cell]
        low, high = (round(bound, 4) for bound in stats.clopper_pearson(hits, len(cell)))
        said = {"n": len(cell), "p_at_most_05": hits, "share_05": round(hits / len(cell), 4), "low": low, "high": high}
        said |= {"parametric_01": sum(r["p_parametric"] <= 0.01 for r in cell)}
        said |= {"z_min": round(min(z), 2), "z_median": round(float(np.median(z)), 2), "z_max": round(max(z), 2)}
        found.append({**dict(zip(by, key, strict=True)), **said})
    return found


def backbones(store: Store) -> dict[str, Rows]:
    """Public weights: an mlp trained on the reserve. Sources fine-tune it on the owner's data, innocents elsewhere."""
    lab, found = Lab("garments-mlp", store), Rows()
    public = replace(lab.source(1), split="reserve", start=90_000, course=90_000)
    lab.make([public])
    tune, student = {"epochs": 4, "rate": 1e-3}, {"student": lab.task.others[0], "epochs": 12, "rate": 3e-3}
    where = ("innocent", "attacker", "innocent[0/2]", "owner")
    clean = lab.make([stolen(public, "ftal", tune, where[i % 4], 200 + i) for i in range(12)])
    for seed in (1, 2, 3):
        card = stolen(public, "ftal", tune, "owner", seed)
        source = lab.make([card])[0]
        thefts = [("quantise", {"bits": 6}), ("ftal", {"epochs": 2, "rate": 3e-4}), ("prune", {"amount": 0.3})]
        thefts += [("distill", student)]
        copies = lab.make([stolen(card, name, said, "attacker", 70 + i) for i, (name, said) in enumerate(thefts)])
        for null, first in (("from the same weights", card), ("from scratch", lab.source(seed))):
            twins = lab.make(twin_cards(first, TWINS))
            for name, method in METHODS.items():
                claim = lab.claim(method, card, [source, *twins])
                found += lab.told(claim, clean, copies, source=seed, twins=null, method=name)
    return {"rows": found, "summary": summary(found, "twins", "method", "kind")}


def data_free(store: Store) -> dict[str, Rows]:
    """Twins: real ones, and students of the source on uniform noise; queries are noise for all."""
    found = Rows()
    for lab, seed in ((Lab(task, store), seed) for task in ("diabetes", "friedman1") for seed in (1, 2, 3)):
        x = lab.data["queries"].inputs
        size = (2 * len(lab.data["owner"]), *x.shape[1:])
        noise = np.random.default_rng(0).uniform(x.min(axis=0), x.max(axis=0), size).astype(np.float32)
        card = lab.source(seed)
        source = lab.make([card])[0]
        learned = Samples(noise, outputs(source, noise).astype(np.float32), 0)
        short = replace(lab.how, epochs=max(5, lab.how.epochs // 2))
        pupils = [architectures.build(card.recipe, learned.shape, 1, seed=500 + i) for i in range(TWINS)]
        students = [fit(pupil, learned, short, seed=500 + i) for i, pupil in enumerate(pupils)]
        clean = lab.make([entry.card for entry in lab.entries(seed, "negative")])
        copies = lab.make([e.card for e in lab.entries(seed, "positive") if not e.group.startswith("distill")])
        real = lab.make(twin_cards(card, TWINS))
        for null, twins in (("twins on the owner's data", real), ("students of the source on noise", students)):
            for name, method in (("kinship", METHODS["kinship"]), ("tafa", Tafa(references=0, starts="noise"))):
                pool = Samples(noise, np.zeros((len(noise), 1), np.float32), 0)
                claim = lab.claim(method, card, [source, *twins], pool)
                found += lab.told(claim, clean, copies, task=lab.plan.data, source=seed, twins=null, method=name)
    return {"rows": found, "summary": summary(found, "task", "twins", "method", "kind")}


def with_activation(lab: Lab, activation: type[nn.Module], start: int, course: int, split: str) -> nn.Module:
    """A network of the task with another activation in place of every ReLU, trained."""
    samples = lab.data[split]
    network = architectures.build(lab.task.recipe, samples.shape, samples.outputs, seed=start)
    for name, layer in network.named_children():
        if isinstance(layer, nn.ReLU):
            setattr(network, name, activation())
    return fit(network, samples, lab.how, seed=course)


def smooth(store: Store) -> dict[str, Rows]:
    """The regressor of `diabetes` and the classifier of `garments-mlp`, every ReLU replaced before training."""
    found = Rows()
    kinds = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "softplus": nn.Softplus, "tanh": nn.Tanh}
    thefts = [("ftal", {"epochs": 3, "rate": 1e-3}), ("quantise", {"bits": 4}), ("weight-noise", {"level": 0.2})]
    thefts += [("prune", {"amount": 0.3}), ("prune", {"amount": 0.6, "epochs": 2})]
    for lab, kind in ((Lab(task, store), kind) for task in ("diabetes", "garments-mlp") for kind in kinds):
        trained = partial(with_activation, lab, kinds[kind])
        source, twins = trained(1, 1, "owner"), [trained(1, 1000 + i, "owner") for i in range(TWINS)]
        target = Open(source, Answers.VALUES if lab.task.values else Answers.LOGITS)
        made = [registry.make("attacks", name, said) for name, said in thefts]
        copies = [attack.steal(target, lab.data["attacker"], seed=5) for attack in made]
        others = [trained(300 + i, 300 + i, ("owner", "innocent")[i % 2]) for i in range(8)]
        for name, method in METHODS.items():
            about = {"task": lab.plan.data, "activation": kind, "method": name}
            try:
                claim = lab.claim(method, lab.source(1), [source, *twins])
            except BirthmarkError as error:
                found.append({**about, "kind": "refused", "reason": str(error)})
                continue
            found += lab.told(claim, others, copies, **about)
    return {"rows": found, "summary": summary([r for r in found if "z" in r], "task", "activation", "method", "kind")}


def unpaired(store: Store) -> dict[str, Rows]:
    """Source 1 and nine of its twins, each stolen by training a new generator on its samples."""
    found = Rows()
    for lab in (Lab(task, store) for task in ("vae", "gan")):
        owners = [lab.source(1), *twin_cards(lab.source(1), TWINS)]
        settings = {"student": lab.task.recipe, "epochs": lab.how.epochs, "rate": lab.how.rate}
        models = lab.make(owners)
        cards = [stolen(card, "distill", settings, "attacker", 9100 + i) for i, card in enumerate(owners[:10])]
        students = lab.make(cards)
        others = lab.make([entry.card for entry in lab.entries(1, "negative")])
        for i, student in enumerate(students):
            claim = lab.claim(Moments(references=0), owners[i], [models[i], *models[:i], *models[i + 1 :]])
            for kind, some, first in (("derived", [student], 77 + i), ("innocent", others, 900)):
                rows = [standing(claim, outputs(m, latents(500, 12, seed=first + j))) for j, m in enumerate(some)]
                found += [{"task": lab.plan.data, "source": i, "kind": kind, **row} for row in rows]
    return {"rows": found, "summary": summary(found, "task", "kind")}


# LiteGuard's and MetaV's rules are not bound to pictures and classes: one cohort for both, the source and six thefts by
# its owner on the reserve against references and twins; outputs standardised by the source's on the pool


def surrogates(lab: Lab, source: Card) -> list[Card]:
    """Six thefts by the owner, on the reserve, with settings that no suspect of the plan has."""
    student = {"student": "mlp:width=96,depth=1" if lab.task.generator else source.recipe}
    student |= {"epochs": max(10, lab.how.epochs), "rate": lab.how.rate}
    thefts = [("ftal", {"epochs": 3, "rate": lab.how.rate / 5}), ("ftal", {"epochs": 4, "rate": lab.how.rate / 2})]
    thefts += [("prune", {"amount": 0.4}), ("weight-noise", {"level": 0.15}), ("quantise", {"bits": 5})]
    thefts += [("distill", student)]
    first = 3_050 + source.start * 100_000
    return [stolen(source, name, said, "reserve", first + i) for i, (name, said) in enumerate(thefts)]


def readers(models: Sequence[nn.Module], values: bool, pool: Tensor) -> list[Network]:
    """Networks as functions to outputs (n, k) standardised by the first one's, without gradients of their weights."""

    def plain(model: nn.Module) -> Network:
        model.eval().requires_grad_(False)
        return lambda x: model(x).flatten(1) if values else model(x).softmax(dim=1)

    first = plain(models[0])(pool)
    mean, scale = first.mean(dim=0), first.std(dim=0).clamp_min(1e-3)
    return [lambda x, read=plain(model): (read(x) - mean) / scale for model in models]


def liteguard(source: Network, derived: list[Network], independent: list[Network], x: Tensor) -> Network:
    """Moves the inputs x in place; returns the suspect's outputs -> its verifiers' outputs (q,), one an input."""
    soft = nn.functional.softplus
    w = (0.1 * torch.randn(len(x), source(x).shape[1])).requires_grad_()
    b = torch.zeros(len(x), requires_grad=True)
    adam = torch.optim.Adam([{"params": [x], "lr": 0.02}, {"params": [w, b], "lr": 0.01}])
    for _ in range(400):
        one, other = derived[torch.randint(len(derived), ())], independent[torch.randint(len(independent), ())]
        of = [(network(x) * w).sum(1) + b for network in (source, one, other)]
        cost = 0.5 * soft(-of[0]) + soft(-of[1]) + 1.5 * soft(of[2])
        adam.zero_grad()
        cost.sum().backward()
        adam.step()
    return lambda rows: torch.sigmoid((rows * w.detach()).sum(1) + b.detach())


def metav(source: Network, derived: list[Network], independent: list[Network], x: Tensor) -> Network:
    """Moves the inputs x in place; returns the suspect's outputs -> the logit of one joint verifier of all together."""
    soft = nn.functional.softplus
    verifier = nn.Sequential(nn.Linear(source(x).numel(), 128), nn.Linear(128, 1))
    adam = torch.optim.Adam([{"params": [x], "lr": 0.02}, {"params": verifier.parameters(), "lr": 1e-3}])
    for _ in range(400):
        some, others = ([side[i] for i in torch.randint(len(side), (3,))] for side in (derived, independent))
        cost = soft(-verifier(source(x).flatten())) + sum(soft(-verifier(m(x).flatten())) for m in some) / 3
        cost = cost + sum(soft(verifier(m(x).flatten())) for m in others) / 3
        adam.zero_grad()
        cost.backward()
        adam.step()
    return lambda rows: verifier(rows.flatten()).detach()


def baselines(store: Store, out: Path, task: str, budgets: Sequence[int] = (60, 100, 300, 600)) -> None:
    """Craft and score both at every budget on every source of the task; scores alone, as neither has an error rate."""
    lab = Lab(task, store)
    for seed in lab.plan.sources:
        source, suspects = lab.source(seed), lab.entries(seed, "positive", "negative")
        owned = [source, *surrogates(lab, source), *reference_cards(source, 4), *twin_cards(source, 6)]
        pool = torch.from_numpy(np.array(lab.data["queries"].inputs))
        random = np.random.default_rng(seed)
        models = lab.make([*owned, *(entry.card for entry in suspects)])
        ours, *others = readers(models, lab.task.values, pool[:500])
        for name, craft in (("liteguard", liteguard), ("metav", metav)):
            began, cells = time.monotonic(), [dict[str, dict[str, float]]() for _ in suspects]
            for budget in budgets:
                with seeded(seed):
                    x = pool[random.permutation(len(pool))[:budget]].clone().requires_grad_()
                    verdict = craft(ours, others[:6], others[6 : len(owned) - 1], x)
                for cell, network in zip(cells, others[len(owned) - 1 :], strict=True):
                    value = float(verdict(network(x.detach())).mean())
                    cell[str(budget)] = {"score": value, "raw": value}
            head = {
                "format": FORMAT,
                "plan": lab.plan.name,
                "task": lab.plan.data,
                "title": lab.plan.title,
                "alpha": 0.05,
            }
            head |= {
                "source_seed": seed,
                "source": source.key,
                "method": name,
                "access": "probs",
                "seed": seed,
                "claim": "",
            }
            head |= {"settings": {"version": "task-agnostic, benchmarks/experiments.py"}, "queries": max(budgets)}
            head |= {"enrol_seconds": round(time.monotonic() - began, 2), "enrol_models": len(owned) - 1, "refused": ""}
            head |= {"score_seconds": 0.0, "versions": versions(), "machine": machine()}
            rows = [
                {key: getattr(entry, key) for key in ("name", "role", "group", "tier")}
                | {"key": entry.card.key, "shared": entry.source is None, "by_queries": cell}
                for entry, cell in zip(suspects, cells, strict=True)
            ]
            place = out / task.partition(":")[0] / f"{name}-probs-{seed}.json"
            write_atomically(place, canonical({**head, "suspects": rows}) + b"\n")


def query_sets(store: Store, folder: str, draws: int = 40) -> Rows:
    """Kinship's AUC when q of the claim's queries are drawn at random, and sources and suspects with them."""
    random, found = np.random.default_rng(0), Rows()
    for access, sizes in (("probs", [50, 500]), ("labels", [50, 500, 1500])):
        records = [json.loads(path.read_text()) for path in sorted(Path(folder).glob(f"kinship-{access}-*.json"))]
        z = [redrawn(record, store, sizes, draws) for record in records]
        kinds = sorted({s["group"] for record in records for s in record["suspects"] if s["role"] == "positive"})
        for group, size in ((group, size) for group in ("all", *kinds) for size in sizes if records):
            plain, boots = np.zeros((draws, len(z))), np.zeros((draws, len(z)))
            for draw, place in np.ndindex(draws, len(z)):
                suspects, row = records[place]["suspects"], z[place][size][draw]
                a = row[[s["role"] == "positive" and group in ("all", s["group"]) for s in suspects]]
                b = row[[s["role"] == "negative" for s in suspects]]
                plain[draw, place] = stats.auc(a, b)
                boots[draw, place] = stats.auc(random.choice(a, len(a)), random.choice(b, len(b)))
            spread = [row[random.integers(len(z), size=len(z))].mean() for row in boots]
            low, high = np.quantile(spread, [0.025, 0.975])
            about = {
                "method": "kinship",
                "access": access,
                "queries": size,
                "group": group,
                "sources": len(z),
                "draws": draws,
            }
            aucs = {"auc": plain.mean(), "auc_low": low, "auc_high": high}
            found.append({**about, **{key: round(float(value), 4) for key, value in aucs.items()}})
    return found


def redrawn(record: dict[str, Any], store: Store, sizes: list[int], draws: int) -> dict[int, Floats]:
    """By size: z of every suspect under every draw of queries (draws, suspects)."""
    places = [path for path in (store.folder / "claims").iterdir() if (path / "manifest.json").is_file()]
    claim, place = next((c, path) for path in places for c, d in [Claim.load(path)] if d == record["claim"])
    random = np.random.default_rng(record["source_seed"])
    files = [store.folder / "answers" / place.name / f"{suspect['key']}.npy" for suspect in record["suspects"]]
    answers = [np.load(file).astype(float) for file in files]
    if record["access"] == "labels":
        answers = [np.eye(rows.shape[1])[rows.argmax(1)] for rows in answers]
    found = {size: np.zeros((draws, len(answers))) for size in sizes}
    for size, draw in ((size, draw) for size in sizes for draw in range(draws)):
        some = random.choice(len(claim.queries), size, replace=False)
        parts = {k: v[some] if k == "queries" else v[..., some, :] for k, v in claim.tensors.items()}
        part = replace(claim, tensors=parts)
        found[size][draw] = [standing(part, rows[some])["z"] for rows in answers]
    return found


def naturalness(store: Store, plan: str, method: str) -> Rows:
    """Five-fold AUC of a small network that tells queries from as many held-out images, by claim of the store."""
    test, found = read(plan).load()[1]["test"].inputs, Rows()
    for path in sorted((store.folder / "claims").iterdir()):
        claim = Claim.load(path)[0]
        if claim.method == method:
            n, random = len(claim.queries), np.random.default_rng(0)
            x = np.concatenate([claim.queries, eight_bit(test[random.permutation(len(test))[:n]])])
            y, aucs = np.repeat([1, 0], n), list[float]()
            for fold in np.array_split(np.random.default_rng(0).permutation(2 * n), 5):
                rest, judge = np.setdiff1d(np.arange(2 * n), fold), architectures.build("cnn", x.shape[1:], 2, seed=0)
                fit(judge, Samples(x[rest], y[rest], 2), Training(epochs=30, batch=16, rate=3e-3), seed=0)
                lean = np.diff(outputs(judge, x[fold]))[:, 0]
                aucs.append(stats.auc(lean[y[fold] == 1], lean[y[fold] == 0]))
            found.append({"method": method, "settings": dict(claim.settings), "naturalness": float(np.mean(aucs))})
    return found


def without(store: Store, out: Path, part: str, task: str) -> None:
    """Records of the plan fingerbench-tasks/TASK, for `birthmark bench compare` with those of the whole comparison."""
    for cls in (Kinship, Lineage):
        cls.allowed = {**cls.allowed, "treated": "[0, inf)"}
        if part != "treated":
            cls.how = property(partial(lambda how, self: replace(how(self), **{part: False}), cls.how.fget))
    plan, off = read(f"fingerbench-tasks/{task}"), {"treated": 0} if part == "treated" else {}
    own = {name: {**plan.methods[name], **off} for name in ("kinship", "lineage")}
    run(plan, store.folder, out, Serial(), Choice(own, budgets=(300, 600)))


EXPERIMENTS = {"backbones": backbones, "data-free": data_free, "smooth": smooth, "unpaired": unpaired}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("baselines", "without", *EXPERIMENTS, "query-sets", "naturalness"))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    store, said = Store(given.store), given.arguments
    if given.name == "baselines":
        for task in said:
            baselines(store, given.out, task)
    elif given.name == "without":
        without(store, given.out, *said)
    else:
        head = {"format": "birthmark/experiment/1", "experiment": given.name}
        others = {"query-sets": query_sets, "naturalness": naturalness}
        record = others[given.name](store, *said) if given.name in others else head | EXPERIMENTS[given.name](store)
        write_atomically(given.out / f"{given.name}.json", json.dumps(record, indent=1).encode() + b"\n")
