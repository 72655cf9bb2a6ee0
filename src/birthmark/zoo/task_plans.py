"""The plans of fingerbench-tasks: for every task three sources, the thefts of each, and innocents that all share.

Real-valued tasks need other networks and other amounts of training than image classifiers, so these plans are written
as rules in Python over `birthmark.data.tasks`, and read as `fingerbench-tasks/TASK`. Source 0 is for choosing settings;
the plan's own sources are 1, 2 and 3. `fingerbench-tasks/TASK-99-twins` is a plan of its own, with as many twins as a
rank p of .01 needs and twice the innocents.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from birthmark.data.tasks import TASKS
from birthmark.errors import nearest
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.cohort import reference_cards, treated_cards, twin_cards
from birthmark.zoo.plan import Entry, Plan

NAME = "fingerbench-tasks"
TWINS, REFERENCES, TREATED, SAME_START = 19, 4, 5, 20
MANY = "-99-twins"
MORE_INNOCENTS = frozenset({"diabetes"})  # whose networks are made in a moment
METHODS: Mapping[str, Mapping[str, Any]] = {
    "kinship": {"queries": 600, "references": REFERENCES, "treated": TREATED},
    "tafa": {"queries": 600, "references": REFERENCES},
    "lineage": {"queries": 600, "references": REFERENCES, "treated": TREATED},
}
BUDGETS = (60, 100, 300, 600)


def source_card(task: str, seed: int) -> Card:
    """A source's card."""
    return Card(
        kind="trained",
        data={"name": task},
        split="owner",
        recipe=TASKS[task].recipe,
        start=seed,
        course=seed,
        training=TASKS[task].training,
    )


def treatments(task: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Thefts by name: attack and settings. Rates are shares of the one the source was trained with."""
    what = TASKS[task]
    epochs, rate = int(what.training["epochs"]), float(what.training.get("rate", 6e-3))
    same, other = ("mlp:width=96,depth=1", "mlp:width=160,depth=1") if what.generator else (what.recipe, what.others[0])
    student = {"epochs": max(10, epochs), "rate": rate}
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "ftll": ("ftll", {"epochs": 5, "rate": 1e-3}),
        "ftal-light": ("ftal", {"epochs": 2, "rate": rate / 10}),
        "ftal-heavy": ("ftal", {"epochs": 5, "rate": rate / 2}),
        "prune-30": ("prune", {"amount": 0.3}),
        "prune-60-ft": ("prune", {"amount": 0.6, "epochs": 2}),
        "quantise-4": ("quantise", {"bits": 4}),
        "noise-.1": ("weight-noise", {"level": 0.1}),
        "noise-.2": ("weight-noise", {"level": 0.2}),
        "distill-same": ("distill", {"student": same, **student}),
        "distill-other": ("distill", {"student": other, **student}),
    }
    if what.generator:
        found["unpaired"] = ("distill", {"student": what.recipe, "epochs": epochs, "rate": rate})
    for name in ("distill-same", "distill-other"):  # the rarest thefts a second time, by another student
        found[f"{name}-2"] = found[name]
    return found


def derived(task: str, source: Card) -> dict[str, Card]:
    """All thefts of a source, by name."""
    return {
        name: stolen(source, attack, settings, "attacker", source.start * 1000 + 50 + i)
        for i, (name, (attack, settings)) in enumerate(treatments(task).items())
    }


def innocents(
    task: str, base: int = 700, same: int = 4, other: int = 4, architectures: int = 4
) -> dict[str, tuple[str, Card]]:
    """Tier and card of every independent model, by name; `base` is where their seeds begin."""
    source = source_card(task, 0)

    def made(seed: int, **other: Any) -> Card:
        return replace(source, start=seed, course=seed, **other)

    found = {f"same-data-{i}": ("same data, other seed", made(base + i)) for i in range(same)}
    found |= {f"other-data-{i}": ("other data", made(base + 20 + i, split="innocent")) for i in range(other)}
    for i in range(architectures):
        recipe, split = TASKS[task].others[i // 2 % 2], ("owner", "innocent")[i % 2]
        found[f"other-arch-{i}"] = ("other architecture", made(base + 40 + i, recipe=recipe, split=split))
    first, second = found["same-data-0"][1], found["other-data-0"][1]
    done = treatments(task)
    for i, (name, parent) in enumerate(
        [
            ("ftal-light", first),
            ("ftal-heavy", second),
            ("prune-60-ft", first),
            ("quantise-4", second),
            ("noise-.2", second),
            ("distill-other", first),
        ]
    ):
        found[f"attacked-{name}"] = (
            "attacked copy of an independent",
            stolen(parent, *done[name], "attacker", base + 60 + i),
        )
    return found


def same_start(source: Card, n: int = SAME_START) -> dict[str, Card]:
    """Innocents by name that start where the source does, on other data: the whole of it and shares, in turn."""
    pieces = ("innocent", "attacker", "innocent[0/2]", "innocent[1/2]")
    return {
        f"same-start-{i}": replace(source, split=pieces[i % 4], course=source.course * 1000 + 900 + i) for i in range(n)
    }


def plan(task: str, *, sources: tuple[int, ...] = (1, 2, 3)) -> Plan:
    """A task's plan.

    Raises:
        UnknownName: no such task.
    """
    task, many, _ = task.partition(MANY)
    if task not in TASKS:
        raise nearest("task", task, TASKS)
    twins = 99 if many else TWINS
    entries = []
    for seed in sources:
        source = source_card(task, seed)
        entries += [Entry("source", source, "source", "source", source=seed)]
        entries += [
            Entry(f"twin {i}", card, "twin", "twin", source=seed) for i, card in enumerate(twin_cards(source, twins))
        ]
        entries += [
            Entry(f"reference {i}", card, "craft", "reference", source=seed)
            for i, card in enumerate(reference_cards(source, REFERENCES))
        ]
        entries += [
            Entry(f"reference {i}, treated {j}", card, "craft", "treated", source=seed)
            for i, cards in enumerate(treated_cards(source, REFERENCES, TREATED))
            for j, card in enumerate(cards)
        ]
        entries += [
            Entry(name, card, "positive", name.removesuffix("-2"), source=seed)
            for name, card in derived(task, source).items()
        ]
        entries += [
            Entry(name, card, "negative", "clean", "same start, other data", source=seed)
            for name, card in same_start(source).items()
        ]
    entries += [Entry(name, card, "negative", "clean", tier) for name, (tier, card) in innocents(task).items()]
    if many or task in MORE_INNOCENTS:
        entries += [
            Entry(f"more-{name}", card, "negative", "clean", tier)
            for name, (tier, card) in innocents(task, 800).items()
        ]
    methods = {name: {**settings, "placebos": twins} for name, settings in METHODS.items()}
    return Plan(NAME + many, f"{task} of {NAME}{many}", task, 0, False, sources, tuple(entries), methods)
