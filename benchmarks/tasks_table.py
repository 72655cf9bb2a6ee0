"""The tables of docs/tasks.md from the records of fingerbench-tasks.

    python benchmarks/tasks_table.py [benchmarks/fingerbench-tasks]

Mean AUC over sources with a bootstrap interval over sources and models, of the weight modifications ("copies"), of the
distillations ("students") and of both together, each against all innocents of its source.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from birthmark import stats
from birthmark.bench import tables
from birthmark.zoo.task_plans import MANY, TASKS

STUDENTS, UNPAIRED = ("distill-same", "distill-other"), ("unpaired",)
COLUMNS = (
    ("`kinship`", "kinship", "probs", 300),
    ("`kinship`, labels", "kinship", "labels", 300),
    ("`tafa`", "tafa", "probs", 600),
    ("`lineage`", "lineage", "probs", 600),
)
COMPARED = ("kinship", "tafa", "lineage", "liteguard", "metav")
HALFWAY = {"liteguard": 0.5, "metav": 0.0}
Cell = Mapping[str, Any]
Records = Sequence[Mapping[str, Any]]
GROUPS: tuple[Callable[[str], bool], ...] = (
    lambda g: g not in STUDENTS + UNPAIRED,
    lambda g: g in STUDENTS,
    lambda g: g not in UNPAIRED,
)


def cells(
    record: Mapping[str, Any], queries: int, role: str, chosen: Callable[[str], bool] = lambda _: True
) -> list[Cell]:
    """A record's suspects of a role and group at one number of queries."""
    return [s["by_queries"][str(queries)] for s in record["suspects"] if s["role"] == role and chosen(s["group"])]


def accused(found: Sequence[Cell]) -> int:
    return sum(cell["verdict"] == "supported" for cell in found)


def short(value: float) -> str:
    """Three digits, never rounded up."""
    return f"{math.floor(value * 1000 + 1e-6) / 1000:.3f}".removeprefix("0")


def pairs(own: Records, queries: int, chosen: Callable[[str], bool]) -> list[list[Any]]:
    """Scores of thefts and of innocents, by source."""
    return [
        [tables.closeness(cells(r, queries, role, pick)) for r in own]
        for role, pick in (("positive", chosen), ("negative", lambda _: True))
    ]


def auc(own: Records, queries: int, chosen: Callable[[str], bool]) -> str:
    """Mean AUC and its interval in words."""
    value, low, high = stats.bootstrap_auc(*pairs(own, queries, chosen), seed=0, rounds=1000)
    return "1.000" if low == 1 else f"{short(value)} [{short(low)}, {short(high)}]"


def difference(ours: Records, theirs: Records, queries: int, rounds: int = 1000) -> str:
    """Mean AUC (copies and students) of one method less another's on the same suspects, and its bootstrap interval over
    sources and models.
    """
    random = np.random.default_rng(0)
    above = [  # (method, theft, innocent): 1 where the theft is higher, 1/2 for ties
        np.stack(
            [
                (
                    np.sign(
                        np.subtract.outer(
                            *(
                                tables.closeness(cells(r, queries, role, pick))
                                for role, pick in (("positive", GROUPS[2]), ("negative", GROUPS[2]))
                            )
                        )
                    )
                    + 1
                )
                / 2
                for r in pair
            ]
        )
        for pair in zip(ours, theirs, strict=True)
    ]
    gaps = [table[0] - table[1] for table in above]

    def redrawn(gap: Any) -> float:
        return float(
            gap[random.integers(len(gap), size=len(gap))][:, random.integers(gap.shape[1], size=gap.shape[1])].mean()
        )

    draws = [np.mean([redrawn(gaps[i]) for i in random.integers(len(gaps), size=len(gaps))]) for _ in range(rounds)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{np.mean([gap.mean() for gap in gaps]):+.3f} [{low:+.3f}, {high:+.3f}]".replace("0.", ".")


def compared(task: str, records: Records) -> None:
    """Print a task's row: five methods on the same sources, at the largest number of queries up to 300 that all were
    run at; then the best of ours less the best of theirs.
    """
    own = {m: {r["source_seed"]: r for r in records if r["method"] == m and r["access"] == "probs"} for m in COMPARED}
    sources = sorted(set.intersection(*(set(found) for found in own.values() if found)))
    if not sources or not own["metav"]:
        return
    queries = next(q for q in (300, 100) if str(q) in own["metav"][sources[0]]["suspects"][0]["by_queries"])
    words = [
        " / ".join(auc([own[m][s] for s in sources], queries, chosen).partition(" ")[0] for chosen in GROUPS)
        if own[m]
        else ""
        for m in COMPARED
    ]
    same = {m: [own[m][s] for s in sources] for m in COMPARED if own[m]}
    best, rival = (
        max(
            (m for m in group if m in same),
            key=lambda m: stats.bootstrap_auc(*pairs(same[m], queries, GROUPS[2]), seed=0, rounds=2)[0],
        )
        for group in (COMPARED[:3], COMPARED[3:])
    )
    print(
        f"| {task} ({len(sources)}) | {queries} | "
        + " | ".join([*words, difference(same[best], same[rival], queries)])
        + " |"
    )


def decided(task: str, records: Records, totals: dict[str, list[int]]) -> None:
    """Print what each method decides at 300 queries.

    Thefts found and innocents accused, ours by verdict, theirs by halfway between their two targets.
    """
    words, methods = [], {m: [r for r in records if r["method"] == m and r["access"] == "probs"] for m in COMPARED}
    if not all(methods.values()):
        return
    for method, own in methods.items():
        found = [
            [says(method, cell) for r in own for cell in cells(r, 300, role, GROUPS[2])]
            for role in ("positive", "negative")
        ]
        counts = [number for verdicts in found for number in (sum(verdicts), len(verdicts))]
        totals[method] = [a + b for a, b in zip(totals.get(method, [0] * 4), counts, strict=True)]
        words.append("{}/{}, {}/{}".format(*counts))
    print(f"| {task} | " + " | ".join(words) + " |")


def says(method: str, cell: Cell) -> bool:
    """Whether a method calls a suspect stolen: LiteGuard's score is a probability, MetaV's a logit."""
    return bool(cell["score"] >= HALFWAY[method]) if method in HALFWAY else cell["verdict"] == "supported"


def limits(records: Sequence[Mapping[str, Any]]) -> None:
    """Print the tables of `tasks_limits.py`.

    Mean AUC over thefts and sources, of harder thefts by attack and task, of a handful of queries by task.
    """
    rows = [{**row, "auc": float(np.mean(row["auc"]))} for record in records for row in record["rows"]]

    def words(part: str, methods: Sequence[str], **wanted: Any) -> str:
        found = [
            [
                r["auc"]
                for r in rows
                if r["part"] == part and r["method"] == m and all(r[key] == value for key, value in wanted.items())
            ]
            for m in methods
        ]
        return " / ".join(short(float(np.mean(aucs))) if aucs else "" for aucs in found)

    for by in ("theft", "task"):
        print(
            f"\n| {'harder theft' if by == 'theft' else 'all of a task'} | {' | '.join(COMPARED)} |\n|---"
            + "|---" * len(COMPARED)
            + "|"
        )
        for name in dict.fromkeys(r[by] for r in rows if r["part"] == "hard"):
            print(f"| {name} | " + " | ".join(words("hard", (m,), **{by: name}) for m in COMPARED) + " |")
    few = sorted({r["queries"] for r in rows if r["part"] == "few"})
    print("\n| task | " + " | ".join(f"{n} queries" for n in few) + " |\n|---" + "|---" * len(few) + "|")
    for record in records:
        task = record["task"]
        print(
            f"| {task} | "
            + " | ".join(words("few", ("kinship", "liteguard", "metav"), task=task, queries=n) for n in few)
            + " |"
        )


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/fingerbench-tasks")
    loaded = {
        task: tables.load(folder / task)
        for task in [*TASKS, *(task + MANY for task in TASKS)]
        if (folder / task).is_dir()
    }
    caught: dict[str, dict[str, list[bool]]] = {}
    blamed: dict[str, list[tuple[int, int]]] = {}
    print(
        (
            "| task (sources) | method | queries | copies | students | both | supported: copies, students | innocents "
            "accused, by source |\n"
        )
        + "|---" * 8
        + "|"
    )
    for task, records in loaded.items():
        for title, method, access, queries in COLUMNS:
            own = [r for r in records if r["method"] == method and r["access"] == access]
            if not own:
                continue
            counts = [[c for r in own for c in cells(r, queries, "positive", chosen)] for chosen in GROUPS[:2]]
            innocents = [cells(r, queries, "negative") for r in own]
            words = " | ".join(
                ", ".join(f"{accused(found)}/{len(found)}" for found in lists) for lists in (counts, innocents)
            )
            print(
                f"| {task} ({len(own)}) | {title} | {queries} | "
                + " | ".join(auc(own, queries, chosen) for chosen in GROUPS)
                + f" | {words} |"
            )
            kind = f"{title} at {queries}, alpha {own[0]['alpha']:g}"
            blamed.setdefault(kind, []).extend((accused(found), len(found)) for found in innocents)
            for suspect in (s for r in own for s in r["suspects"] if s["role"] == "positive"):
                caught.setdefault(suspect["group"], {}).setdefault(kind, []).append(
                    suspect["by_queries"][str(queries)]["verdict"] == "supported"
                )
    print(
        (
            "\n| task (sources) | queries | `kinship` | `tafa` | `lineage` | LiteGuard | MetaV | best of ours less "
            "best "
            "of theirs |\n"
        )
        + "|---" * 8
        + "|"
    )
    for task, records in loaded.items():
        compared(task, records)
    totals: dict[str, list[int]] = {}
    print(
        "\n| thefts found, innocents accused | `kinship` | `tafa` | `lineage` | LiteGuard | MetaV "
        "|\n|---|---|---|---|---|---|"
    )
    for task, records in loaded.items():
        decided(task, records, totals)
    print("| all | " + " | ".join("{}/{}, {}/{}".format(*counts) for counts in totals.values()) + " |")
    print("\n| method | innocents accused | 95 % | most of one source |\n|---|---|---|---|")
    for kind, found in blamed.items():
        wrong, all_ = sum(a for a, _ in found), sum(n for _, n in found)
        low, high = stats.clopper_pearson(wrong, all_)
        print(f"| {kind} | {wrong} of {all_} | {low:.4f} to {high:.4f} | {max(found)[0]} of {max(found)[1]} |")
    print("\n| attack | " + " | ".join(blamed) + " |\n" + "|---" * (1 + len(blamed)) + "|")
    for group, by in caught.items():
        print(
            f"| {group} | "
            + " | ".join(f"{sum(by[kind])}/{len(by[kind])}" if kind in by else "" for kind in blamed)
            + " |"
        )
    files = [folder / "experiments" / f"limits-{task}.json" for task in TASKS]
    limits([json.loads(file.read_text()) for file in files if file.exists()])


if __name__ == "__main__":
    main()
