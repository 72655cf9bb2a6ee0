"""How much of a bench's figures is the luck of the query set? Intervals over query sets, suspects and sources.

    python benchmarks/query_sets.py --records benchmarks/fingerbench-main --store STORE --out
    benchmarks/fingerbench-main/query-sets.json

For kinship, each draw takes q of the claim's queries at random (the claim holds the most disputed ones of the pool),
scores all suspects on them, and redraws sources and suspects with replacement; the interval is that of the draws' AUC.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from birthmark import registry, stats
from birthmark.artifact import write_atomically
from birthmark.claim import Claim


def scores(record: dict, store: Path, sizes: list[int], draws: int) -> dict[int, np.ndarray]:
    """By size: z of every suspect under every draw of queries (draws, suspects)."""
    folders = [p for p in (store / "claims").iterdir() if (p / "manifest.json").is_file()]
    claim, folder = next((c, f) for f in folders for c, d in [Claim.load(f)] if d == record["claim"])
    scorer, random = registry.scorer(claim), np.random.default_rng(record["source_seed"])
    answers = [np.load(store / "answers" / folder.name / f"{s['key']}.npy").astype(float) for s in record["suspects"]]
    if record["access"] == "labels":
        answers = [np.eye(a.shape[1])[a.argmax(1)] for a in answers]
    found = {}
    for size in sizes:
        rows = []
        for _ in range(draws):
            chosen = random.choice(len(claim.queries), size, replace=False)
            tensors = {
                key: value[chosen] if key == "queries" else value[..., chosen, :]
                for key, value in claim.tensors.items()
            }
            part = replace(claim, tensors=tensors)
            found_now = [scorer.score(part, a[chosen]) for a in answers]
            rows.append([stats.standardised(s.source, s.placebos) for s in found_now])
        found[size] = np.array(rows)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=40)
    given = parser.parse_args()
    random, rows = np.random.default_rng(0), []
    for access, sizes in (("probs", [50, 500]), ("labels", [50, 500, 1500])):
        records = [json.loads(p.read_text()) for p in sorted(given.records.glob(f"kinship-{access}-*.json"))]
        tables = [scores(record, given.store, sizes, given.draws) for record in records]
        for group in ("all", "extraction by labels", "extraction by probabilities", "modified copies"):
            for size in sizes:
                plain, redrawn = [], []
                for draw in range(given.draws):
                    aucs, boots = [], []
                    for record, table in zip(records, tables, strict=True):
                        z = table[size][draw]
                        of = np.array(
                            [s["role"] == "positive" and group in ("all", s["group"]) for s in record["suspects"]]
                        )
                        innocent = np.array([s["role"] == "negative" for s in record["suspects"]])
                        a, b = z[of], z[innocent]
                        aucs.append(stats.auc(a, b))
                        boots.append(
                            stats.auc(a[random.integers(len(a), size=len(a))], b[random.integers(len(b), size=len(b))])
                        )
                    plain.append(np.mean(aucs))
                    redrawn.append(np.mean([boots[i] for i in random.integers(len(boots), size=len(boots))]))
                low, high = np.quantile(redrawn, [0.025, 0.975])
                rows.append(
                    {
                        "method": "kinship",
                        "access": access,
                        "queries": size,
                        "group": group,
                        "sources": len(records),
                        "draws": given.draws,
                        "auc": round(float(np.mean(plain)), 4),
                        "auc_low": round(float(low), 4),
                        "auc_high": round(float(high), 4),
                    }
                )
                print(rows[-1])
    write_atomically(given.out, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
