"""Benchmark records -> one self-contained HTML page: tables, ROC, robustness-uniqueness curves, a heat map.

No script, no network, no other file; the same records give the same bytes.
"""

from collections import defaultdict
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from markupsafe import Markup

from birthmark import __version__
from birthmark.bench import tables
from birthmark.errors import ArtifactError
from birthmark.report.pages import rendered
from birthmark.types import Plain

CURVES = 12  # series in one figure, best first
MACHINE = "{processor}, {processors} processors, Python {python}"


def page(records: Sequence[Plain], *, queries: int = 100, command: str = "") -> str:
    """The leaderboard of one plan's records.

    Args:
        queries: budget that the heat map and the curves are drawn at (the largest one up to it that a method has).
        command: what made the records, for the reader who wants to repeat it.

    Raises:
        ArtifactError: records of several plans.
    """
    plans = sorted({record["plan"] for record in records})
    if len(plans) != 1:
        raise ArtifactError(
            f"a leaderboard is about one plan, these records are about {', '.join(plans) or 'none'}; give one plan's "
            "folder"
        )
    rows = tables.rows(records)
    pooled = [row for row in rows if row["group"] == row["tier"] == tables.ALL]
    best = _best(pooled, queries)
    series = list(map(itemgetter("method", "access", "queries"), best))
    return rendered(
        "leaderboard.html.jinja",
        {"score": _score},
        title=records[0]["title"],
        plan=plans[0],
        version=__version__,
        command=command or f"birthmark bench run {plans[0]}",
        machines=sorted({MACHINE.format(**record["machine"]) for record in records}),
        versions=sorted({f"{name} {value}" for record in records for name, value in record["versions"].items()}),
        sources=sorted({record["source_seed"] for record in records}),
        alpha=records[0]["alpha"],
        queries=queries,
        pooled=sorted(pooled, key=itemgetter("method", "access", "queries")),
        best=best,
        groups=_heat(rows, series, "group"),
        tiers=_heat(rows, series, "tier"),
        roc=_figure(records, series[:CURVES], _roc, "false-positive rate", "true-positive rate"),
        robust=_figure(records, _unit(records, series)[:CURVES], _robust, "threshold", "share, robust and unique"),
    )


def _best(pooled: Sequence[Plain], queries: int) -> list[Plain]:
    """Each method and access at its largest budget up to `queries`, or its smallest; best first."""
    sizes = defaultdict[tuple[str, str], list[int]](list)
    for row in pooled:
        sizes[row["method"], row["access"]].append(row["queries"])
    chosen = {series: max((q for q in own if q <= queries), default=min(own)) for series, own in sizes.items()}
    best = (row for row in pooled if chosen[row["method"], row["access"]] == row["queries"])
    return sorted(best, key=lambda row: -(row["auc"] or 0))


def _heat(rows: Sequence[Plain], series: Sequence[tuple[str, str, int]], axis: str) -> dict[str, Any]:
    """AUC by method and group (or tier), with the colour of each cell: from .5, nothing, to 1."""
    columns = list(dict.fromkeys(row[axis] for row in rows if row[axis] != tables.ALL))
    found = {(row["method"], row["access"], row["queries"], row[axis]): row for row in rows if row[axis] != tables.ALL}
    cells = [
        {
            "name": f"{method}, {access}, {queries}",
            "cells": [_cell(found.get((method, access, queries, column))) for column in columns],
        }
        for method, access, queries in series
    ]
    return {"columns": columns, "rows": cells}


def _cell(row: Plain | None) -> dict[str, Any]:
    value = None if row is None else row["auc"]
    return {
        "value": value,
        "n": "" if row is None else f"{row['n_pos']} + {row['n_neg']}",
        "share": 0 if value is None else round(max(0.0, 2 * value - 1) * 70),
    }


def _suspects(records: Sequence[Plain], series: tuple[str, str, int]) -> tuple[list[Plain], list[Plain]]:
    method, access, queries = series
    here = [
        (suspect["role"], suspect["by_queries"][str(queries)])
        for record in records
        if (record["method"], record["access"]) == (method, access)
        for suspect in record["suspects"]
        if str(queries) in suspect["by_queries"]
    ]
    return [cell for role, cell in here if role == "positive"], [cell for role, cell in here if role == "negative"]


def _unit(records: Sequence[Plain], series: Sequence[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Those whose raw scores all lie on [0, 1]."""

    def fits(one: tuple[str, str, int]) -> bool:
        raw = [cell["raw"] for cells in _suspects(records, one) for cell in cells]
        return all(value is not None and 0 <= value <= 1 for value in raw)

    return list(filter(fits, series))


Points = list[tuple[float, float]]


def _roc(positives: Sequence[Plain], negatives: Sequence[Plain]) -> list[Points]:
    """One curve: (FPR, TPR) at every threshold, all sources' suspects on one scale."""
    a, b = tables.closeness(positives), tables.closeness(negatives)
    cuts = [np.inf, *sorted({*a, *b}, reverse=True)]
    return [[(float((b >= cut).mean()), float((a >= cut).mean())) for cut in cuts]]


def _robust(positives: Sequence[Plain], negatives: Sequence[Plain]) -> list[Points]:
    """Two curves over the threshold: share of positives at or above it, share of negatives below it (IPGuard)."""
    a, b = (np.array([cell["raw"] for cell in cells]) for cells in (positives, negatives))
    cuts = np.linspace(0, 1, 51)
    return [[(float(t), float((a >= t).mean())) for t in cuts], [(float(t), float((b < t).mean())) for t in cuts]]


def _figure(
    records: Sequence[Plain], series: Sequence[tuple[str, str, int]], draw: Any, across: str, up: str
) -> list[dict[str, Any]]:
    """Small multiples: one square SVG a series."""
    found = []
    for one in series:
        positives, negatives = _suspects(records, one)
        lines = "".join(
            (
                f'<polyline class="curve {"second" if i else "first"}" '
                f'points="{" ".join(f"{100 * x:.1f},{100 - 100 * y:.1f}" for x, y in points)}"/>'
            )
            for i, points in enumerate(draw(positives, negatives))
        )
        label = f"{one[0]}, {one[1]}, {one[2]} queries: {up} against {across}"
        svg = (
            f'<svg viewBox="-2 -2 104 104" role="img" aria-label="{label}"><rect class="frame" width="100" '
            f'height="100"/>{lines}</svg>'
        )
        found.append(
            {"name": f"{one[0]}, {one[1]}, {one[2]}", "svg": Markup(svg)}
        )  # numbers and names of our own methods only
    return found


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
