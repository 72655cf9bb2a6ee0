"""A plan's models x methods -> records: claims are made, every suspect is asked once, answers are scored by prefix.

Three kinds of jobs (`birthmark.bench.jobs`), one after the other for each source:

    enrol    source x method -> a claim, with the models that the store holds already; a watermark's for every client
    ask      suspect -> its answers to all queries of all claims that it is held against
    score    a method's claims x all suspects' answers -> one record, for labels and for probabilities, at every budget

A record is one JSON file per method, access and source.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from birthmark import registry
from birthmark.artifact import canonical, digest_of, plain, write_atomically
from birthmark.bench.place import Place, concerns, suspects
from birthmark.data import Data
from birthmark.enrolment import versions
from birthmark.errors import BirthmarkError, SettingError
from birthmark.types import Plain, Settings
from birthmark.workshop.card import Card
from birthmark.zoo.crew import Crew, Progress
from birthmark.zoo.executors import Executor, Job
from birthmark.zoo.marked import fits
from birthmark.zoo.plan import Entry, Plan
from birthmark.zoo.store import Store

BUDGETS = (10, 20, 50, 100, 1000)
ALWAYS = ("random-queries", "akh")  # the baselines of every table
Methods = Mapping[str, Settings]


@dataclass(frozen=True)
class Choice:
    """What is run of a plan, and how.

    Attributes:
        methods: settings by name, of methods and watermarks; default the plan's. Random queries and AKH are always
            added.
        sources: seeds; default all.
        budgets: numbers of queries that scores are taken at.
        alpha: level of the verdicts that false accusations are counted at, 0 to 1.
        seed: of the claims.
    """

    methods: Methods | None = None
    sources: Sequence[int] = ()
    budgets: Sequence[int] = BUDGETS
    alpha: float = 0.05
    seed: int = 0
    data_dir: Path | None = None


def run(
    plan: Plan,
    folder: Path,
    out: Path,
    executor: Executor,
    choice: Choice = Choice(),
    progress: Callable[[Progress], None] | None = None,
) -> list[Path]:
    """Run methods on a plan's models; returns the records' files.

    Args:
        folder: the store that `zoo build` filled.
        out: where records go: `METHOD-ACCESS-SOURCE.json`, and `suspects-SOURCE.json`.

    Raises:
        SettingError: models of the plan are missing in the store, or a method is not made for its data.
        BirthmarkError: some jobs failed; the other records are written.
    """
    store, sources = Store(folder), tuple(choice.sources) or plan.sources
    plan, data = plan.load(choice.data_dir)
    choice = replace(choice, methods=_methods(plan, data, choice))
    _all_there(plan, store, sources)
    kept, files, failures = store.keep_data(data), list[Path](), dict[str, str]()
    for source in sources:
        card = next(entry.card for entry in plan.of(source) if entry.role == "source")
        bench = _Bench(plan, choice, source, Place(store, kept, card), out, lambda: Crew(executor, progress))
        failures |= bench.run()
        files += sorted(out.glob(f"*-{source}.json"))
    if failures:
        first = next(iter(failures))
        raise BirthmarkError(
            f"{len(failures)} jobs failed, the first: {first}: {failures[first]}; the other records are in {out}, and "
            "a new run tries these again"
        )
    return files


def _methods(plan: Plan, data: Data, choice: Choice) -> Methods:
    """Settings by name of all that is run: the baselines that the data allow, then what was chosen.

    Watermarks alone have no use for baselines, which would train twins of their own.
    """
    task, found = "classification" if data.classes else "values", dict[str, Settings]()
    chosen = plan.methods if choice.methods is None else choice.methods
    always = () if chosen and chosen.keys() <= registry.found("watermarks").keys() else ALWAYS
    for name, settings in {**{name: plan.methods.get(name, {}) for name in always}, **chosen}.items():
        if name not in registry.found("watermarks") and task not in registry.make("methods", name, settings).tasks:
            if name not in ALWAYS:
                raise SettingError(f"{name} is not made for {task}, which {plan.data} is about; leave it out")
            continue
        found[name] = dict(settings)
    return found


def _all_there(plan: Plan, store: Store, sources: Sequence[int]) -> None:
    missing = [entry.name for source in sources for entry in plan.of(source) if entry.card.key not in store]
    if missing:
        raise SettingError(
            f"{len(missing)} models of the plan are not in {store.folder}, the first: {missing[0]!r}; run birthmark "
            f"zoo build {plan.name} --store {store.folder}"
        )


@dataclass(frozen=True)
class _Claimed:
    """A claim that is made: on everybody, or on the client `client`."""

    method: str
    key: str
    settings: Settings
    client: str = ""
    student: Card | None = None

    @property
    def title(self) -> str:
        return f"{self.method} on {self.client}" if self.client else self.method


@dataclass(frozen=True)
class _Bench:
    """One source's part of a run."""

    plan: Plan
    choice: Choice
    source: int
    place: Place
    out: Path
    crew: Callable[[], Crew]

    def run(self) -> dict[str, str]:
        """Enrol, ask, score, write; returns what failed, by job."""
        claims, entries = self._claims(), [e for e in self.plan.of(self.source) if e.role in ("positive", "negative")]
        failures = self.crew().run(self._enrol(claim) for claim in claims if not self.place.has_claim(claim.key))
        claims = [claim for claim in claims if self.place.has_claim(claim.key)]
        jobs = {entry.name: self._ask(entry, claims) for entry in entries}
        failures |= self.crew().run(jobs.values())
        asked = [entry for entry in entries if jobs[entry.name].name not in failures]
        by_method = groupby(claims, attrgetter("method"))  # claims come method by method
        failures |= self.crew().run(self._score(list(own), asked) for _, own in by_method)
        told = suspects(self.place, asked, self._facts)
        write_atomically(self.out / f"suspects-{self.source}.json", canonical(told) + b"\n")
        return failures

    def _claims(self) -> list[_Claimed]:
        found = list[_Claimed]()
        for name, settings in (self.choice.methods or {}).items():
            code = registry.code_of("watermarks" if name in registry.found("watermarks") else "methods", name)
            what = [self.place.owner.key, name, settings, self.choice.seed, versions(), code, self.place.data]
            if name not in registry.found("watermarks"):
                found.append(_Claimed(name, digest_of(what)[:16], settings))
                continue
            for entry in self.plan.of(self.source):
                if entry.client == entry.name and fits(name, entry.card.shown):
                    key = digest_of([*what, entry.card.key])[:16]
                    found.append(_Claimed(name, key, settings, entry.name, entry.card))
        return found

    def _enrol(self, claim: _Claimed) -> Job:
        rest = {"method": claim.method, "settings": claim.settings, "seed": self.choice.seed, "key": claim.key}
        student = plain(asdict(claim.student)) if claim.student else {}
        return self._job(f"enrol {claim.title}", {**rest, "client": student})

    def _ask(self, entry: Entry, claims: Sequence[_Claimed]) -> Job:
        keys = sorted(claim.key for claim in claims if concerns(claim.client, entry))
        return self._job(f"ask {entry.name}", {"suspect": plain(asdict(entry)), "claims": keys})

    def _score(self, claims: Sequence[_Claimed], asked: Sequence[Entry]) -> Job:
        keys, rows = {claim.client: claim.key for claim in claims}, [plain(asdict(entry)) for entry in asked]
        rest = {"budgets": list(self.choice.budgets), "out": str(self.out), "facts": self._facts}
        return self._job(f"score {claims[0].method}", {"claims": keys, "suspects": rows, **rest})

    @property
    def _facts(self) -> Plain:
        about = {"plan": self.plan.name, "task": self.plan.data, "title": self.plan.title}
        return {**about, "source_seed": self.source, "alpha": self.choice.alpha}

    def _job(self, name: str, arguments: Plain) -> Job:
        """A job of this source; the first word of its name is the function."""
        owner = plain(asdict(self.place.owner))
        at = {"folder": str(self.place.store.folder), "data": self.place.data, "source": owner}
        function = f"birthmark.bench.jobs:{name.partition(' ')[0]}"
        return Job(f"{name} {self.source}", function, {"at": at, **arguments})
