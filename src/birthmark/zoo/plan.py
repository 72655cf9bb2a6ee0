"""Plans: TOML files that list a benchmark's models by rule.

A rule makes one model, or one for every combination of its `each` lists. Whether a model is a positive is never
written: it is one if and only if it descends from the source. Rules that descend from no source are shared by all
sources of the plan. See docs/benchmark.md for the format.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from birthmark.data import Data
from birthmark.data import load as load_data
from birthmark.data.foreign import with_foreign
from birthmark.errors import DataError, SettingError, nearest
from birthmark.registry import code_of
from birthmark.types import Plain
from birthmark.workshop.card import Card, stolen
from birthmark.workshop.cohort import REFERENCE_ARCHITECTURES, reference_cards, surrogate_cards, twin_cards
from birthmark.zoo.rules import MOST, combinations, filled, known

KEYS = {
    "title",
    "data",
    "data_seed",
    "foreign",
    "sources",
    "cohort",
    "source",
    "students",
    "lists",
    "rule",
    "gpus",
    "methods",
}
RULE = {
    *("name", "of", "attack", "settings", "recipe", "training", "split", "start", "group", "tier", "each", "count"),
    *("evasion", "watermark", "through"),
}


@dataclass(frozen=True)
class Entry:
    """One model in a plan: how it is made, and what it is for.

    Attributes:
        name: unique for its source.
        role: "source", "twin", "craft" (the owner makes claims with it), "reference" (the owner ranks against it),
            "positive" or "negative" (suspects).
        group: kind of theft, for positives; of treatment, for negatives.
        tier: kind of innocent; empty for others.
        source: seed of the source it belongs to; None for models that are shared by all sources.
        evasion: wrappers around a suspect's answers, "name" or "name:setting=value".
        client: the model that learned from marked answers, itself or what it descends from, by name; empty without.
    """

    name: str
    card: Card
    role: str
    group: str
    tier: str = ""
    source: int | None = None
    evasion: tuple[str, ...] = ()
    client: str = ""


@dataclass(frozen=True)
class Plan:
    """A benchmark: data, sources, and all models around them.

    Attributes:
        sources: seeds of the sources; `of(seed)` lists what belongs to one.
        methods: what the bench runs on it: settings by the method's name.
        gpus: share of a GPU one training takes, on executors that have GPUs.
    """

    name: str
    title: str
    data: str
    data_seed: int
    foreign: bool
    sources: tuple[int, ...]
    entries: tuple[Entry, ...]
    methods: Mapping[str, Plain]
    gpus: float = 0.0

    def of(self, source: int) -> list[Entry]:
        """The source's own entries and the shared ones, in the plan's order.

        Raises:
            SettingError: the plan has no such source.
        """
        if source not in self.sources:
            raise SettingError(f"plan {self.name} has the sources {', '.join(map(str, self.sources))}, got {source}")
        return [entry for entry in self.entries if entry.source in (None, source)]

    def cards(self, sources: Sequence[int] = ()) -> list[Card]:
        """The cards of all entries of these sources (default all), each once, parents first."""
        wanted = [entry.card for source in sources or self.sources for entry in self.of(source)]
        return list({card.key: card for card in wanted}.values())

    def load(self, directory: Path | None = None) -> "tuple[Plan, Data]":
        """The plan with its data's content in every card, and the data.

        Raises:
            DataError: not found, or damaged.
        """
        data = load_data(self.data, seed=self.data_seed, directory=directory)
        if self.foreign:
            data = with_foreign(data, seed=self.data_seed, directory=directory)
        return self.bound(data), data

    def bound(self, data: Data) -> "Plan":
        """The plan whose cards hold the digest of their data, so that other content makes other keys."""
        cards, made = {entry.card.key: entry.card for entry in self.entries}, dict[str, Card]()

        def with_content(key: str) -> Card:
            if key not in made:
                card = cards[key]
                parents = tuple(with_content(parent).key for parent in card.parents)
                made[key] = replace(card, data=data.about(card.split), parents=parents)
            return made[key]

        return replace(self, entries=tuple(replace(e, card=with_content(e.card.key)) for e in self.entries))


def parse(name: str, said: Plain) -> Plan:
    """A plan from its parsed TOML."""
    known(f"plan {name}", said, KEYS)
    try:
        recipe, split = said["source"]["recipe"], said["source"]["split"]
        about = {"name": said["data"]}
        seeds = tuple(int(seed) for seed in said["sources"])
    except (KeyError, TypeError) as error:
        raise SettingError(
            f"plan {name}: expected data, sources, and [source] with recipe and split; {error} is not there"
        ) from None
    shared, entries = list[Entry](), list[Entry]()
    for seed in seeds:
        source = Card("trained", about, split, recipe, seed, seed, training=said["source"].get("training", {}))
        own = list(_Family(name, said, source).entries())
        entries += [entry for entry in own if entry.source is not None]
        shared = [entry for entry in own if entry.source is None]
    if not entries:
        raise SettingError(f"plan {name}: expected at least one source, got none")
    return Plan(
        name,
        said.get("title", name),
        said["data"],
        int(said.get("data_seed", 0)),
        bool(said.get("foreign", False)),
        seeds,
        (*entries, *shared),
        said.get("methods", {}),
        float(said.get("gpus", 0)),
    )


@dataclass
class _Family:
    """One source and everything around it."""

    plan: str
    said: Plain
    source: Card
    made: dict[str, Entry] = field(default_factory=dict)
    rules: dict[str, tuple[Plain, Plain]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def entries(self) -> Iterator[Entry]:
        seed, cohort = self.source.start, self.said.get("cohort", {})
        known("[cohort]", cohort, {"twins", "references", "surrogates", "crafting", "architectures"})
        crafting = cohort.get("crafting", cohort.get("references", 0))
        if not all(_countable(number) for key, number in cohort.items() if key != "architectures"):
            raise SettingError(f"plan {self.plan}, [cohort]: expected whole numbers from 0 to {MOST}")
        self.made["source"] = Entry("source", self.source, "source", "source", source=seed)
        yield self.made["source"]
        for role, group, cards in (
            ("twin", "twin", twin_cards(self.source, cohort.get("twins", 0))),
            ("craft", "surrogate", surrogate_cards(self.source, cohort.get("surrogates", 0))),
            ("craft", "reference", self._references()),
        ):
            for i, card in enumerate(cards):
                yield Entry(
                    f"{group} {i}",
                    card,
                    "reference" if group == "reference" and i >= crafting else role,
                    group,
                    source=seed,
                )
        if self.said["source"].get("suspect"):
            yield Entry("copy", self.source, "positive", "copy", source=seed)
        for rule in self.said.get("rule", []):
            self._name(rule)
        for title in self.rules:
            yield self.entry(title)

    def _references(self) -> list[Card]:
        """The owner's references, of the plan's own `architectures` if it lists some."""
        cohort = self.said.get("cohort", {})
        chosen = tuple(cohort.get("architectures", ())) or REFERENCE_ARCHITECTURES
        return reference_cards(self.source, cohort.get("references", 0), chosen)

    def _name(self, rule: Plain) -> None:
        """Keep a rule under the name of each model that it makes."""
        for values in combinations(rule, self.said.get("lists", {})):
            title = filled(rule.get("name", ""), values)
            if not title or title in self.rules or title == "source":
                raise SettingError(
                    f"plan {self.plan}: expected every model to have a name of its own, got {title!r} twice or none"
                )
            self.rules[title] = (rule, values)

    def entry(self, title: str) -> Entry:
        if title in self.made:
            return self.made[title]
        if title not in self.rules:
            raise nearest(f"model in plan {self.plan}", title, ["source", *self.rules])
        if title in self.open:
            raise SettingError(f"plan {self.plan}: models are each other's parents: {' -> '.join([*self.open, title])}")
        self.open.append(title)
        rule, values = self.rules[title]
        known(f"plan {self.plan}, rule {rule['name']!r}", rule, RULE)
        named = rule.get("of", ())
        parents = [self.entry(filled(one, values)) for one in ([named] if isinstance(named, str) else named)]
        if "watermark" in rule and "attack" not in rule:
            self.made[title] = self._imprinted(title, rule, values)
        elif parents:
            self.made[title] = self._stolen(title, rule, values, parents)
        else:
            self.made[title] = self._trained(title, rule, values)
        self.open.pop()
        return self.made[title]

    def _imprinted(self, title: str, rule: Plain, values: Plain) -> Entry:
        """The source trained under a key of its own; with `of`, tuned under it."""
        training, tuned = filled(rule.get("training", {}), values), "of" in rule
        card = replace(
            self.source,
            course=_seed(title, self.source.start) if tuned else self.source.course,
            training=training if tuned else {**self.source.training, **training},
            parents=(self.source.key, *(one.key for one in self._references())),
            shown={
                "imprint": "answers" if tuned else "targets",
                "watermark": {"client": title, **filled(rule["watermark"], values)},
            },
        )
        return Entry(
            title, card, "positive", filled(rule.get("group", "imprinted"), values), "", self.source.start, (), title
        )

    def _trained(self, title: str, rule: Plain, values: Plain) -> Entry:
        recipe = filled(rule.get("recipe", self.source.recipe), values)
        alike = recipe == self.source.recipe
        training = dict(
            self.source.training if alike else self.said.get("students", {}).get(recipe, self.source.training)
        )
        same = rule.get("start") == "source"
        own = self.source.start if same else None
        card = replace(
            self.source,
            recipe=recipe,
            split=filled(rule.get("split", ""), values),
            start=self.source.start if same else _seed(title, 0),
            course=_seed(title, own or 0),
            training={**training, **filled(rule.get("training", {}), values)},
        )
        if not card.split:
            raise SettingError(f"plan {self.plan}: the model {title!r} has no split to be trained on")
        if rule.get("start", "source") != "source":
            raise SettingError(f"plan {self.plan}: {title!r} starts at {rule['start']!r}; expected 'source' or nothing")
        return Entry(title, card, "negative", rule.get("group", "clean"), rule.get("tier", "clean"), own)

    def _stolen(self, title: str, rule: Plain, values: Plain, parents: Sequence[Entry]) -> Entry:
        guilty = any(parent.role in ("source", "positive") for parent in parents)
        client = title if "watermark" in rule else next(filter(None, (parent.client for parent in parents)), "")
        if "attack" not in rule and not rule.get("evasion"):
            raise SettingError(f"plan {self.plan}: the model {title!r} has a parent, but neither attack nor evasion")
        source = next((parent.source for parent in parents if parent.source is not None), None)
        return Entry(
            title,
            self._robbed(title, rule, values, parents, source or 0) if "attack" in rule else parents[0].card,
            "positive" if guilty else "negative",
            filled(rule.get("group", rule.get("attack", "")), values),
            "" if guilty else rule.get("tier", "attacked copy of an independent"),
            source,
            tuple(filled(rule.get("evasion", []), values)),
            client,
        )

    def _robbed(self, title: str, rule: Plain, values: Plain, parents: Sequence[Entry], source: int) -> Card:
        settings = {**filled(rule.get("settings", {}), values)}
        if "student" in settings:
            settings = {**self.said.get("students", {}).get(settings["student"], {}), **settings}
        attack, split = filled(rule["attack"], values), filled(rule.get("split", ""), values)
        card = stolen(parents[0].card, attack, settings, split, _seed(title, source))
        card = replace(card, parents=tuple(parent.card.key for parent in parents), code=code_of("attacks", attack))
        return self._shown(card, title, rule, values)

    def _shown(self, card: Card, title: str, rule: Plain, values: Plain) -> Card:
        """The card of a thief that saw the target's answers marked, keys screened by references, or behind evasions."""
        through = [filled(step, values) for step in rule.get("through", ())]
        shown, screens = dict[str, Any](), list[Card]()
        if "watermark" in rule:
            shown["watermark"] = {"client": title, **filled(rule["watermark"], values)}
            screens = self._references()
        if through:
            shown["evasion"] = "|".join(through)
        if not shown:
            return card
        return replace(card, shown=shown, parents=(*card.parents, *(one.key for one in screens)))


def _seed(title: str, source: int) -> int:
    """A seed that stays when other rules come and go; apart from the cohort's."""
    return 10_000 + crc32(title.encode()) % 80_000 + 100_000 * source


def _countable(number: object) -> bool:
    return type(number) is int and 0 <= number <= MOST


def check_splits(plan: Plan, data: Data) -> None:
    """Raise DataError unless the data hold every part that the plan's cards name, with samples in it."""
    for split in sorted({entry.card.split for entry in plan.entries}):
        if not len(data[split]):
            raise DataError(
                f"plan {plan.name}: {split} of {data.name} holds no samples; use a larger data set or a smaller piece"
            )
