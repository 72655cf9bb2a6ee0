"""The main job on digits: a source, its twins, eleven thefts, ten innocents, the verdict on each, and a report."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from birthmark import data as datasets
from birthmark.claim import Claim
from birthmark.cli.edge import say
from birthmark.cli.progress import bar
from birthmark.cli.tables import table
from birthmark.evidence import Evidence
from birthmark.methods.kinship import Kinship
from birthmark.verify import Terms, verify
from birthmark.workshop.card import Card
from birthmark.workshop.card import stolen as theft
from birthmark.workshop.cohort import surrogate_cards
from birthmark.workshop.enroll import relatives, train_and_enroll
from birthmark.workshop.owner import Owner, enrolling
from birthmark.workshop.training import accuracy, outputs
from birthmark.workshop.whitebox import Open
from birthmark.zoo.build import workshop
from birthmark.zoo.catalogue import executor
from birthmark.zoo.crew import Progress
from birthmark.zoo.make import make
from birthmark.zoo.store import Store

ALPHA = 0.05
TWINS = 19
TRAINING = {"epochs": 15, "batch": 32}


@dataclass(frozen=True)
class Suspect:
    """One suspect of the demo: what it really is, which the verdict never sees."""

    name: str
    kind: str
    attack: str
    tier: str
    card: Card


def suspects(source: Card) -> list[Suspect]:
    """Eleven thefts on the attacker's data, and ten innocents, half of them on the source's own data."""

    def stolen(attack: str, **settings: Any) -> Card:
        return theft(source, attack, settings, "attacker", source.course + 50)

    thefts = [
        ("last layer tuned", stolen("ftll")),
        ("all layers tuned", stolen("ftal")),
        ("last layer retrained", stolen("rtll")),
        ("head reset, all tuned", stolen("rtal")),
        ("pruned 30 %", stolen("prune", amount=0.3)),
        ("pruned 50 %, tuned", stolen("prune", amount=0.5, epochs=5)),
        ("4-bit weights", stolen("quantise", bits=4)),
        ("noisy weights", stolen("weight-noise", level=0.1)),
        ("distilled into cnn", stolen("distill", student="cnn", temperature=4.0)),
        ("distilled into res", stolen("distill", student="res", temperature=4.0)),
        (
            "retrained on 377 labels",
            stolen("retrain", student="vgg"),
        ),  # so few labels leave too little to find: a limit, shown
    ]
    found = [
        Suspect(name, "derived", card.attack, "weights" if i < 8 else "extraction", card)
        for i, (name, card) in enumerate(thefts)
    ]
    for i, recipe in enumerate(("vgg", "vgg", "cnn", "res", "lenet")):
        for split, tier in ((source.split, "same data"), ("innocent", "other data")):
            own, same = source.course + 70 + i, i == 1 and split != source.split
            card = replace(source, split=split, recipe=recipe, start=source.start if same else own, course=own)
            tier = f"same start, {tier}" if same else tier
            found.append(Suspect(f"{recipe} {i}, {tier}", "independent", "", tier, card))
    return found


def run(
    out: Path, *, seed: int, workers: int, quiet: bool, watch: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Train, steal, verify and report.

    Args:
        watch: called with the share of trainings done, 0 to 1.

    Returns what `birthmark demo --json` prints. A rerun continues in the same folder.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    parts = datasets.load("digits", seed=0)
    source = Card("trained", parts.about(), "owner", "vgg", start=seed, course=seed, training=TRAINING)
    accused = suspects(source)
    method = Kinship(queries=100, placebos=TWINS)
    module = make(source, {}, parts)
    with bar("training the source, its twins, thefts and innocents", quiet=quiet) as share:

        def progress(state: Progress) -> None:
            (watch or share)(state.done / state.total)

        with closing(executor("local", workers or None)) as engine:
            everything = workshop(module, source, Store(out / "zoo"), parts, engine, progress)
            owner = Owner(module, source, parts["owner"], parts["reserve"], parts["queries"], everything)
            cohort = [*relatives(enrolling(owner, seed), method), *surrogate_cards(source)]
            models = everything([*cohort, *(s.card for s in accused)])[len(cohort) :]
            claim = train_and_enroll(owner, method, seed=seed, test=parts["test"])
    digest = claim.save(out / "claim")
    transcripts = [out / "transcripts" / f"{suspect.card.key}.jsonl" for suspect in accused]
    found = list[Evidence]()
    for suspect, model, transcript in zip(accused, models, transcripts, strict=True):
        transcript.unlink(missing_ok=True)
        oracle = Open(model, name=suspect.name)
        found.append(verify(claim, oracle, alpha=ALPHA, transcript=transcript, terms=Terms(digest=digest)))
    rows = [_row(s, e, module, m, parts["test"].inputs) for s, e, m in zip(accused, found, models, strict=True)]
    report = out / "report.html"
    _report(found, claim, rows, transcripts, report)
    result = {
        "seconds": round(time.monotonic() - started, 1),
        "alpha": ALPHA,
        "source": {
            "architecture": source.recipe,
            "accuracy": accuracy(module, parts["test"]),
            "twins": TWINS,
            "claim": digest,
            "queries": len(claim.queries),
        },
        "suspects": rows,
        "report": str(report),
    }
    if not quiet:
        _print(result)
    return result


def _row(
    suspect: Suspect, evidence: Evidence, source: torch.nn.Module, model: torch.nn.Module, inputs: np.ndarray[Any, Any]
) -> dict[str, Any]:
    agreement = float((outputs(source, inputs).argmax(1) == outputs(model, inputs).argmax(1)).mean())
    return {
        "name": suspect.name,
        "kind": suspect.kind,
        "attack": suspect.attack,
        "tier": suspect.tier,
        "agreement": round(agreement, 4),
        "score": evidence.score,
        "p_value": evidence.p_value,
        "verdict": evidence.verdict.value,
    }


def _report(
    found: Sequence[Evidence], claim: Claim, rows: Sequence[dict[str, Any]], transcripts: Sequence[Path], path: Path
) -> None:
    from birthmark.report import Details, Row, write, write_json

    known = [
        Row(transcript=transcript, **{key: row[key] for key in ("name", "kind", "attack", "tier", "agreement")})
        for row, transcript in zip(rows, transcripts, strict=True)
    ]
    write_json(found, path.with_suffix(".json"), rows=known)
    write(found, claim, path, rows=known, details=Details(source="a vgg on digits"))


def _print(result: dict[str, Any]) -> None:
    rows = result["suspects"]
    table(
        f"digits, {TWINS} twins, {result['source']['queries']} queries, alpha {ALPHA}",
        ("suspect", "truly", "agreement", "score", "p", "verdict"),
        [
            (r["name"], r["kind"], f"{r['agreement']:.3f}", f"{r['score']:+.3f}", f"{r['p_value']:.3f}", r["verdict"])
            for r in rows
        ],
    )
    caught = sum(r["verdict"] == "supported" for r in rows if r["kind"] == "derived")
    accused = sum(r["verdict"] == "supported" for r in rows if r["kind"] == "independent")
    thefts = sum(r["kind"] == "derived" for r in rows)
    say(
        f"{caught} of {thefts} thefts supported, {accused} of {len(rows) - thefts} innocents accused, "
        f"{result['seconds']} s; open {result['report']}"
    )
