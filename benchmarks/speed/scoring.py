"""Time of one verdict, all guards included, against the least it can take, in one run.

    python benchmarks/speed/scoring.py [--out benchmarks/speed/scoring.json] [--large]

Claims of 20 owners, 8 references and 16 treated references (45 answer sets with the suspect's) are made of random
answers. The bound does what no exact method can leave out: of kinship the logarithm of every answer set once and one
Gram matrix of all, of sac-m one matrix of cosines for each owner, reference and suspect, of every pair compared once.
Medians of three (of sac-m: one), in seconds of the one processor that it takes (on an idle machine the same as the
clock's); memory is the peak beyond the claim, in sizes of the claim. `--large` asks 21,841 classes instead, which takes
8 GB.
"""

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from birthmark.answers import as_labels
from birthmark.bench import tables
from birthmark.bench.jobs import machine
from birthmark.claim import Claim, Task
from birthmark.oracle import Function
from birthmark.types import Answers, Floats
from birthmark.verdict import conclude
from birthmark.verify import Terms, verify

OWNERS, REFERENCES, TREATED = 20, 8, 2


def claim_of(method: str, q: int, k: int) -> tuple[Claim, Floats]:
    """A claim of random answers, and a suspect that holds some of the source."""
    random = np.random.default_rng(0)

    def answers(n: int) -> Floats:
        rows = random.standard_normal((n, q, k), dtype=np.float32).astype(np.float64)
        np.exp(2 * rows, out=rows)
        rows /= rows.sum(axis=2, keepdims=True)
        return np.asarray(rows)

    tensors = {
        "queries": np.arange(q, dtype=np.float32)[:, None],
        "owners": answers(OWNERS),
        "references": answers(REFERENCES),
    }
    settings: dict[str, Any] = {"placebos": OWNERS - 1, "references": REFERENCES}
    if method in ("kinship", "lineage"):
        tensors["treated"] = answers(REFERENCES * TREATED).reshape(REFERENCES, TREATED, q, k)
    if method == "lineage":
        tensors["kink"] = (np.arange(q) // (3 * OWNERS) % 2).astype(np.int8)
    if method == "sac-m":
        tensors["belongs"] = np.ones((OWNERS, q), dtype=bool)
    owners = tensors["owners"]
    return Claim(method, settings, Task((1,), k), 0, tensors), 0.3 * owners[0] + 0.7 * answers(1)[0]


def least_kinship(claim: Claim, suspect: Floats) -> None:
    """Every answer set's logarithm, once, and one Gram matrix."""
    sets = [*claim.tensors["owners"], *claim.references, *claim.treated.reshape(-1, *suspect.shape), suspect]
    rows = np.stack([np.log(p + 0.01).ravel() for p in sets])
    rows @ rows.T


def least_sac(claim: Claim, suspect: Floats) -> None:
    """Every answer set's cosines, once, and every pair of sets that is compared."""
    owners, others = (
        [rows @ rows.T for rows in (r / np.linalg.norm(r, axis=1, keepdims=True) for r in some)]
        for some in (claim.tensors["owners"], [*claim.references, suspect])
    )
    for mine in owners:
        for theirs in others:
            np.abs(mine - theirs).mean()


def seconds(what: Callable[[], object], rounds: int) -> float:
    """Median time of a call."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        what()
        found.append(time.process_time() - begun)
    return statistics.median(found)


def taken(what: Callable[[], object]) -> int:
    """The most memory that a call takes beyond what was there, in bytes."""
    tracemalloc.start()
    what()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def measured(method: str, q: int, k: int, rounds: int) -> dict[str, Any]:
    """One row: seconds of the verdict, of the bound, their ratio."""
    claim, suspect = claim_of(method, q, k)
    size = sum(rows.nbytes for rows in claim.tensors.values())
    took = seconds(lambda: conclude(claim, suspect, 0.05), rounds)
    extra = taken(lambda: conclude(claim, suspect, 0.05)) / size
    row: dict[str, Any] = {"method": method, "queries": q, "classes": k, "seconds": round(took, 3)}
    row["peak_beyond_claim"] = round(extra, 2)
    if method != "tafa":
        labels = as_labels(suspect)
        row["seconds_of_labels"] = round(seconds(lambda: conclude(claim, labels, 0.05), 1), 3)
    bound = {"kinship": least_kinship, "sac-m": least_sac}.get(method)
    if bound and k < 20_000:
        least = seconds(lambda: bound(claim, suspect), rounds)
        row |= {"bound": round(least, 3), "ratio": round(took / least, 2)}
    return row


def verified(q: int = 500, k: int = 1000) -> dict[str, Any]:
    """`verify` as a whole, the suspect's own time excluded."""
    claim, suspect = claim_of("kinship", q, k)
    oracle = Function(lambda inputs: suspect[inputs[:, 0].astype(int)], Answers.PROBABILITIES)
    took = seconds(lambda: verify(claim, oracle, terms=Terms()), 1)
    return {"verify": "kinship", "queries": q, "classes": k, "seconds": round(took, 3)}


def tabled(records: int = 60) -> dict[str, Any]:
    """The table of the records of `fingerbench-fmnist`, as many as there are, given again until there are enough."""
    found = tables.load(Path("benchmarks/fingerbench-fmnist"))
    found = [{**found[i % len(found)], "plan": f"p{i // len(found)}"} for i in range(records)]
    took = seconds(lambda: tables.rows(found), 1)
    return {"table_of": records, "seconds": round(took, 2)}


def main() -> None:
    """Print and keep the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path)
    options.add_argument("--large", action="store_true")
    given = options.parse_args()
    sizes = [("kinship", 500, 10), ("kinship", 2000, 10), ("kinship", 500, 100), ("kinship", 500, 1000)]
    sizes += [
        ("lineage", 500, 1000),
        ("tafa", 480, 1000),
        ("sac-m", 500, 10),
        ("sac-m", 2000, 10),
        ("sac-m", 2000, 100),
    ]
    rows = (
        [measured("kinship", 500, 21_841, 1)]
        if given.large
        else [measured(*size, 1 if size[0] == "sac-m" else 3) for size in sizes]
    )
    whole = [] if given.large else [verified(), tabled()]
    record = {"rows": rows, "whole": whole, "machine": machine()}
    text = json.dumps(record, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
