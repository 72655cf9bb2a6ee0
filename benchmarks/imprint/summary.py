"""What the records of the plans here say, as one JSON file and one table.

    birthmark zoo build benchmarks/imprint/mlp.toml --store STORE
    birthmark bench run benchmarks/imprint/mlp.toml --store STORE --out RECORDS/mlp --alpha 0.01 \
        --queries 50 --queries 100 --queries 300 --queries 1000 --queries 1500          (lenet.toml likewise)
    python benchmarks/imprint/summary.py RECORDS benchmarks/imprint/summary.json
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from birthmark.artifact import canonical, write_atomically
from birthmark.bench.jobs import rounded
from birthmark.stats import clopper_pearson

ROW = Mapping[str, Any]
LEVELS = (("imprint", "probs", 100, 0.01), ("imprint", "probs", 300, 0.001), ("imprint", "probs", 1000, 0.001))
LEVELS += (("imprint-labels", "labels", 1500, 0.01),)


def rows(folder: Path) -> Iterator[ROW]:
    """Every suspect under every client's claim at every budget."""
    for path in sorted(folder.glob("*/imprint*.json")):
        record = json.loads(path.read_text())
        about = {"plan": path.parent.name, "source": record["source_seed"], "method": record["method"]}
        for suspect in record["suspects"]:
            for size, cell in suspect["by_queries"].items():
                yield {**about, "access": record["access"], **suspect, "queries": int(size), **cell}


def share(found: Sequence[bool]) -> dict[str, Any]:
    """Hits, n and the exact 95 % interval of their share."""
    hits, n = sum(found), len(found)
    return {"hits": hits, "n": n, "share": hits / n, "interval": clopper_pearson(hits, n)}


def thefts(every: Sequence[ROW]) -> Iterator[ROW]:
    groups = sorted({row["group"] for row in every if row["role"] == "positive"})
    for plan in ("mlp", "lenet", "both"):
        for group in groups:
            for method, access, queries, level in LEVELS:
                own = [
                    row
                    for row in every
                    if (row["method"], row["access"], row["queries"]) == (method, access, queries)
                    and row["role"] == "positive"
                    and row["group"] == group
                    and plan in (row["plan"], "both")
                ]
                if own:
                    z = [row["z"] for row in own]
                    found = {"plan": plan, "group": group, "method": method, "queries": queries, "p": level}
                    yield {
                        **found,
                        **share([row["p"] <= level for row in own]),
                        "z": float(np.mean(z)),
                        "least z": float(min(z)),
                        "supported": share([row["verdict"] == "supported" for row in own]),
                    }


def innocents(every: Sequence[ROW]) -> Iterator[ROW]:
    for method, access, queries, _ in LEVELS:
        own = [
            row
            for row in every
            if (row["method"], row["access"], row["queries"]) == (method, access, queries) and row["role"] == "negative"
        ]
        if own:
            yield {
                "method": method,
                "queries": queries,
                "p <= .05": share([row["p"] <= 0.05 for row in own]),
                "p <= .01": share([row["p"] <= 0.01 for row in own]),
                "supported at .01": share([row["verdict"] == "supported" for row in own]),
            }


def costs(folder: Path) -> Iterator[ROW]:
    """Accuracy of every marked model less that of uniform smoothing (of the source, for a keyed fine-tune), paired."""
    kinds = {"key": "keyed targets", "tilted": "keyed targets and mixtures", "tuned": "keyed fine-tune"}
    found: dict[tuple[str, str], list[float]] = {}
    for path in sorted(folder.glob("*/suspects-*.json")):
        told = {row["name"]: row for row in json.loads(path.read_text())["suspects"]}
        for name, row in told.items():
            word = name.split()[0]
            if word in kinds and name.split()[-1].isdecimal() and len(name.split()) == 2:
                change = row["accuracy"] - told["uniform smoothing"]["accuracy"]
                for plan in (path.parent.name, "both"):
                    found.setdefault((plan, kinds[word]), []).append(change)
                    found.setdefault((plan, f"{kinds[word]}: agreement with the plain source"), []).append(
                        row["agreement"]
                    )
    for (plan, what), values in found.items():
        spread = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
        mean = float(np.mean(values))
        yield {"plan": plan, "what": what, "mean": mean, "interval": (mean - spread, mean + spread), "n": len(values)}


def main(folder: Path, out: Path) -> None:
    every = list(rows(folder))
    found = {
        "command": "python benchmarks/imprint/summary.py RECORDS benchmarks/imprint/summary.json",
        "thefts": list(thefts(every)),
        "innocents": list(innocents(every)),
        "accuracy beside uniform smoothing": list(costs(folder)),
    }
    write_atomically(out, canonical(rounded(found)) + b"\n")
    for row in found["thefts"]:
        if row["plan"] == "both":
            low, high = row["interval"]
            print(
                f"{row['method']:15s} {row['queries']:5d} p<={row['p']:<6g}{row['hits']:3d}/{row['n']:<3d} "
                f"[{low:.2f},{high:.2f}] z {row['z']:5.1f} (least {row['least z']:5.1f})  {row['group']}"
            )
    for row in (*found["innocents"], *found["accuracy beside uniform smoothing"]):
        print(dict(row))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
