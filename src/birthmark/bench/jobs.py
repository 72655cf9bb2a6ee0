"""What the bench's workers do: make a claim, ask a suspect, score all suspects' answers to a method's claims.

All of it is kept in the store by content, so a kill costs the jobs in flight.
"""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from birthmark import registry
from birthmark.answers import as_labels
from birthmark.artifact import canonical, disk_errors, plain, write_atomically
from birthmark.attacks.evasion import evade
from birthmark.bench.place import Place, concerns, rounded
from birthmark.claim import Claim
from birthmark.enrolment import self_check, versions
from birthmark.errors import ArtifactError, BirthmarkError, NullError, SettingError, ShapeError
from birthmark.oracle import Oracle, Probabilities
from birthmark.types import Access, Answers, Floats, Plain, Samples, Settings
from birthmark.verdict import Nulls, conclude, nulls_of
from birthmark.workshop.card import Card, as_card
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import accuracy, outputs
from birthmark.workshop.whitebox import Open
from birthmark.zoo.build import workshop
from birthmark.zoo.executors import Serial
from birthmark.zoo.marked import claimed
from birthmark.zoo.plan import Entry

FORMAT = "birthmark/record/1"
ACCESSES = {"labels": Access.LABELS, "probs": Access.PROBS}
Cell = dict[str, float | str | None]


def enrol(at: Plain, method: str, settings: Settings, seed: int, key: str, client: Plain) -> dict[str, float]:
    """Make one claim on everybody, or on one client of a watermark (the card of who learned from marked answers)."""
    place, started = Place.of(at), time.monotonic()
    with place.store.alone(key):
        if not place.has_claim(key):
            if client:
                claim, facts = _on_client(place, method, settings, as_card(client))
            else:
                claim, facts = _fingerprint(place, method, settings, seed)
            facts = {"seconds": round(time.monotonic() - started + facts.pop("saved"), 2), **facts}
            write_atomically(place.cost(key), canonical({**facts, "refused": _refusal(claim), "versions": versions()}))
            claim.save(place.claim(key))
    return {"seconds": time.monotonic() - started}


def _fingerprint(place: Place, method: str, settings: Settings, seed: int) -> tuple[Claim, dict[str, Any]]:
    """A method's claim; how many models it took, and seconds that sharing models with other claims saved or cost."""
    store, card, used = place.store, place.owner, set[str]()
    before, parts, module = len(store.events()), store.data(place.data), store.load(place.owner.key)
    make = workshop(module, card, store, parts, Serial())

    def counted(cards: Sequence[Card]) -> list[nn.Module]:
        used.update(one.key for one in cards)
        return make(cards)

    own = (parts[card.split], parts["reserve"], parts["queries"])
    owner = Owner(module, card, *own, counted, values=not parts.classes, scratch=store.folder / "crafted")
    claim = registry.make("methods", method, settings).fit(owner, seed=seed)
    built = [event for event in store.events()[before:] if event["event"] == "built" and event["key"] in used]
    return claim, {"models": len(used), "saved": sum(owner.reused) - sum(event["seconds"] for event in built)}


def _on_client(place: Place, method: str, settings: Settings, student: Card) -> tuple[Claim, dict[str, Any]]:
    """A watermark's claim on the client that the student learned as."""
    data, models = place.store.data(place.data), [place.store.load(key) for key in student.parents]
    claim = claimed(method, settings, student.shown, data[student.split].inputs, models, data).claim()
    return claim, {"models": len(models) - 1, "saved": 0}


def _refusal(claim: Claim) -> str:
    """Why enrolment would have refused the claim; empty if it would not."""
    try:
        self_check(claim)
    except BirthmarkError as error:
        return str(error)
    return ""


def ask(at: Plain, suspect: Plain, claims: Sequence[str]) -> dict[str, float]:
    """Ask one suspect all queries of the claims that it has not answered yet."""
    place, started, entry = Place.of(at), time.monotonic(), as_entry(suspect)
    missing, grades = [key for key in claims if place.answered(entry, key) is None], place.grades(entry)
    if not missing and grades.is_file():
        return {"seconds": 0.0}
    parts, module = place.store.data(place.data), place.store.load(entry.card.key)
    oracle: Oracle = Probabilities(Open(module, Answers.LOGITS if parts.classes else Answers.VALUES, entry.name))
    if entry.evasion:
        oracle = evade(oracle, "|".join(entry.evasion), seed=entry.card.course, data=parts["attacker"].inputs)
    queries = {key: Claim.load(place.claim(key))[0].queries for key in missing}
    rows = oracle(np.concatenate(list(queries.values()))) if queries else np.zeros((0, 0))
    for key, inputs in queries.items():
        _keep(place.answers(entry, key), rows[: len(inputs)].astype(np.float32))
        rows = rows[len(inputs) :]
    write_atomically(grades, canonical(_grades(module, place.store.load(place.owner.key), parts["test"])))
    return {"seconds": time.monotonic() - started}


def _grades(module: nn.Module, source: nn.Module, test: Samples) -> dict[str, float | None]:
    said, theirs = outputs(module, test.inputs), outputs(source, test.inputs)
    alike = said.shape == theirs.shape
    same = float((said.argmax(1) == theirs.argmax(1)).mean()) if test.classes and alike else None
    return {"accuracy": accuracy(module, test) if alike else None, "agreement": same}


def _keep(path: Path, rows: Floats) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.stem}.{os.getpid()}.npy")
        np.save(fresh, rows, allow_pickle=False)
        os.replace(fresh, path)


def score(
    at: Plain, claims: Mapping[str, str], suspects: Sequence[Plain], budgets: Sequence[int], out: str, facts: Plain
) -> dict[str, float]:
    """Score all suspects' answers to a method's claims and write its records.

    Args:
        claims: keys by client; one of no client ("") for a fingerprint.
    """
    place, started = Place.of(at), time.monotonic()
    entries = [as_entry(suspect) for suspect in suspects]
    loaded = {client: (key, *Claim.load(place.claim(key))) for client, key in claims.items()}
    first = next(iter(loaded.values()))[1]
    about = {**facts, "source": place.owner.key, **_about(place, list(loaded.values()))}
    for access, level in ACCESSES.items():
        if level < registry.scorer(first).needs or (first.task.values and level is Access.LABELS):
            continue
        begun, rows = time.monotonic(), list[Plain]()
        for client, (key, claim, _) in loaded.items():
            judged = _Scored(place, key, claim, level, tuple(budgets), facts["alpha"])
            rows += [row for entry in entries if concerns(client, entry) and (row := judged.row(entry, client))]
        record = {**about, "access": access, "suspects": rows, "score_seconds": round(time.monotonic() - begun, 2)}
        path = Path(out) / f"{first.method}-{access}-{facts['source_seed']}.json"
        write_atomically(path, canonical(rounded(record)) + b"\n")
    return {"seconds": time.monotonic() - started}


def _about(place: Place, claims: Sequence[tuple[str, Claim, str]]) -> dict[str, Any]:
    """What a record says of its claims, given by key, and their digests."""
    first, digests = claims[0][1], [digest for _, _, digest in claims]
    made = [json.loads(place.cost(key).read_bytes()) for key, _, _ in claims]
    return {
        "format": FORMAT,
        "method": first.method,
        "settings": plain(first.settings),
        "seed": first.seed,
        "claim": digests[0] if len(digests) == 1 else digests,
        "queries": max(len(claim.queries) for _, claim, _ in claims),
        "enrol_seconds": round(sum(bench["seconds"] for bench in made), 2),
        "enrol_models": max(bench["models"] for bench in made),
        "refused": next((bench["refused"] for bench in made if bench["refused"]), ""),
        "versions": made[0]["versions"],
        "machine": machine(),
    }


@dataclass(frozen=True)
class _Scored:
    """One claim at one access, and the rows that suspects get."""

    place: Place
    key: str
    claim: Claim
    level: Access
    budgets: tuple[int, ...]
    alpha: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "nulls", {})

    def row(self, entry: Entry, client: str) -> Plain | None:
        """What the record says about a suspect; None if its answers cannot be scored."""
        answers = self.place.answered(entry, self.key)
        if answers is None:
            raise ArtifactError(f"{self.place.answers(entry, self.key)} is missing; run the bench again")
        if answers.shape[1] != self.claim.task.outputs and not registry.scorer(self.claim).any_outputs:
            return None
        labels = self.level is Access.LABELS
        shown = as_labels(answers) if labels else answers.astype(np.float64)
        n = len(self.claim.queries)
        sizes = sorted({b for b in self.budgets if b < n} | {min(n, max(self.budgets))})
        cells = {str(size): cell for size in sizes if (cell := self._cell(shown[:size], entry.evasion)) is not None}
        about = {"name": entry.name, "role": entry.role, "group": entry.group, "tier": entry.tier}
        if client:
            about["client"] = client
            if not entry.client:  # whoever learned from answers without the mark is innocent of it
                about |= {"role": "negative", "tier": entry.tier or "thief of the unmarked source"}
        return {**about, "key": entry.card.key, "shared": entry.source is None, "by_queries": cells}

    def _cell(self, answers: Floats, alike: tuple[str, ...]) -> Cell | None:
        """One suspect at one budget: scores, standing and verdict; None if the budget is too small."""
        nulls: dict[tuple[int, tuple[str, ...]], Nulls] = self.nulls  # type: ignore[attr-defined]
        try:
            if (len(answers), alike) not in nulls:  # the same for all suspects whose answers are shown alike
                nulls[len(answers), alike] = nulls_of(self.claim, answers)
            found = conclude(self.claim, answers, self.alpha, nulls=nulls[len(answers), alike])
        except (ShapeError, SettingError):
            return None
        except NullError:
            scores = registry.scorer(self.claim).score(self.claim, answers)
            return {"score": scores.source, "raw": scores.raw}
        return {
            "score": found.scores.source,
            "raw": found.scores.raw,
            "z": found.standing.z,
            "p": found.standing.p,
            "p_references": found.standing.p_references,
            "p_reruns": found.standing.p_reruns,
            "verdict": found.verdict.value,
        }


def as_entry(value: Plain) -> Entry:
    """An entry from plain JSON data."""
    return Entry(**{**value, "card": as_card(value["card"]), "evasion": tuple(value["evasion"])})


def machine() -> dict[str, str | int | None]:
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
