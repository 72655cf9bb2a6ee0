"""What adaptive thieves gain against the methods they know, and what it costs them, on digits.

    python benchmarks/attacks/adaptive.py [--seeds 3] [--out DIR]

For every seed a source (an mlp) enrols with each method; the same thief steals plainly (a fine-tuned copy, a student)
and adaptively, from the weights and from the answers. Reported: accuracy lost, and the placebo p-value of each.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from birthmark import data as datasets
from birthmark import registry
from birthmark.checks import small_owner
from birthmark.oracle import Probabilities
from birthmark.theft.carrying_out import carry_out
from birthmark.verify import verify
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import accuracy
from birthmark.workshop.whitebox import Open
from birthmark.zoo.make import make

HERE = Path(__file__).parent
METHODS: dict[str, dict[str, Any]] = {"kinship": {"queries": 120}, "akh": {}, "sac-normal": {}}
PLAIN: list[tuple[str, dict[str, Any], bool]] = [("ftal", {}, True), ("distill", {"student": "mlp"}, False)]
ADAPTIVE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "kinship": [("adaptive-kinship", {"way": way, "student": "mlp"}) for way in ("labels", "mixing", "ensemble")],
    "akh": [("adaptive-akh", {"student": "mlp"})],
    "sac-normal": [("adaptive-sac", {"student": "mlp"})],
}


def owner_of(seed: int) -> Owner:
    """An owner like `small_owner`'s, with another source."""
    base = small_owner()
    card = replace(base.card, seed=seed)
    source = make(card, {}, datasets.load("digits"))
    return replace(base, source=source, card=card)


def thefts(method: str) -> list[tuple[str, dict[str, Any], bool]]:
    """(attack, settings, from the weights?)"""
    known = [(name, settings, weights) for name, settings in ADAPTIVE[method] for weights in (True, False)]
    return [*PLAIN, *known]


def measure(owner: Owner, method: str, seed: int) -> list[dict[str, Any]]:
    parts = datasets.load("digits")
    claim = registry.make("methods", method, {"placebos": 19, "references": 6, **METHODS[method]}).fit(owner, seed=seed)
    rows = []
    for name, settings, weights in thefts(method):
        attack = registry.make("attacks", name, settings)
        target = Open(owner.source) if weights else Probabilities(Open(owner.source))
        if weights and name != "ftal":  # `carry_out` grants weights only to attacks that cannot do without
            model = attack.steal(target, parts["attacker"], seed=seed)
            lost = float(np.mean(target(parts["test"].inputs).argmax(1) == parts["test"].targets)) - accuracy(
                model, parts["test"]
            )
        else:
            model, theft = carry_out(attack, target, parts["attacker"], parts["test"], seed=seed)
            lost = theft.cost
        evidence = verify(claim, Open(model), alpha=0.05)
        rows.append(
            {
                "method": method,
                "attack": name,
                "settings": settings,
                "weights": weights,
                "seed": seed,
                "lost": round(lost, 4),
                "p": round(evidence.p_value, 4),
                "z": round(evidence.z, 3),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--record", type=Path, default=HERE / "adaptive.json")
    how = parser.parse_args()
    torch.set_num_threads(1)
    how.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(how.seeds):
        owner = owner_of(seed)
        for method in METHODS:
            kept = how.out / f"adaptive-{seed}-{method}.json"
            if not kept.exists():
                kept.write_text(json.dumps(measure(owner, method, seed)))
                print(kept.name, flush=True)
            rows += json.loads(kept.read_text())
    how.record.write_text(
        json.dumps({"data": "digits", "seeds": how.seeds, "placebos": 19, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
