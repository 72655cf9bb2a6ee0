"""The tables of docs/results.md from the records of fingerbench-fmnist or fingerbench-hard.

    python benchmarks/fingerbench_table.py benchmarks/fingerbench-fmnist groups 100
    python benchmarks/fingerbench_table.py benchmarks/fingerbench-hard tiers 100

groups   AUC by kind of theft, pooled, and false accusations by source
tiers    AUC of all thefts against each tier of innocents, and accusations by tier
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from birthmark.bench import tables

BUDGETS = (100, 1000)
LEAST = 2  # models that a column needs


def short(value: float | None) -> str:
    """Three digits, never rounded up."""
    return "" if value is None else f"{math.floor(value * 1000 + 1e-6) / 1000:.3f}".removeprefix("0")


def words(row: Mapping[str, Any]) -> str:
    """AUC with its interval."""
    if row["auc_low"] == 1:
        return "1.000"
    return f"{short(row['auc'])} [{short(row['auc_low'])}, {short(row['auc_high'])}]"


def accused(row: Mapping[str, Any]) -> str:
    """Innocents accused, with the Clopper-Pearson interval."""
    return f"{round(row['fpr'] * row['n_neg'])}/{row['n_neg']} [{short(row['fpr_low'])}, {short(row['fpr_high'])}]"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("what", choices=("groups", "tiers"))
    parser.add_argument("queries", type=int, nargs="*", help=f"default {BUDGETS}")
    said = parser.parse_args(arguments)
    rows = tables.rows(tables.load(said.records))
    part, other = ("group", "tier") if said.what == "groups" else ("tier", "group")
    size = "n_pos" if part == "group" else "n_neg"
    columns = {
        c: max(r[size] for r in rows if r[part] == c)
        for c in dict.fromkeys(r[part] for r in rows if r[other] == tables.ALL)
    }
    columns = {c: n for c, n in columns.items() if c != tables.ALL and n >= LEAST}
    named = [f"{c} ({n})" for c, n in columns.items()]
    print("| method | answers | queries | " + " | ".join(named) + " | all | supported | innocents accused |")
    print("|---" * (6 + len(columns)) + "|")
    series = dict.fromkeys(
        (r["method"], r["access"], r["queries"]) for r in rows if r["queries"] in (said.queries or BUDGETS)
    )
    for method, access, queries in sorted(series, key=lambda s: (s[2], -_pooled(rows, s))):
        own = {
            (r["group"], r["tier"]): r
            for r in rows
            if (r["method"], r["access"], r["queries"]) == (method, access, queries)
        }
        cells = [own.get((c, tables.ALL) if part == "group" else (tables.ALL, c)) for c in columns]
        pooled = own[(tables.ALL, tables.ALL)]
        if access == "probs" and pooled["auc_raw"] == _pooled(rows, (method, "labels", queries), "auc_raw"):
            continue  # a method that reads labels alone
        print(
            f"| `{method}` | {access} | {queries} | "
            + " | ".join("" if cell is None else words(cell) for cell in cells)
            + f" | {words(pooled)} | {short(pooled['power'])} | {accused(pooled)} |"
        )


def _pooled(rows: Sequence[Mapping[str, Any]], which: tuple[str, str, int], figure: str = "auc") -> float:
    found = (
        r[figure]
        for r in rows
        if (r["method"], r["access"], r["queries"]) == which and r["group"] == r["tier"] == tables.ALL
    )
    return next(found, float("nan"))


if __name__ == "__main__":
    main()
