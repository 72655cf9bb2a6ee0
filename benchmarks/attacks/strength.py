"""How strong every attack is on Fashion-MNIST: accuracy and agreement with the source, its cost, over several seeds.

    python benchmarks/attacks/strength.py [--data fashion-mnist] [--queries 2000] [--seeds 3] [--out DIR]

A source of one architecture a seed, trained on the owner's part; the thief has the first inputs of the attacker's part.
All attacks run at their defaults, students of the source's architecture. Every theft is one JSON file in DIR, so that
an interrupted run continues; the table is written to strength.json here.
"""

import argparse
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t

from birthmark import registry
from birthmark.data import load
from birthmark.theft.carrying_out import carry_out
from birthmark.workshop import architectures
from birthmark.workshop.training import Training, accuracy, fit
from birthmark.workshop.whitebox import Open

HERE = Path(__file__).parent
MORE = {  # beside the defaults
    "knockoff": [{"strategy": "adaptive"}],
    "prune": [{"amount": 0.6, "epochs": 2}],
    "quantise": [{"bits": 4}],
    "weight-noise": [{"level": 0.3}],
    "adaptive-kinship": [{"way": "labels"}, {"way": "ensemble"}],
    "adaptive-dynamarks": [{"way": "averaging"}, {"way": "recovery"}],
}


def variants() -> list[tuple[str, dict[str, Any]]]:
    """(attack, settings that differ from its defaults), in the registry's order."""
    return [(name, settings) for name in sorted(registry.found("attacks")) for settings in [{}, *MORE.get(name, [])]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--architecture", default="cnn")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--record", type=Path, default=HERE / "strength.json")
    how = parser.parse_args()
    torch.set_num_threads(1)
    how.out.mkdir(parents=True, exist_ok=True)
    data = load(how.data)
    rows, sources = [], []
    for seed in range(how.seeds):
        source = fit(
            architectures.build(how.architecture, data.shape, data.classes, seed=seed),
            data["owner"],
            Training(),
            seed=seed,
        )
        sources.append(round(accuracy(source, data["test"]), 4))
        for name, settings in variants():
            kept = how.out / f"{seed}-{name}-{'-'.join(map(str, settings.values())) or 'default'}.json"
            if not kept.exists():
                known = {field.name for field in fields(registry.found("attacks")[name])}
                student = {"student": how.architecture} if "student" in known else {}
                attack = registry.make("attacks", name, {**student, **settings})
                _, theft = carry_out(attack, Open(source), data[f"attacker[:{how.queries}]"], data["test"], seed=seed)
                row = {**asdict(theft), "variant": settings, "failed": theft.failed}
                kept.write_text(json.dumps(row))
                print(seed, name, settings, theft.accuracy, theft.agreement, theft.seconds, flush=True)
            rows.append(json.loads(kept.read_text()))
    settings = {"data": how.data, "samples": how.queries, "seeds": how.seeds}
    settings |= {"source": how.architecture, "student": how.architecture}
    told = [line(name, settings, rows) for name, settings in variants()]
    record = {"settings": settings, "torch": torch.__version__, "source_accuracy": sources, "table": told}
    how.record.write_text(json.dumps(record, indent=1) + "\n")


def line(name: str, settings: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds with 95 % Student intervals."""
    mine = [row for row in rows if row["attack"] == name and row["variant"] == settings]
    cost = [row["source_accuracy"] - row["accuracy"] for row in mine]
    found = {"attack": name, "variant": settings, "queries": int(np.mean([row["queries"] for row in mine]))}
    found |= {"accuracy": interval([row["accuracy"] for row in mine]), "cost": interval(cost)}
    found |= {key: interval([row[key] for row in mine]) for key in ("agreement", "seconds")}
    return {**found, "failed": sum(row["failed"] for row in mine), "n": len(mine)}


def interval(values: list[float]) -> list[float | None] | None:
    """[mean, low, high] of a 95 % Student interval, no bounds for one value; None where there is nothing to measure."""
    n, mean = len(values), round(float(np.mean(values)), 4)
    if np.isnan(mean) or n < 2:
        return None if np.isnan(mean) else [mean, None, None]
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return [mean, round(mean - half, 4), round(mean + half, 4)]


if __name__ == "__main__":
    main()
