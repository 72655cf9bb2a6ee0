"""The tables of docs/dynamarks.md from the records of dynamarks-fmnist.

    python benchmarks/marks_table.py [benchmarks/dynamarks-fmnist]

Left out: the soft test on thieves who saw labels, and near-ties asked in five views; `birthmark bench table --json` has
them.
"""

import sys
from pathlib import Path
from typing import Any

from birthmark import stats
from birthmark.bench.watermarks import rows

IMAGES = ("calibrated", "over-confident")


def line(row: dict[str, Any]) -> str:
    hits = round(row["share_p001"] * row["n_students"])
    low, high = stats.clopper_pearson(hits, row["n_students"])
    first = (
        "" if row["first_of_200"] is None else f"{round(row['first_of_200'] * row['n_students'])}/{row['n_students']}"
    )
    return (
        f"| {row['source']} | {row['strength']} | {row['attack']} | {row['access']} | {row['test']}, {row['queries']} "
        f"| {', '.join(row['students'])} "
        f"| {hits}/{row['n_students']} [{low:.2f}, {high:.2f}] | {row['z_median']:.1f} ({row['z_least']:.1f}) | "
        f"{row['student_accuracy']:.3f} | {first} |"
    )


def main() -> None:
    found = rows(Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/dynamarks-fmnist"))
    shown = [
        r for r in found if "views" not in r["test"] and not (r["access"] == "labels" and r["test"].startswith("soft"))
    ]
    for images in (True, False):
        print(
            "| source | strength | done to the mark | thief saw | test, queries | students | p ≤ .001 [95 %] | z "
            "median (least) | student accuracy | first of 200 |"
        )
        print("|---" * 10 + "|")
        print("\n".join(line(r) for r in shown if (r["source"] in IMAGES) == images), end="\n\n")
    print(
        "| source | models | p ≤ .05 | p ≤ .01 | accused at .01 | keys with p ≤ .01 on more than 5 % | worst | keys "
        "that accuse more than 5 % | worst | KS distance, pooled |"
    )
    print("|---" * 10 + "|")
    for row in {r["source"]: r for r in found if r["n_unmarked"]}.values():
        print(
            f"| {row['source']} | {row['n_unmarked']} | {row['share_false_05']:.4f} | {row['share_false_01']:.4f} | "
            f"{row['accused_01']:.4f} "
            f"| {row['keys_p01']:.0f} | {row['worst_key_p01']:.3f} | {row['keys_01']:.0f} | {row['worst_key_01']:.3f} "
            f"| {row['ks']:.3f} |"
        )


if __name__ == "__main__":
    main()
