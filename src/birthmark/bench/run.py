"""A plan's models x methods -> records: claims are made, every suspect is asked once, answers are scored by prefix.

Three kinds of jobs, all cached in the store by content, so a kill costs the jobs in flight:

    enrol    source x method -> a claim, with the models that the store holds already
    ask      suspect -> its answers to all queries of all claims of its source
    score    claim x all suspects' answers -> one record, for labels and for probabilities, at every budget

A record is one JSON file per method, access and source.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from birthmark import registry
from birthmark.artifact import canonical, digest_of, disk_errors, plain, write_atomically
from birthmark.attacks.evasion import evade
from birthmark.claim import Claim
from birthmark.errors import ArtifactError, BirthmarkError, NullError, SettingError, ShapeError
from birthmark.oracle import Oracle, Probabilities
from birthmark.types import Access, Answers, Floats
from birthmark.verdict import Nulls, conclude, nulls_of
from birthmark.workshop.card import VERSION, Card
from birthmark.workshop.enroll import self_check, versions
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import accuracy, outputs
from birthmark.workshop.whitebox import Open
from birthmark.zoo.build import title, workshop
from birthmark.zoo.crew import Crew, Progress
from birthmark.zoo.executors import Executor, Job, Serial
from birthmark.zoo.plan import Entry, Plan
from birthmark.zoo.store import Store, as_card

FORMAT = "birthmark/record/1"
BUDGETS = (10, 20, 50, 100, 1000)
ACCESSES = {"labels": Access.LABELS, "probs": Access.PROBS}
ALWAYS = ("random-queries", "akh")  # the baselines of every table


def run(
    plan: Plan,
    folder: Path,
    out: Path,
    executor: Executor,
    *,
    methods: Mapping[str, Mapping[str, Any]] | None = None,
    sources: Sequence[int] = (),
    budgets: Sequence[int] = BUDGETS,
    alpha: float = 0.05,
    seed: int = 0,
    data_dir: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> list[Path]:
    """Run methods on a plan's models; returns the records' files.

    Args:
        folder: the store that `zoo build` filled.
        out: where records go: `METHOD-ACCESS-SOURCE.json`, and `suspects-SOURCE.json`.
        methods: settings by name; default the plan's. Random queries and AKH are always added.
        alpha: level of the verdicts that false accusations are counted at.

    Raises:
        SettingError: models of the plan are missing in the store.
        BirthmarkError: some jobs failed; the other records are written.
    """
    store, data = Store(folder), plan.load(data_dir)
    chosen = plan.methods if methods is None else methods
    wanted = {
        **{name: dict(plan.methods.get(name, {})) for name in ALWAYS},
        **{name: dict(settings) for name, settings in chosen.items()},
    }
    task = "classification" if data.classes else "values"
    for name, settings in list(wanted.items()):
        if task not in registry.make("methods", name, settings).tasks:
            if name not in ALWAYS:
                raise SettingError(f"{name} is not made for {task}, which {plan.data} is about; leave it out")
            del wanted[name]
    missing = [
        entry.name for source in sources or plan.sources for entry in plan.of(source) if entry.card.key not in store
    ]
    if missing:
        raise SettingError(
            f"{len(missing)} models of the plan are not in {folder}, the first: {missing[0]!r}; run birthmark zoo "
            f"build {plan.name} --store {folder}"
        )
    kept, files, failures = store.keep_data(data), list[Path](), dict[str, str]()
    for source in sources or plan.sources:
        entries = plan.of(source)
        owner = next(entry.card for entry in entries if entry.role == "source")
        base = {"folder": str(folder), "data": kept, "source": plain(asdict(owner))}
        claims = {
            name: digest_of([owner.key, name, settings, seed, VERSION, kept])[:16] for name, settings in wanted.items()
        }
        failures |= Crew(executor, progress).run(
            Job(
                f"enrol {name} {source}",
                "birthmark.bench.run:enrol",
                {**base, "method": name, "settings": wanted[name], "seed": seed, "key": claims[name]},
            )
            for name in wanted
            if not (store.folder / "claims" / claims[name] / "manifest.json").is_file()
        )
        there = {
            name: key for name, key in claims.items() if (store.folder / "claims" / key / "manifest.json").is_file()
        }
        suspects = [entry for entry in entries if entry.role in ("positive", "negative")]
        failures |= Crew(executor, progress).run(
            Job(
                f"ask {entry.name} {source}",
                "birthmark.bench.run:ask",
                {**base, "suspect": plain(asdict(entry)), "claims": sorted(there.values())},
            )
            for entry in suspects
        )
        asked = [entry for entry in suspects if f"ask {entry.name} {source}" not in failures]
        facts = {"plan": plan.name, "task": plan.data, "title": plan.title, "source_seed": source, "alpha": alpha}
        failures |= Crew(executor, progress).run(
            Job(
                f"score {name} {source}",
                "birthmark.bench.run:score",
                {
                    **base,
                    "key": there[name],
                    "suspects": [plain(asdict(entry)) for entry in asked],
                    "budgets": list(budgets),
                    "out": str(out),
                    "facts": facts,
                },
            )
            for name in there
        )
        write_atomically(out / f"suspects-{source}.json", canonical(_suspects(store, owner, asked, facts)) + b"\n")
        files += sorted(out.glob(f"*-{source}.json"))
    if failures:
        first = next(iter(failures))
        raise BirthmarkError(
            f"{len(failures)} jobs failed, the first: {first}: {failures[first]}; the other records are in {out}, and "
            "a new run tries these again"
        )
    return files


def enrol(
    folder: str, data: str, source: Mapping[str, Any], method: str, settings: Mapping[str, Any], seed: int, key: str
) -> dict[str, Any]:
    """Make one claim; a job."""
    store, card, started = Store(folder), as_card(source), time.monotonic()
    with store.alone(key):
        if (store.folder / "claims" / key / "manifest.json").is_file():
            return {"seconds": 0.0}
        before = len(store.events())
        parts, module = store.data(data), store.load(card.key)
        make = workshop(module, card, store, parts, Serial())
        used = dict[str, Card]()

        def counted(cards: Sequence[Card]) -> Any:
            used.update({one.key: one for one in cards})
            return make(cards)

        scratch = store.folder / "crafted"
        owner = Owner(
            module,
            card,
            parts[card.split],
            parts["reserve"],
            parts["queries"],
            counted,
            values=not parts.classes,
            scratch=scratch,
        )
        claim = registry.make("methods", method, settings).fit(owner, seed=seed)
        built = [event for event in store.events()[before:] if event["event"] == "built" and event["key"] in used]
        training = sum(event["seconds"] for event in built)
        refused = ""
        try:
            self_check(claim)
        except BirthmarkError as error:
            refused = str(error)
        facts = {
            "seconds": round(time.monotonic() - started - training + sum(owner.reused), 2),
            "models": len(used),
            "refused": refused,
            "versions": versions(),
        }
        replace(claim, facts={**claim.facts, "bench": facts}).save(store.folder / "claims" / key)
    return {"seconds": time.monotonic() - started}


def ask(
    folder: str, data: str, source: Mapping[str, Any], suspect: Mapping[str, Any], claims: Sequence[str]
) -> dict[str, Any]:
    """Ask one suspect all queries of the claims that it has not answered yet; a job."""
    store, started, entry = Store(folder), time.monotonic(), as_entry(suspect)
    missing = [key for key in claims if _answers(store, entry, key) is None]
    facts = _grades(store, entry, as_card(source))
    if not missing and facts.is_file():
        return {"seconds": 0.0}
    parts, module = store.data(data), store.load(entry.card.key)
    oracle: Oracle = Probabilities(Open(module, Answers.LOGITS if parts.classes else Answers.VALUES, entry.name))
    if entry.evasion:
        oracle = evade(oracle, "|".join(entry.evasion), seed=entry.card.seed, data=parts["attacker"].inputs)
    queries = {key: Claim.load(store.folder / "claims" / key)[0].queries for key in missing}
    rows = oracle(np.concatenate(list(queries.values()))) if queries else np.zeros((0, 0))
    start = 0
    for key, inputs in queries.items():
        mine = rows[start : start + len(inputs)].astype(np.float32)
        start += len(inputs)
        path = _place(store, entry, key)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.stem}.{os.getpid()}.npy")
            np.save(fresh, mine, allow_pickle=False)
            os.replace(fresh, path)
    test = parts["test"]
    said, theirs = outputs(module, test.inputs), outputs(store.load(as_card(source).key), test.inputs)
    same = float((said.argmax(1) == theirs.argmax(1)).mean()) if parts.classes and said.shape == theirs.shape else None
    grade = accuracy(module, test) if said.shape == theirs.shape else None
    write_atomically(facts, canonical({"accuracy": grade, "agreement": same}))
    return {"seconds": time.monotonic() - started}


def score(
    folder: str,
    data: str,
    source: Mapping[str, Any],
    key: str,
    suspects: Sequence[Mapping[str, Any]],
    budgets: Sequence[int],
    out: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Score all suspects' answers to one claim and write its records; a job."""
    store, started = Store(folder), time.monotonic()
    claim, digest = Claim.load(store.folder / "claims" / key)
    scorer = registry.scorer(claim)
    sizes = sorted({b for b in budgets if b < len(claim.queries)} | {min(len(claim.queries), max(budgets))})
    entries = [as_entry(suspect) for suspect in suspects]
    for access, level in ACCESSES.items():
        if level < scorer.needs or (claim.task.values and level is Access.LABELS):
            continue
        begun, nulls, rows = time.monotonic(), dict[Any, Nulls](), list[dict[str, Any]]()
        for entry in entries:
            answers = _answers(store, entry, key)
            if answers is None:
                raise ArtifactError(f"{_place(store, entry, key)} is missing; run the bench again")
            if answers.shape[1] != claim.task.outputs and not scorer.any_outputs:
                continue
            shown = (
                np.eye(answers.shape[1])[answers.argmax(axis=1)]
                if level is Access.LABELS
                else answers.astype(np.float64)
            )
            cells = {
                str(size): cell
                for size in sizes
                if (cell := _cell(claim, shown[:size], nulls, entry.evasion, facts["alpha"])) is not None
            }
            rows.append(
                {
                    "name": entry.name,
                    "role": entry.role,
                    "group": entry.group,
                    "tier": entry.tier,
                    "key": entry.card.key,
                    "shared": entry.source is None,
                    "by_queries": cells,
                }
            )
        bench = claim.facts["bench"]
        record = {
            "format": FORMAT,
            **facts,
            "source": as_card(source).key,
            "method": claim.method,
            "settings": plain(claim.settings),
            "access": access,
            "seed": claim.seed,
            "claim": digest,
            "queries": len(claim.queries),
            "enrol_seconds": bench["seconds"],
            "enrol_models": bench["models"],
            "refused": bench["refused"],
            "score_seconds": round(time.monotonic() - begun, 2),
            "versions": bench["versions"],
            "machine": machine(),
            "suspects": rows,
        }
        write_atomically(
            Path(out) / f"{claim.method}-{access}-{facts['source_seed']}.json", canonical(_rounded(record)) + b"\n"
        )
    return {"seconds": time.monotonic() - started}


def _cell(claim: Claim, answers: Floats, nulls: dict[Any, Nulls], like: Any, alpha: float) -> dict[str, Any] | None:
    """One suspect at one budget.

    Score, raw score, z and p among placebos (or references), verdict; None if the budget is too small.

    Args:
        nulls: kept between suspects whose answers are shown alike, as `like` says.
    """
    try:
        alike = (len(answers), like)
        if alike not in nulls:
            nulls[alike] = nulls_of(claim, answers)
        found = conclude(claim, answers, alpha, nulls=nulls[alike])
    except (ShapeError, SettingError):
        return None
    except NullError:
        scores = registry.scorer(claim).score(claim, answers)
        return {"score": scores.source, "raw": scores.raw}
    standing = found.standing
    return {
        "score": found.scores.source,
        "raw": found.scores.raw,
        "z": standing.z,
        "p": standing.p,
        "p_references": standing.p_references,
        "p_reruns": standing.p_reruns,
        "verdict": found.verdict.value,
    }


def as_entry(value: Mapping[str, Any]) -> Entry:
    """An entry from plain JSON data."""
    return Entry(**{**value, "card": as_card(value["card"]), "evasion": tuple(value["evasion"])})


def machine() -> dict[str, Any]:
    """What the run's times depend on."""
    model = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "system": platform.system(),
        "processor": model or platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }


def _who(entry: Entry) -> str:
    return entry.card.key if not entry.evasion else digest_of([entry.card.key, entry.evasion])[:16]


def _place(store: Store, entry: Entry, claim: str) -> Path:
    return store.folder / "answers" / claim / f"{_who(entry)}.npy"


def _answers(store: Store, entry: Entry, claim: str) -> Floats | None:
    try:
        rows: Floats = np.load(_place(store, entry, claim), allow_pickle=False)
    except (OSError, ValueError):
        return None
    return rows


def _suspects(store: Store, owner: Card, entries: Sequence[Entry], facts: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for entry in entries:
        found = json.loads(_grades(store, entry, owner).read_bytes())
        rows.append(
            {
                "name": entry.name,
                "made": title(entry.card),
                "key": entry.card.key,
                "evasion": list(entry.evasion),
                **_rounded(found),
            }
        )
    return {"format": "birthmark/suspects/1", **facts, "source": owner.key, "suspects": rows}


def _grades(store: Store, entry: Entry, owner: Card) -> Path:
    return store.folder / "answers" / f"{_who(entry)}-{owner.key}.json"


def _rounded(value: Any) -> Any:
    """Numbers to six digits, and null for those that are not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
