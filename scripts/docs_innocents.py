"""Tables of accused innocents over plans: every verdict of `supported` is counted, at the most queries asked."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from birthmark import stats

ROOT = Path(__file__).parents[1]
Suspect = tuple[Mapping[str, Any], Mapping[str, Any], str]


def suspects(folders: tuple[str, ...]) -> Iterator[Suspect]:
    """Record, suspect and verdict at the most queries, of every record in the folders that reaches verdicts."""
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*-*.json")):
            record = json.loads(path.read_text())
            for suspect in record["suspects"] if "method" in record else ():
                most = max(suspect["by_queries"], key=int, default="")
                if "verdict" in suspect["by_queries"].get(most, {}):
                    yield record, suspect, suspect["by_queries"][most]["verdict"]


def counted(folders: tuple[str, ...], role: str, kind: str) -> dict[str, dict[str, list[int]]]:
    """By "method | answers": by kind of suspect, and "all", how many were supported, of how many."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for record, suspect, verdict in suspects(folders):
        if suspect["role"] == role:
            for name in (suspect[kind], "all"):
                cell = found[f"`{record['method']}` | {record['access']}"][name]
                cell[0] += verdict == "supported"
                cell[1] += 1
    return found


def worst(folders: tuple[str, ...]) -> dict[str, str]:
    """By "method | answers": the source that accuses most, accused/innocents."""
    found: dict[str, dict[tuple[str, int], list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for record, suspect, verdict in suspects(folders):
        if suspect["role"] == "negative":
            cell = found[f"`{record['method']}` | {record['access']}"][record["plan"], record["source_seed"]]
            cell[0] += verdict == "supported"
            cell[1] += 1
    return {
        name: "{}/{}".format(*max(cells.values(), key=lambda cell: cell[0] / cell[1])) for name, cells in found.items()
    }


def accusations(*folders: str) -> tuple[str, list[list[object]]]:
    """Innocents accused at the record's alpha, by tier, pooled with the exact interval, and the worst source."""
    found, most = counted(folders, "negative", "tier"), worst(folders)
    tiers = list(dict.fromkeys(name for cells in found.values() for name in cells if name != "all"))
    lines = []
    for name, cells in sorted(found.items()):
        k, n = cells["all"]
        low, high = stats.clopper_pearson(k, n)
        own = ["{}/{}".format(*cells[tier]) if tier in cells else "" for tier in tiers]
        lines.append([name, *own, f"{k}/{n} [{low:.3f}, {high:.3f}]", most[name]])
    return f"method | answers | {' | '.join(tiers)} | all | worst source", lines


def thefts(*folders: str) -> tuple[str, list[list[object]]]:
    """Thefts supported, by group."""
    found = counted(folders, "positive", "group")
    groups = list(dict.fromkeys(name for cells in found.values() for name in cells))
    lines = [
        [name, *("{}/{}".format(*cells[group]) if group in cells else "" for group in groups)]
        for name, cells in sorted(found.items())
    ]
    return f"method | answers | {' | '.join(groups)}", lines
