"""Records -> rows of tables: per attack group, per tier of innocents, pooled; and what changed between two record sets.

All figures pool the sources' suspects, except AUC, which is taken within each source and averaged: scores of different
sources need not be on one scale. Innocents that all sources share are counted once for each source.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from birthmark import stats
from birthmark.artifact import parsed
from birthmark.errors import ArtifactError
from birthmark.evidence import Verdict
from birthmark.types import Floats, Plain

FORMAT = "birthmark/record/1"
ALL = "all"
Row = dict[str, Any]  # of a table


def load(folder: Path) -> list[Row]:
    """All records in a folder, its sub-folders included.

    Raises:
        ArtifactError: no records, or a file that cannot be read.
    """
    found = []
    for path in sorted(folder.rglob("*.json")) if folder.is_dir() else []:
        try:
            record = parsed(path.read_bytes(), str(path))
        except OSError as error:
            raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from None
        if isinstance(record, dict) and record.get("format") == FORMAT:
            found.append(record)
    if not found:
        raise ArtifactError(f"{folder}: no benchmark records there; run birthmark bench run PLAN --out {folder}")
    return found


def rows(records: Sequence[Plain], *, fpr: float = 0.05, seed: int = 0, rounds: int = 1000) -> list[Row]:
    """One row per plan, task (its data), method, access, number of queries, and pair of a group (or all) with a tier
    (or all).

    Args:
        fpr: false-positive rate that the true-positive rate is read at; with n innocents its resolution is 1/n.

    Returns:
        Rows with `auc` of z (of the raw score where there is nothing to standardise by) and its 95 % bootstrap
        interval, `auc_raw`, `aruc` (null unless all raw scores lie on [0, 1]), `tpr_at_fpr`, `power` and `fpr`: the
        shares of positives and of innocents with verdict "supported" at alpha, `fpr_low`, `fpr_high`: Clopper-Pearson.
    """
    try:
        return _rows(records, fpr, seed, rounds)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        what = f"{type(error).__name__}: {str(error)[:100]}"
        raise ArtifactError(f"a record is none that birthmark bench run writes ({what}); run the bench again") from None


def _rows(records: Sequence[Plain], fpr: float, seed: int, rounds: int) -> list[dict[str, Any]]:
    series = defaultdict[tuple[str, str, str, str], list[Plain]](list)
    for record in records:
        series[record["plan"], record.get("task", ""), record["method"], record["access"]].append(record)
    found = []
    for key, unsorted in sorted(series.items()):
        own = sorted(unsorted, key=itemgetter("source_seed"))
        head = {**dict(zip(KEY, key, strict=False)), **_head(own)}
        suspects = list(chain.from_iterable(record["suspects"] for record in own))
        for size in sorted({int(q) for s in suspects for q in s["by_queries"]}):
            for group, tier in _slices(suspects):
                pairs = [cells for record in own if all(cells := _cells(record, size, group, tier))]
                if pairs:
                    row = _row(pairs, fpr, seed, rounds)
                    found.append({**head, "queries": size, "group": group, "tier": tier, **row})
    return found


def _head(own: Sequence[Plain]) -> Row:
    return {
        "sources": len(own),
        "enrol_seconds": round(float(np.mean([record["enrol_seconds"] for record in own])), 1),
        "enrol_models": max(record["enrol_models"] for record in own),
        "refused": sum(bool(record["refused"]) for record in own),
        "alpha": own[0]["alpha"],
    }


def _slices(suspects: Sequence[Plain]) -> list[tuple[str, str]]:
    """Pairs of a group and a tier: all of both, each group, each tier."""
    groups = dict.fromkeys((s["group"], ALL) for s in suspects if s["role"] == "positive")
    tiers = dict.fromkeys((ALL, s["tier"]) for s in suspects if s["role"] == "negative")
    return [(ALL, ALL), *groups, *tiers]


def _cells(record: Plain, size: int, group: str, tier: str) -> tuple[list[Plain], list[Plain]]:
    """One source's positives of a group, and negatives of a tier, at one number of queries."""
    here = [(s, s["by_queries"][str(size)]) for s in record["suspects"] if str(size) in s["by_queries"]]
    positives = [cell for s, cell in here if s["role"] == "positive" and group in (ALL, s["group"])]
    return positives, [cell for s, cell in here if s["role"] == "negative" and tier in (ALL, s["tier"])]


def _row(pairs: Sequence[tuple[list[Plain], list[Plain]]], fpr: float, seed: int, rounds: int) -> Row:
    """Figures of each source's positives and negatives, at least one of both."""
    thefts, innocents = zip(*pairs, strict=True)
    positives, negatives = list(chain(*thefts)), list(chain(*innocents))
    near, far = list(map(closeness, thefts)), list(map(closeness, innocents))
    auc, low, high = stats.bootstrap_auc(near, far, seed=seed, rounds=rounds)
    raw = _raw(positives), _raw(negatives)
    unit = all(values.min() >= 0 and values.max() <= 1 for values in raw)
    bounds = stats.clopper_pearson(_supported(negatives), len(negatives))
    return {
        "n_pos": len(positives),
        "n_neg": len(negatives),
        "auc": _short(auc),
        "auc_low": _short(low),
        "auc_high": _short(high),
        "auc_raw": _short(float(np.mean(list(map(stats.auc, map(_raw, thefts), map(_raw, innocents)))))),
        "aruc": _short(stats.aruc(*raw)) if unit else None,
        "tpr_at_fpr": _short(float(np.mean([stats.tpr_at_fpr(a, b, fpr) for a, b in zip(near, far, strict=True)]))),
        "tpr_fpr": fpr,
        "power": _short(_supported(positives) / len(positives)),
        "fpr": _short(_supported(negatives) / len(negatives)),
        "fpr_low": _short(bounds[0]),
        "fpr_high": _short(bounds[1]),
        "fpr_by_source": [round(_supported(cells) / len(cells), 4) for cells in innocents],
    }


def _supported(cells: list[Plain]) -> int:
    return sum(cell.get("verdict") == Verdict.SUPPORTED for cell in cells)


def closeness(cells: Sequence[Plain]) -> Floats:
    """What suspects are ranked by: z where all have one (null stands for an infinite one), else the raw score."""
    if all("z" in cell for cell in cells):
        return np.array([_infinite(cell) if cell["z"] is None else cell["z"] for cell in cells], dtype=np.float64)
    return _raw(cells)


def _infinite(cell: Plain) -> float:
    """Placebos that do not differ give z = +-infinity; the rank says which."""
    return 1e9 if cell["p"] < 1 else -1e9


def _raw(cells: Sequence[Plain]) -> Floats:
    return np.array([-1e9 if cell["raw"] is None else cell["raw"] for cell in cells], dtype=np.float64)


def _short(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


COMPARED = ("auc", "aruc", "tpr_at_fpr", "power", "fpr")
KEY = ("plan", "task", "method", "access", "queries", "group", "tier")


def compare(before: Sequence[Plain], after: Sequence[Plain], *, least: float = 0.005) -> list[Row]:
    """What changed by at least `least` between two lists of `rows`, largest changes of AUC first.

    Rows that came or went are named.
    """
    old, new = ({tuple(row[key] for key in KEY): row for row in table} for table in (before, after))
    found = []
    for key in sorted({*old, *new}, key=str):
        head = dict(zip(KEY, key, strict=True))
        if key not in old or key not in new:
            found.append({**head, "change": "added" if key in new else "removed"})
            continue
        if moved := _moved(old[key], new[key], least):
            found.append({**head, "change": "changed", **moved})
    return sorted(found, key=_by_auc)


def _moved(old: Plain, new: Plain, least: float) -> Row:
    both = {name: {"before": old[name], "after": new[name]} for name in COMPARED}
    return {name: figures for name, figures in both.items() if _differ(**figures, least=least)}


def _differ(before: float | None, after: float | None, least: float) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(after - before) >= least


def _by_auc(row: Plain) -> float:
    moved = row.get("auc", {})
    return -abs((moved.get("after") or 0) - (moved.get("before") or 0))
