"""Tables of the docs from the committed records, each between `<!-- table: KIND ARGUMENTS -->` and `<!-- end -->`.

The marker says which function below writes the table, and from what; paths are from the repository's root. AUCs are
means over sources with a bootstrap interval over sources and models, never rounded up.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kstest

import docs_claims
import docs_innocents
from birthmark import stats
from birthmark.bench import tables
from birthmark.data.tasks import TASKS

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.S)
MANY = "-99-twins"
Row = Mapping[str, Any]
Rows = Sequence[Row]


def filled(text: str) -> str:
    """A page with every table written anew."""

    def fresh(found: re.Match[str]) -> str:
        kind, *said = found[2].split()
        return f"{found[1]}{KINDS[kind](*said)}\n{found[3]}"

    return MARKED.sub(fresh, text)


def table(head: str, rows: Sequence[Sequence[object]]) -> str:
    """Markdown; the head names the columns, separated by bars."""
    lines = [head, "|".join(["---"] * (head.count("|") + 1)), *(" | ".join(map(str, row)) for row in rows)]
    return "\n".join(f"|{line}|" if set(line) <= {"-", "|"} else f"| {line} |" for line in lines)


def short(value: float | None) -> str:
    """Three digits, never rounded up."""
    return "" if value is None else f"{math.floor(value * 1000 + 1e-6) / 1000:.3f}".removeprefix("0")


def interval(value: float, low: float, high: float, sure: bool = True) -> str:
    return "1.000" if sure and low == 1 else f"{short(value)} [{short(low)}, {short(high)}]"


# fingerbench


def words(row: Row | None) -> str:
    return "" if row is None else interval(row["auc"], row["auc_low"], row["auc_high"])


def accused(row: Row) -> str:
    """Innocents accused, with the Clopper-Pearson interval."""
    return f"{round(row['fpr'] * row['n_neg'])}/{row['n_neg']} [{short(row['fpr_low'])}, {short(row['fpr_high'])}]"


def groups(folder: str, least: str, *queries: str, part: str = "group") -> str:
    """AUC by kind of theft, pooled, and false accusations; kinds of fewer than `least` models are left out."""
    rows = tables.rows(tables.load(ROOT / folder))
    other, size = ("tier", "n_pos") if part == "group" else ("group", "n_neg")
    sizes = {
        c: max(r[size] for r in rows if r[part] == c)
        for c in dict.fromkeys(r[part] for r in rows if r[other] == tables.ALL)
    }
    columns = [c for c, n in sizes.items() if c != tables.ALL and n >= int(least)]
    cells = {(r["method"], r["access"], r["queries"], r["group"], r["tier"]): r for r in rows}
    pooled = {key[:3]: r for key, r in cells.items() if key[3:] == (tables.ALL, tables.ALL) and str(key[2]) in queries}
    lines = []
    for (method, access, q), row in sorted(pooled.items(), key=lambda item: (item[0][2], -item[1]["auc"])):
        labels = pooled.get((method, "labels", q))
        if access == "probs" and labels and row["auc_raw"] == labels["auc_raw"]:
            continue  # a method that reads labels alone
        own = [
            cells.get((method, access, q, *((c, tables.ALL) if part == "group" else (tables.ALL, c)))) for c in columns
        ]
        found = [words(cell) for cell in own]
        lines.append([f"`{method}`", access, q, *found, words(row), short(row["power"]), accused(row)])
    named = " | ".join(f"{c} ({sizes[c]})" for c in columns)
    return table(f"method | answers | queries | {named} | all | supported | innocents accused", lines)


def tiers(folder: str, least: str, *queries: str) -> str:
    """AUC of all thefts against each tier of innocents, and accusations."""
    return groups(folder, least, *queries, part="tier")


def main(folder: str, *series: str) -> str:
    """AUC by kind of theft and accusations by source, of METHOD/ACCESS/QUERIES[,QUERIES...] in this order."""
    rows = {
        (r["method"], r["access"], r["queries"], r["group"]): r
        for r in tables.rows(tables.load(ROOT / folder))
        if r["tier"] == tables.ALL
    }
    kinds = [*sorted({key[3] for key in rows} - {tables.ALL}), tables.ALL]
    lines = []
    for method, access, q in (
        (method, access, int(q)) for one in series for method, access, many in [one.split("/")] for q in many.split(",")
    ):
        own = [rows[method, access, q, kind] for kind in kinds]
        said = [interval(r["auc"], r["auc_low"], r["auc_high"], sure=False) for r in own]
        n = own[-1]["n_neg"] // own[-1]["sources"]
        wrong = ", ".join(f"{round(share * n)}/{n}" for share in own[-1]["fpr_by_source"])
        lines.append([f"`{method}`", access, q, *said, wrong])
    last = rows[method, access, q, tables.ALL]
    named = " | ".join(f"{kind} ({rows[method, access, q, kind]['n_pos']})" for kind in kinds[:-1])
    pooled = f"all {last['n_pos']} against {last['n_neg']} innocents"
    return table(f"method | answers | queries | {named} | {pooled} | accused, by source", lines)


def query_sets(file: str) -> str:
    """AUC over redrawn query sets."""
    rows = json.loads((ROOT / file).read_text())
    return table(
        "answers | queries | group | AUC [interval over query sets, suspects and sources]",
        [[r["access"], r["queries"], r["group"], interval(r["auc"], r["auc_low"], r["auc_high"], False)] for r in rows],
    )


# marks

KEPT = {"dynamarks": "soft", "dynamarks-ties": "ties", "dawn": "dawn"}


def marks(folder: str, *sources: str) -> str:
    """What is left of the marks of these sources, by strength, what was done to it, and what the thief saw."""
    lines = []
    for record in tables.load(ROOT / folder):
        for group in dict.fromkeys(s["group"] for s in record["suspects"] if s["role"] == "positive"):
            own = [s for s in record["suspects"] if s["role"] == "positive" and s["group"] == group]
            strength, done, saw = group.split(", ")
            if record["source"] not in sources or (saw == "labels" and record["method"] == "dynamarks"):
                continue
            lines += marks_rows(record, own, (strength, done, saw))
    return table(
        "source | strength | done to the mark | thief saw | test, queries | students | p ≤ .001 [95 %] "
        "| z median (least) | student accuracy | first of 200",
        [line for _, line in sorted(lines)],
    )


def marks_rows(record: Row, own: Rows, group: tuple[str, str, str]) -> list[tuple[tuple[object, ...], list[str]]]:
    """A group's lines with what they are sorted by: at fewer than all held-out queries, then at all."""
    asked = [sorted(map(int, s["by_queries"])) for s in own]
    found = []
    for place in range(max(map(len, asked))):
        cells = [s["by_queries"][str(q[place])] for s, q in zip(own, asked, strict=True)]
        hits, z = sum(cell["p"] <= 0.001 for cell in cells), [cell["z"] for cell in cells]
        low, high = stats.clopper_pearson(hits, len(cells))
        firsts = [s["first_of_200"] for s in own if "first_of_200" in s and not place]
        test = KEPT[record["method"]] + (", all held-out" if place else "")
        students = [a for a in ("mlp", "lenet", "cnn", "vgg") if a in {s["student"] for s in own}]
        line = [
            *(record["source"], *group, f"{test}, {int(np.median([q[place] for q in asked]))}", ", ".join(students)),
            f"{hits}/{len(cells)} [{low:.2f}, {high:.2f}]",
            f"{np.median(z):.1f} ({min(z):.1f})",
            f"{np.mean([s['accuracy'] for s in own]):.3f}",
            f"{sum(firsts)}/{len(firsts)}" if firsts else "",
        ]
        found.append(((record["source"], *group, list(KEPT).index(record["method"]), place), line))
    return found


def unmarked(folder: str) -> str:
    """Unmarked models under 200 kept keys each: shares, the worst key, how uniform p is; verdicts at .01."""
    margin, lines = stats.margin(0.01, 0.45), []
    for record in tables.load(ROOT / folder):
        if "innocents" in record:
            p, z = (np.array(record["innocents"][part]) for part in "pz")
            low, wrong = p <= 0.01, (p <= 0.01) & (z >= margin)
            shares = [f"{part.mean():.4f}" for part in (p <= 0.05, low, wrong)]
            worst = [
                text
                for part in (low, wrong)
                for text in (str((part.mean(0) > 0.05).sum()), f"{part.mean(0).max():.3f}")
            ]
            lines.append([record["source"], len(p), *shares, *worst, f"{kstest(p.ravel(), 'uniform').statistic:.3f}"])
    return table(
        "source | models | p ≤ .05 | p ≤ .01 | accused at .01 | keys with p ≤ .01 on more than 5 % | worst "
        "| keys that accuse more than 5 % | worst | KS distance, pooled",
        lines,
    )


# tasks

STUDENTS, UNPAIRED = ("distill-same", "distill-other"), ("unpaired",)
SHOWN = (
    ("`kinship`", "kinship", "probs", 300),
    ("`kinship`, labels", "kinship", "labels", 300),
    ("`tafa`", "tafa", "probs", 600),
    ("`lineage`", "lineage", "probs", 600),
)
COMPARED = ("kinship", "tafa", "lineage", "liteguard", "metav")
TITLES = "`kinship` | `tafa` | `lineage` | LiteGuard | MetaV"
HALFWAY = {"liteguard": 0.5, "metav": 0.0}  # LiteGuard's score is a probability, MetaV's a logit
PARTS: tuple[Callable[[str], bool], ...] = (
    lambda g: g not in STUDENTS + UNPAIRED,
    lambda g: g in STUDENTS,
    lambda g: g not in UNPAIRED,
)


def of_tasks(folder: str) -> dict[str, list[dict[str, Any]]]:
    """Records by task, in the tasks' order, then those with 99 twins."""
    names = [*TASKS, *(task + MANY for task in TASKS)]
    return {name: tables.load(ROOT / folder / name) for name in names if (ROOT / folder / name).is_dir()}


def chosen(records: Rows, method: str, access: str = "probs") -> Rows:
    return [r for r in records if r["method"] == method and r["access"] == access]


def cells(record: Row, queries: int, role: str, of: Callable[[str], bool] = lambda group: True) -> Rows:
    return [s["by_queries"][str(queries)] for s in record["suspects"] if s["role"] == role and of(s["group"])]


def found_in(cells: Rows) -> int:
    return sum(cell["verdict"] == "supported" for cell in cells)


def auc(own: Rows, queries: int, of: Callable[[str], bool], rounds: int = 1000) -> tuple[float, float, float]:
    """Mean AUC over sources of these thefts against all innocents, and its interval."""
    thefts, clean = (
        [tables.closeness(cells(r, queries, role, pick)) for r in own]
        for role, pick in (("positive", of), ("negative", PARTS[2]))
    )
    return stats.bootstrap_auc(thefts, clean, seed=0, rounds=rounds)


def tasks(folder: str) -> str:
    lines = []
    for task, records in of_tasks(folder).items():
        for title, method, access, q in SHOWN:
            if own := chosen(records, method, access):
                caught = [[c for r in own for c in cells(r, q, "positive", part)] for part in PARTS[:2]]
                clean = [cells(r, q, "negative") for r in own]
                counts = [", ".join(f"{found_in(some)}/{len(some)}" for some in lists) for lists in (caught, clean)]
                aucs = [interval(*auc(own, q, part)) for part in PARTS]
                lines.append([f"{task} ({len(own)})", title, q, *aucs, *counts])
    return table(
        "task (sources) | method | queries | copies | students | both | supported: copies, students "
        "| innocents accused, by source",
        lines,
    )


def peers(folder: str) -> str:
    """Five methods on the same sources, at the most queries up to 300 that all were run at; the best of ours less the
    best of theirs.
    """
    lines = []
    for task, records in of_tasks(folder).items():
        own = {m: {r["source_seed"]: r for r in chosen(records, m)} for m in COMPARED}
        sources = sorted(set.intersection(*(set(found) for found in own.values() if found)))
        if not sources or not own["metav"]:
            continue
        q = next(q for q in (300, 100) if str(q) in own["metav"][sources[0]]["suspects"][0]["by_queries"])
        same = {m: [found[s] for s in sources] for m, found in own.items() if found}
        said = [" / ".join(interval(*auc(same[m], q, part)).partition(" ")[0] for part in PARTS) for m in COMPARED]
        best, rival = (
            max((m for m in some if m in same), key=lambda m: auc(same[m], q, PARTS[2], 2)[0])
            for some in (COMPARED[:3], COMPARED[3:])
        )
        lines.append([f"{task} ({len(sources)})", q, *said, difference(same[best], same[rival], q)])
    return table(f"task (sources) | queries | {TITLES} | best of ours less best of theirs", lines)


def difference(ours: Rows, theirs: Rows, queries: int, rounds: int = 1000) -> str:
    """Mean AUC of one method less another's on the same suspects, with the bootstrap interval."""
    random, gaps = np.random.default_rng(0), []
    for pair in zip(ours, theirs, strict=True):
        sides = [
            [tables.closeness(cells(r, queries, role, PARTS[2])) for role in ("positive", "negative")] for r in pair
        ]
        one, other = ((np.sign(np.subtract.outer(*side)) + 1) / 2 for side in sides)
        gaps.append(one - other)

    def redrawn(gap: Any) -> float:
        n, m = gap.shape
        return float(gap[random.integers(n, size=n)][:, random.integers(m, size=m)].mean())

    draws = [np.mean([redrawn(gaps[i]) for i in random.integers(len(gaps), size=len(gaps))]) for _ in range(rounds)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{np.mean([gap.mean() for gap in gaps]):+.3f} [{low:+.3f}, {high:+.3f}]".replace("0.", ".")


def decisions(folder: str) -> str:
    """Thefts found and innocents accused at 300 queries: ours by verdict, theirs from halfway between their targets."""
    lines, totals = [], np.zeros((len(COMPARED), 4), int)
    for task, records in of_tasks(folder).items():
        own = [chosen(records, method) for method in COMPARED]
        if all(own):
            counts = np.array([decided(method, found) for method, found in zip(COMPARED, own, strict=True)])
            totals += counts
            lines.append([task, *("{}/{}, {}/{}".format(*row) for row in counts)])
    lines.append(["all", *("{}/{}, {}/{}".format(*row) for row in totals)])
    return table(f"thefts found, innocents accused | {TITLES}", lines)


def decided(method: str, own: Rows) -> list[int]:
    found = []
    for role in ("positive", "negative"):
        some = [cell for r in own for cell in cells(r, 300, role, PARTS[2])]
        yes = sum(c["score"] >= HALFWAY[method] for c in some) if method in HALFWAY else found_in(some)
        found += [yes, len(some)]
    return found


def by_kind(folder: str) -> dict[str, list[dict[str, Any]]]:
    """Every record of a column under the column's title, its alpha included."""
    found: dict[str, list[dict[str, Any]]] = {}
    for records in of_tasks(folder).values():
        for title, method, access, q in SHOWN:
            for r in chosen(records, method, access):
                found.setdefault(f"{title} at {q}, alpha {r['alpha']:g}", []).append({**r, "q": q})
    return found


def blamed(folder: str) -> str:
    lines = []
    for kind, own in by_kind(folder).items():
        counts = [(found_in(cells(r, r["q"], "negative")), len(cells(r, r["q"], "negative"))) for r in own]
        wrong, n = (sum(column) for column in zip(*counts, strict=True))
        low, high = stats.clopper_pearson(wrong, n)
        lines.append([kind, f"{wrong} of {n}", f"{low:.4f} to {high:.4f}", "{} of {}".format(*max(counts))])
    return table("method | innocents accused | 95 % | most of one source", lines)


def attacks(folder: str) -> str:
    kinds = by_kind(folder)
    names = dict.fromkeys(
        s["group"] for own in kinds.values() for r in own for s in r["suspects"] if s["group"] != "clean"
    )
    lines = []
    for name in names:
        some = [[c for r in own for c in cells(r, r["q"], "positive", name.__eq__)] for own in kinds.values()]
        lines.append([name, *(f"{found_in(found)}/{len(found)}" if found else "" for found in some)])
    return table("attack | " + " | ".join(kinds), lines)


def limits(folder: str, by: str) -> str:
    """Mean AUC over thefts and sources: harder thefts by "theft" or by "task", or a handful of queries ("few")."""
    files = [ROOT / folder / f"limits-{task}.json" for task in TASKS]
    rows = [row for file in files if file.exists() for row in json.loads(file.read_text())["rows"]]
    part, column = ("few", "task") if by == "few" else ("hard", by)

    def mean(method: str, name: str, queries: int) -> str:
        wanted = {"part": part, "method": method, column: name, "queries": queries}
        found = [float(np.mean(r["auc"])) for r in rows if all(r[key] == value for key, value in wanted.items())]
        return short(float(np.mean(found))) if found else ""

    names = dict.fromkeys(r[column] for r in rows if r["part"] == part)
    if by != "few":
        head = "harder theft" if by == "theft" else "all of a task"
        return table(f"{head} | {' | '.join(COMPARED)}", [[n, *(mean(m, n, 300) for m in COMPARED)] for n in names])
    few = sorted({r["queries"] for r in rows if r["part"] == "few"})
    lines = [[n, *(" / ".join(mean(m, n, q) for m in ("kinship", "liteguard", "metav")) for q in few)] for n in names]
    return table("task | " + " | ".join(f"{q} queries" for q in few), lines)


KINDS: dict[str, Callable[..., str]] = {
    "accusations": lambda *folders: table(*docs_innocents.accusations(*folders)),
    "accusers": lambda name: table(*docs_claims.accusers(name)),
    "upheld": lambda *names: table(*docs_claims.upheld(*names)),
    "ground-keys": lambda: table(*docs_claims.keys()),
    "thefts": lambda *folders: table(*docs_innocents.thefts(*folders)),
    **{"groups": groups, "tiers": tiers, "main": main, "query-sets": query_sets},
    **{"marks": marks, "unmarked": unmarked},
    **{"tasks": tasks, "peers": peers, "decisions": decisions, "blamed": blamed, "attacks": attacks, "limits": limits},
}
