"""The plans of fingerbench-tasks: for every task three sources, the thefts of each, and innocents that all share.

Real-valued tasks need other networks and other amounts of training than image classifiers, so these plans are written
as rules in Python over `birthmark.data.tasks`, and read as `fingerbench-tasks/TASK`. Source 0 is for choosing settings;
the plan's own sources are 1, 2 and 3; `TASK:0,10,11` has others, with innocents of their own. Plans beside it:

    TASK-99-twins   as many twins as a rank p of .01 needs, and twice the innocents
    TASK-hard       thefts that no method was made for
    TASK-coarse     the same suspects, their answers rounded, cut to the three largest, or labels alone
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from birthmark.data.tasks import TASKS
from birthmark.errors import SettingError, nearest
from birthmark.types import Settings
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.cohort import DECODERS, reference_cards, treated_cards, twin_cards
from birthmark.zoo.plan import Entry, Plan

NAME = "fingerbench-tasks"
TWINS, REFERENCES, TREATED, SAME_START = 19, 4, 5, 20
MANY, HARD, COARSE = "-99-twins", "-hard", "-coarse"
SOURCES, INNOCENTS, OTHER_INNOCENTS = (1, 2, 3), 700, 1700  # and where seeds of innocents begin
ROUNDED = tuple(f"round:digits={digits}" for digits in (4, 3, 2, 1))
MORE_INNOCENTS = frozenset({"diabetes"})  # whose networks are made in a moment
METHODS: Mapping[str, Settings] = {
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


def treatments(task: str) -> dict[str, tuple[str, Settings]]:
    """Thefts by name: attack and settings. Rates are shares of the one the source was trained with."""
    what = TASKS[task]
    epochs, rate = int(what.training["epochs"]), float(what.training.get("rate", 6e-3))
    same, other = ("mlp:width=96,depth=1", "mlp:width=160,depth=1") if what.generator else (what.recipe, what.others[0])
    student = {"epochs": max(10, epochs), "rate": rate}
    found: dict[str, tuple[str, Settings]] = {
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

    def made(seed: int, split: str = "owner", recipe: str = source.recipe) -> Card:
        return replace(source, start=seed, course=seed, split=split, recipe=recipe)

    found = {f"same-data-{i}": ("same data, other seed", made(base + i)) for i in range(same)}
    found |= {f"other-data-{i}": ("other data", made(base + 20 + i, "innocent")) for i in range(other)}
    for i in range(architectures):
        recipe, split = TASKS[task].others[i // 2 % 2], ("owner", "innocent")[i % 2]
        found[f"other-arch-{i}"] = ("other architecture", made(base + 40 + i, split, recipe))
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


def harder(task: str, source: Card) -> dict[str, Card]:
    """Thefts that no method was made for, by name; `distill-tuned` is extracted from the copy called ftal-heavy."""
    what = TASKS[task]
    epochs, rate = int(what.training["epochs"]), float(what.training.get("rate", 6e-3))
    same, other, third = (*DECODERS, "mlp:width=64,depth=2") if what.generator else (what.recipe, *what.others)
    long = {"epochs": max(10, epochs), "rate": rate}
    thefts: dict[str, tuple[str, Settings]] = {
        "ftal-full": ("ftal", long),
        "rtal": ("rtal", {"epochs": 5, "rate": rate / 2}),
        "prune-80-ft": ("prune", {"amount": 0.8, "epochs": 5}),
        "regularise": ("regularise", {"rate": rate / 4}),
        "distill-third": ("distill", {"student": third, **long}),
        "distill-few": ("distill", {"student": same, **long}),
        "double": ("double", {"between": other, "student": same, **long}),
        "distill-tuned": ("distill", {"student": same, **long}),
    }
    if what.generator:  # whose last layer is no classifier's
        del thefts["rtal"]
    places = {name: source.start * 1000 + 300 + i for i, name in enumerate(thefts)}
    found = {name: stolen(source, *theft, "attacker", places[name]) for name, theft in thefts.items()}
    found["distill-few"] = replace(found["distill-few"], split="attacker[0/4]")
    found["distill-tuned"] = replace(found["distill-tuned"], parents=(derived(task, source)["ftal-heavy"].key,))
    return found


def plan(name: str) -> Plan:
    """A task's plan, TASK[-99-twins|-hard|-coarse][:SEED,SEED...].

    Raises:
        UnknownName: no such task.
        SettingError: seeds that are no numbers.
    """
    stem, _, seeds = name.partition(":")
    kind = next((kind for kind in (MANY, HARD, COARSE) if stem.endswith(kind)), "")
    task = stem.removesuffix(kind)
    if task not in TASKS:
        raise nearest("task", task, TASKS)
    sources, twins = _sources(stem, seeds) or SOURCES, 99 if kind == MANY else TWINS
    entries = [entry for seed in sources for entry in _around(task, source_card(task, seed), twins, kind == HARD)]
    entries += _strangers(task, sources, kind == MANY or task in MORE_INNOCENTS)
    entries = _coarsened(entries, TASKS[task].values) if kind == COARSE else entries
    methods = {title: {**settings, "placebos": twins} for title, settings in METHODS.items()}
    return Plan(NAME + kind, f"{task} of {NAME}{kind}", task, 0, False, sources, tuple(entries), methods)


def _strangers(task: str, sources: tuple[int, ...], twice: bool) -> Iterator[Entry]:
    base = INNOCENTS if set(sources) <= set(SOURCES) else OTHER_INNOCENTS
    for more, first in (("", base), ("more-", base + 100))[: 1 + twice]:
        for title, (tier, card) in innocents(task, first).items():
            yield Entry(f"{more}{title}", card, "negative", "clean", tier)


def _sources(stem: str, text: str) -> tuple[int, ...]:
    seeds = text.split(",") if text else []
    if not all(seed.isdecimal() for seed in seeds):
        raise SettingError(f"expected seeds of sources as in {stem}:4,5, got {text!r}")
    return tuple(map(int, seeds))


def _around(task: str, source: Card, twins: int, hard: bool) -> Iterator[Entry]:
    """A source, the owner's models, its thefts, and innocents that start where it does."""
    entry, known = partial(Entry, source=source.start), derived(task, source)
    yield entry("source", source, "source", "source")
    for i, card in enumerate(twin_cards(source, twins)):
        yield entry(f"twin {i}", card, "twin", "twin")
    for i, card in enumerate(reference_cards(source, REFERENCES)):
        yield entry(f"reference {i}", card, "craft", "reference")
    for i, cards in enumerate(treated_cards(source, reference_cards(source, REFERENCES), TREATED)):
        for j, card in enumerate(cards):
            yield entry(f"reference {i}, treated {j}", card, "craft", "treated")
    if hard:
        yield entry("ftal-heavy", known["ftal-heavy"], "craft", "parent")
    for title, card in (harder(task, source) if hard else known).items():
        yield entry(title, card, "positive", title.removesuffix("-2"))
    for title, card in same_start(source).items():
        yield entry(title, card, "negative", "clean", "same start, other data")


def _coarsened(entries: list[Entry], values: bool) -> list[Entry]:
    """Every suspect as it is and behind each evasion, which is its group or follows its tier."""
    found = list[Entry]()
    for entry in entries:
        found.append(entry)
        for evasion in ROUNDED if values else (*ROUNDED, "topk:k=3", "argmax"):
            thief = entry.role == "positive"
            group, tier = (evasion, "") if thief else (entry.group, f"{entry.tier}, {evasion}")
            if entry.role in ("positive", "negative"):
                found.append(replace(entry, name=f"{entry.name} {evasion}", evasion=(evasion,), group=group, tier=tier))
    return found
