"""Lying owners against independent suspects on digits: how often `verify` and each of the judge's checks are passed.

    python benchmarks/notary/accusers.py [SUSPECTS] [OUT]

Every attack of tests/false_claims/world.py against so many innocents (mlp on data of their own), kinship with 19 twins
and 80 queries, alpha .05, probabilities. The judge's twins and references are shared by all attempts. A row of the
record is one attempt: `verify`, the accuser's own test; `asked`, the same test with the judge's twins, references and
pool; `rebuilt` and `regenerated`, whether recipe and claim are what was stated. Rows are appended.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import torch

from birthmark import data
from birthmark.methods.kinship import Kinship
from birthmark.stats import clopper_pearson
from birthmark.verify import verify
from birthmark.workshop.owner import Owner
from birthmark.zoo.catalogue import executor
from birthmark.zoo.store import Store, tensors_digest
from false_claims.world import ATTACKS, JUDGE, World, suspect

HERE = Path(__file__).parent


def attempt(world: World, attack: str, number: int) -> dict[str, Any]:
    """One accuser against one innocent."""
    accused = world.innocent(number)
    owner: Owner = ATTACKS[attack](world, accused)
    claim = world.claim(owner)
    own = replace(owner, card=replace(world.owner.card, course=JUDGE), secret=JUDGE, pool=world.parts["test"])
    judged = replace(world.method, references=8).fit(own, seed=0)
    honest = world.source(owner.card.course)[1] if owner.card.training == world.owner.card.training else None
    same = honest is not None and tensors_digest(honest.state_dict()) == tensors_digest(owner.source.state_dict())
    row = {"attack": attack, "suspect": number}
    for name, made in (("verify", claim), ("asked", judged)):
        found = verify(made, suspect(accused), alpha=0.05)
        row |= {name: found.verdict.value, f"{name}_z": round(found.z, 3), f"{name}_p": found.p_value}
    plain = attack in ("honest", "nearest of 20 seeds", "trimmed pool")
    return {**row, "rebuilt": same, "regenerated": same and plain}


def run(n: int, out: Path) -> None:
    torch.set_num_threads(1)
    parts = data.load("digits")
    method = Kinship(queries=80, placebos=19, references=8, treated=1)
    world = World.open(parts, Store(HERE / "zoo"), executor("serial"), method)
    rows = map(json.loads, out.read_text().splitlines()) if out.exists() else ()
    done = {(row["attack"], row["suspect"]) for row in rows}
    for number in range(n):
        for attack in ATTACKS:
            if (attack, number) not in done:
                started = time.monotonic()
                row = attempt(world, attack, number)
                with out.open("a") as file:
                    file.write(json.dumps({**row, "seconds": round(time.monotonic() - started, 1)}) + "\n")


def table(out: Path) -> None:
    """Attempts that passed, by attack and check, with the exact interval of all checks together."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    print("| attack | attempts | verify | judge's own test | rebuilt | made again | all |\n" + "|---" * 7 + "|")
    for attack in dict.fromkeys(row["attack"] for row in rows):
        mine = [row for row in rows if row["attack"] == attack]
        checks = [[r["verify"] == "supported" for r in mine], [r["asked"] == "supported" for r in mine]]
        checks += [[r["rebuilt"] for r in mine], [r["regenerated"] for r in mine]]
        passed = [*map(sum, checks), sum(map(all, zip(*checks, strict=True)))]
        low, high = clopper_pearson(passed[-1], len(mine))
        print(f"| {attack} | {len(mine)} | {' | '.join(map(str, passed))} [{low:.2f}, {high:.2f}] |")


if __name__ == "__main__":
    place = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "accusers.jsonl"
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 20, place)
    table(place)
