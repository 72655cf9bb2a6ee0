"""The table of false claims: what `verify` and each of a judge's checks say of accusers who lie."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from birthmark import stats

FOLDER = Path(__file__).parents[1] / "benchmarks" / "notary"
Row = Mapping[str, Any]


def passes(name: str) -> Callable[[Row], bool]:
    return lambda row: row[name] != "failed"


PASSED: dict[str, Callable[[Row], bool]] = {
    "`verify`": lambda row: row["verify"] == "supported",
    "numbers": lambda row: row["replayed"] == row["verify"],
    **{name: passes(name) for name in ("answers", "rebuilt", "regenerated", "twins", "innocents")},
    "pool": lambda row: row["pool"] == "held",
    "asked, .05": lambda row: row["asked_05"] == "supported",
    "asked, .01": lambda row: row["asked_01"] == "supported",
    "all but dates": lambda row: row["dates_granted"] == "upheld",
    "all, dates unknown": lambda row: row["dates_unknown"] == "upheld",
    "all, dates known": lambda row: row["dates_known"] == "upheld",
}


def rows(name: str) -> list[Row]:
    path = FOLDER / f"accusers-{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def accusers(name: str) -> tuple[str, list[list[object]]]:
    """By attack, how many attempts pass each check; of all that pass together, the exact interval."""
    found = [row for row in rows(name) if row["attack"] != "honest theft"]
    attacks = dict.fromkeys(row["attack"] for row in found)
    lines = [_line(attack, [row for row in found if row["attack"] == attack]) for attack in attacks]
    lines.append(_line("**all that lie**", [row for row in found if row["attack"] != "honest"]))
    return f"attack | attempts | {' | '.join(PASSED)}", lines


def _line(attack: str, mine: list[Row]) -> list[object]:
    counts = {name: sum(map(passed, mine)) for name, passed in PASSED.items()}
    last = ("all but dates", "all, dates unknown", "all, dates known")
    return [attack, len(mine), *(_exact(n, len(mine)) if name in last else n for name, n in counts.items())]


def _exact(k: int, n: int) -> str:
    return "{} [{:.3f}, {:.3f}]".format(k, *stats.clopper_pearson(k, n)) if n else "0"


def upheld(*names: str) -> tuple[str, list[list[object]]]:
    """Of honest claims on derived models that `verify` supports, how many a judge upholds."""
    lines = list[list[object]]()
    for name in names:
        found = [row for row in rows(name) if row["attack"] == "honest theft"]
        for kind in (*dict.fromkeys(row["kind"] for row in found), "all"):
            mine = [row for row in found if kind in (row["kind"], "all") and row["verify"] == "supported"]
            tried = sum(kind in (row["kind"], "all") for row in found)
            kept = sum(row["dates_granted"] == "upheld" for row in mine)
            lines.append([f"{name}, {kind}", tried, len(mine), _exact(kept, len(mine))])
    return "derived model | tried | supported by `verify` | of these upheld", lines


def keys() -> tuple[str, list[list[object]]]:
    """Keys that were searched, keys that were drawn, and honest claims of keys."""
    path = FOLDER / "ground_keys.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    honest = [row["honest_judged"] for row in found if row["honest"] == "supported"]
    cases = {
        "innocent, best of 10,000 keys: `verify` alone": [row["ground"] == "supported" for row in found],
        "innocent, the drawn key: the judge": [row["judged"] for row in found],
        "student of marked answers: `verify`": [row["honest"] == "supported" for row in found],
        "of these, upheld by the judge": honest,
    }
    return "suspect and key | supported, of all", [
        [name, f"{_exact(sum(x), len(x))} of {len(x)}"] for name, x in cases.items()
    ]
