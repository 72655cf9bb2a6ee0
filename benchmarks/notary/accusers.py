"""Lying owners against independent suspects: how often `verify`, each check of the judge's, and all of them are passed.

    python benchmarks/notary/accusers.py digits|garments [SECONDS]

Every attack of tests/false_claims/world.py, by kinship. An attempt has a source and a suspect of its own; attempts of
one start share the accuser's 19 twins and the judge's (99 on digits, 19 on garments), as well as all references. A row
of the record is one attempt; rows are appended, and what is there is not done again. `honest theft` rows are honest
owners against models derived from their sources. `old time stamp` tries the stamp of another commitment.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import torch
from torch import nn

from birthmark import data, registry
from birthmark.data import Data
from birthmark.evidence import Verdict
from birthmark.methods.kinship import Kinship
from birthmark.notary.cases import Case
from birthmark.notary.checks import Check, Known, Outcome
from birthmark.notary.commitments import BEFORE_DISPUTE, commit
from birthmark.notary.comparing import alike, from_pool, innocents
from birthmark.notary.folders import Sealed
from birthmark.notary.judging import judge
from birthmark.notary.provenance import answered, fixed, rebuilt, regenerated
from birthmark.notary.workbench import judges_method
from birthmark.types import Samples
from birthmark.verdict import Conclusion, conclude, verdict_of
from birthmark.verify import ask, verify
from birthmark.workshop import training
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.owner import Owner, enrolling
from birthmark.zoo.make import make
from birthmark.zoo.store import Store
from false_claims.world import ATTACKS, Accusation, Sharing, World, labelled, shown, suspect
from false_claims.world import fixed as promised

HERE = Path(__file__).parent
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


@dataclass(frozen=True)
class Task:
    """Where accusers try.

    Attributes:
        attempts: a kind of attack; starts: that they are shared out to. twins: of the judge's. poisoned: attempts of
            those whose data hold the suspect's answers, which take twins of their own.
    """

    name: str
    recipe: str
    training: dict[str, Any]
    attempts: int
    starts: int
    twins: int
    poisoned: int
    queries: int


TASKS = {
    "digits": Task("digits", "mlp:width=32", {"epochs": 8, "batch": 32}, 240, 1, 99, 20, 80),
    "garments": Task(
        "garments-mlp", "mlp:width=32", {"epochs": 6, "batch": 128, "rate": 5e-3, "bf16": False}, 40, 1, 19, 4, 200
    ),
}
KINDS = (  # of innocents: split, recipe, whether they start where the source does
    ("innocent", "", False),
    ("attacker", "", False),
    ("innocent", "mlp-deep", False),
    ("owner", "", False),
    ("innocent", "", True),
)


class Workshop:
    """Models of cards, kept in memory and on disk."""

    def __init__(self, parts: Data) -> None:
        self.parts, self.made, self.store = parts, dict[str, nn.Module](), Store(HERE / "zoo")

    def __call__(self, cards: Any) -> list[nn.Module]:
        return [self.one(card) for card in cards]

    def one(self, card: Card) -> nn.Module:
        if card.key not in self.made:
            if card.key not in self.store:
                made = make(card, {key: self.made[key] for key in card.parents}, self.parts)
                self.store.save(card, made, self.parts.shape)
            self.made[card.key] = self.store.load(card.key)
        return self.made[card.key]


class Place:
    """One start: its honest recipe, its accuser's twins, its judge."""

    def __init__(self, task: Task, parts: Data, start: int) -> None:
        self.task, self.start, self.workshop = task, start, Workshop(parts)
        base = Card(
            "trained", parts.about("owner"), "owner", task.recipe, start=start, course=1, training=task.training
        )
        source, method = self.workshop.one(base), Kinship(queries=task.queries, placebos=19, references=8, treated=1)
        pieces = (parts["owner"], parts["reserve"], parts["queries"])
        self.world = World(parts, Sharing(source, base, *pieces, self.workshop, base=base), method)
        self.before = dict[tuple[str, int, int], Conclusion]()

    def accuser(self, number: int) -> World:
        """An accuser with a source of their own."""
        card, source = self.world.source(10_000 + number)
        return replace(self.world, owner=replace(self.world.owner, card=card, source=source), seed=number)

    def innocent(self, number: int) -> nn.Module:
        split, recipe, same = KINDS[number % len(KINDS)]
        card = self.world.owner.card
        start = self.start if same else 20_000 + number
        return self.workshop.one(
            replace(card, split=split, recipe=recipe or card.recipe, start=start, course=30_000 + number)
        )

    def attempt(self, attack: str, accusation: Accusation, accused: nn.Module, *, twins: int = 0) -> dict[str, Any]:
        """What each check says of one accusation."""
        case, world = self.case(accusation), self.world
        bench = world.bench(accusation.owner)
        found = [
            fixed(case, bench.owner, "weights"),
            answered(case.claim, bench.owner),
            rebuilt(bench.owner, bench.own, self.workshop.one),
        ]
        same = found[-1].words.startswith("the recipe gives")
        found += [regenerated(case, bench.owner, same), alike(case, bench.owner, bench.own)]
        found += [innocents(case, bench.own), from_pool(case, bench.owner)]
        row: dict[str, Any] = {"verify": str(case.stated["verdict"]), "replayed": case.replayed.verdict.value}
        row |= {check.name: check.outcome.value for check in found}
        row |= self.asked(case, bench.own, accused, twins or self.task.twins)
        found.append(Check("asked", Outcome.HELD if row["asked_05"] == "supported" else Outcome.FAILED, ""))
        for name, known in (("unknown", None), ("known", NOW - timedelta(days=99)), ("granted", LATER)):
            row[f"dates_{name}"] = judge(case, Known(since=known), found).finding.value
        return {"attack": attack, **row}

    def case(self, accusation: Accusation) -> Case:
        """The accusation's papers, committed to now."""
        claim, owner = accusation.claim, accusation.owner
        evidence = verify(claim, accusation.recorded, alpha=0.05)
        stated = {**evidence.as_dict(), **accusation.edits, "transcript": EMPTY}
        made = commit(BEFORE_DISPUTE, "A", promised(self.world, owner, claim), b"s" * 32, round=("beacon", "1"))
        return Case(Sealed({"transcript.jsonl": b""}, "key", "now"), stated, claim, evidence, made, None, NOW)

    def asked(self, case: Case, own: Owner, accused: nn.Module, twins: int) -> dict[str, Any]:
        """The judge's own test, at both levels."""
        method = replace(judges_method(case), placebos=twins)
        key = (str(method), id(own.source), id(accused))  # all of them are kept
        if key not in self.before:
            claim = method.fit(own, seed=0)
            self.before[key] = conclude(claim, ask(claim, shown(accused), len(claim.queries)), 0.05)
        found = self.before[key]
        strict = verdict_of(found.standing, 0.01)[0].value if twins >= 99 else "inconclusive"
        z = round(float(found.standing.z), 2)
        return {"asked_05": found.verdict.value, "asked_01": strict, "asked_p": found.standing.p, "asked_z": z}


def remember(answer: Any) -> Any:
    """A function of a network and inputs that works each answer out once."""
    known = dict[tuple[int, bytes], Any]()

    def remembered(model: nn.Module, inputs: Any, *more: Any) -> Any:
        key = (id(model), inputs.tobytes())
        if key not in known:
            known[key] = (answer(model, inputs, *more), model)  # a model that is kept keeps its id
        return known[key][0]

    return remembered


POISONED = "suspect's answers in the data"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of a transcript without lines


def best(world: World, accused: nn.Module) -> Accusation:
    """The look that fits the suspect best: methods, budgets, kinds of answers."""
    looks = [replace(world, method=replace(world.method, queries=n)) for n in (20, 40, 80)]
    found = []
    for look in looks:
        claim = look.claim(world.owner)
        found += [Accusation(world.owner, claim, show(accused)) for show in (suspect, labelled)]
    for name in ("akh", "random-queries"):
        claim = registry.make("methods", name, {"queries": 80}).fit(enrolling(world.owner, 0), seed=0)
        found.append(Accusation(world.owner, claim, suspect(accused)))
    ranked = [verify(one.claim, one.recorded, alpha=0.05) for one in found]
    order = sorted(range(len(found)), key=lambda i: (ranked[i].verdict is not Verdict.SUPPORTED, -ranked[i].z))
    return found[order[0]]


def poisoned(place: Place, number: int, accused: nn.Module) -> dict[str, Any]:
    """The suspect's answers in the committed data: the source rebuilds, and so do twins that hold them as well."""
    world, parts = place.world, place.world.parts
    labels = shown(accused)(parts["owner"].inputs).argmax(axis=1)
    mine = Samples(parts["owner"].inputs, labels, parts["owner"].classes)
    false = replace(parts, parts={**parts.parts, "owner": mine})
    other = Place(replace(place.task, twins=19), false, 40_000 + number)
    return other.attempt(
        POISONED, world.accuses(other.world.owner, accused, other.world.claim(other.world.owner)), accused
    )


def thefts(place: Place, world: World, number: int) -> tuple[str, nn.Module]:
    """A model derived from the source."""
    kind = ("tuned copy", "pruned copy", "student", "noisy copy")[number % 4]
    attack, settings = {
        "tuned copy": ("ftal", {"epochs": 3, "rate": 2e-3}),
        "pruned copy": ("prune", {"amount": 0.5, "epochs": 1}),
        "student": ("distill", {"student": place.task.recipe, "epochs": 20, "batch": 32}),
        "noisy copy": ("weight-noise", {}),
    }[kind]
    return kind, place.workshop.one(stolen(world.owner.card, attack, settings, "attacker", number))


def attempts(place: Place, number: int) -> Iterator[tuple[str, Any]]:
    """Everything that is tried with one suspect, each to be done when its turn comes."""
    world, accused = place.accuser(number), place.innocent(number)
    for attack, how in ATTACKS.items():
        yield attack, lambda how=how, attack=attack: place.attempt(attack, how(world, accused), accused)
    yield "best of 8 looks", lambda: place.attempt("best of 8 looks", best(world, accused), accused)
    yield "honest theft", lambda: honest(place, world, number)


def honest(place: Place, world: World, number: int) -> dict[str, Any]:
    kind, derived = thefts(place, world, number)
    return {**place.attempt("honest theft", world.accuses(world.owner, derived), derived), "kind": kind}


def run(task: Task, seconds: float, out: Path) -> bool:
    """Attempts until the time is up; whether all are done."""
    torch.set_num_threads(1)
    training.probabilities = remember(training.probabilities)
    parts, ends = data.load(task.name), time.monotonic() + seconds
    rows = map(json.loads, out.read_text().splitlines()) if out.exists() else ()
    done = {(row["attack"], row["number"]) for row in rows}
    for number, attack, how in everything(task, parts):
        if (attack, number) in done:
            continue
        if time.monotonic() > ends:
            return False
        row = how()
        with out.open("a") as file:
            file.write(json.dumps({"number": number, **row}) + "\n")
    return True


def everything(task: Task, parts: Data) -> Iterator[tuple[int, str, Any]]:
    """Every attempt, those last whose data hold the suspect's answers."""
    each = task.attempts // task.starts
    for start in range(task.starts):
        place = Place(task, parts, start)
        for number in range(start * each, (start + 1) * each):
            for attack, how in attempts(place, number):
                yield number, attack, how
    for number in range(task.poisoned):
        yield number, POISONED, lambda n=number: poisoned(place, n, place.innocent(n))


if __name__ == "__main__":
    chosen = TASKS[sys.argv[1]]
    limit = float(sys.argv[2]) if len(sys.argv) > 2 else 1e9
    print("all" if run(chosen, limit, HERE / f"accusers-{chosen.name}.jsonl") else "more to do")
