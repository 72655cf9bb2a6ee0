"""The bench plan dynamarks-fmnist: what is left of the marks in students that tried to get rid of them
(`bench.students`).

One JSON record a student (or unmarked model), networks in a cache outside the records; a killed run continues.

    python -m birthmark.bench.watermarks run --out benchmarks/dynamarks-fmnist --cache CACHE
    python -m birthmark.bench.watermarks table --out benchmarks/dynamarks-fmnist
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from birthmark import stats
from birthmark.answers import softmax
from birthmark.artifact import canonical, write_atomically
from birthmark.bench.students import (
    ARCHITECTURES,
    CLIENTS,
    HEAVY,
    Cell,
    Workshop,
    cells,
    clients,
    marked,
    student,
    workshop,
)
from birthmark.errors import ArtifactError
from birthmark.marks.field import Ground, aligned
from birthmark.marks.keyring import logged
from birthmark.types import Floats
from birthmark.watermarks.dawn import DAWN
from birthmark.watermarks.dynamarks import LEAST, DynaMarks, DynaMarksTies
from birthmark.workshop.training import outputs

TIES = 400  # logged near-ties of the label-only test


def record(shop: Workshop, cell: Cell) -> dict[str, Any]:
    """Make the student, test it, and say what was found."""
    model = student(shop, cell)
    rows = {part: softmax(outputs(model, x)) for part, x in (("queries", shop.queries), ("test", shop.test.inputs))}
    about = {**vars(cell), "accuracy": _accuracy(rows["test"], shop), "test": "soft", "queries": len(shop.queries)}
    if cell.attack == "unmarked":
        return {**about, **_against_keys(shop, cell.source, rows["queries"])}
    mark, _ = marked(shop, cell)
    about |= _utility(shop, cell, mark)
    if isinstance(mark, DAWN):
        return {**about, "dawn": _dawn(shop, cell, mark, model)}
    found = mark.score(mark.claim(), rows["queries"])
    about["soft"] = {**_ranked(found.source, found.placebos), "traced": _traced(shop, cell, mark, rows["queries"])}
    if cell.attack in HEAVY:
        wide = replace(mark, key=shop.widened(cell.source, mark))
        found = wide.score(wide.claim(), softmax(outputs(model, shop.held)))
        about["soft_all"] = {**_ranked(found.source, found.placebos), "queries": len(shop.held)}
    return {**about, "ties": _ties(shop, cell, mark, model)} if mark.delta else about


def _ranked(score: float, placebos: Sequence[float]) -> dict[str, float]:
    return {"p": stats.rank_p(score, placebos), "z": round(stats.standardised(score, placebos), 3)}


def _ties(shop: Workshop, cell: Cell, mark: DynaMarks, model: nn.Module) -> dict[str, Any]:
    """The label-only test on the log's most disputed near-ties, asked once."""
    assert mark.key is not None
    source = shop.answers(cell.source, shop.attacker.inputs)
    top = np.sort(source, axis=1)
    near = np.flatnonzero(top[:, -1] - top[:, -2] < mark.delta)
    if len(near) < LEAST:
        return {"near_ties": len(near)}
    x = shop.attacker.inputs[near]
    others = np.stack([softmax(outputs(m, x)) for m in shop.references])
    key = logged(mark.key, x, source[near], others)
    ties = DynaMarksTies(strength=cell.strength, most=TIES, key=key)
    claim = ties.claim()
    shown = softmax(outputs(model, claim.queries))
    labels = np.eye(shown.shape[1])[shown.argmax(axis=1)]
    found = ties.score(claim, labels)
    return {
        "near_ties": len(near),
        "labels_1": {**_ranked(found.source, found.placebos), "queries": len(claim.queries)},
    }


def _dawn(shop: Workshop, cell: Cell, mark: DAWN, model: nn.Module) -> dict[str, Any]:
    """The baseline's test on the lies among the logged queries."""
    assert mark.key is not None
    x = shop.attacker.inputs
    claim = replace(
        mark, key=logged(mark.key, x, shop.answers(cell.source, x), np.zeros((0, len(x), shop.attacker.classes)))
    ).claim()
    found = mark.score(claim, softmax(outputs(model, claim.queries)))
    return {**_ranked(found.source, found.placebos), "queries": len(claim.queries), "repeated": found.source}


def _against_keys(shop: Workshop, source: str, rows: Floats) -> dict[str, list[float]]:
    """p and z of an unmarked model under each of CLIENTS kept keys, each ranked among the keyring's placebos."""
    ring = shop.ring(source)
    keys = [client.secret for client in clients(ring)]
    ground = Ground(ring.whitening(ring.queries), ring.source, ring.references)
    residual = ground.residual(rows)[None]
    mine = aligned(ground, residual, ring.expand(keys), ring.omega)[0]
    null = np.sort(aligned(ground, residual, ring.expand([ring.placebo(i) for i in ring.placebos]), ring.omega)[0])
    found = [_ranked(float(t), null.tolist()) for t in mine]
    return {"p": [round(one["p"], 4) for one in found], "z": [one["z"] for one in found]}


def _traced(shop: Workshop, cell: Cell, mark: DynaMarks, rows: Floats) -> dict[str, Any]:
    """Whether the right client comes first among 20 and among 200; of two colluding ones, whether both do."""
    ring = shop.ring(cell.source)
    assert mark.key is not None
    ground = Ground(ring.whitening(ring.queries), ring.source, ring.references)
    secrets = [mark.key.secret, *(client.secret for client in clients(ring)[: CLIENTS - 1])]
    found = aligned(ground, ground.residual(rows)[None], ring.expand(secrets), ring.omega)[0]
    if cell.attack == "colluding":  # with the first of the others
        return {f"first_of_{n}": bool(min(found[:2]) > found[2:n].max()) for n in (20, CLIENTS)}
    return {f"first_of_{n}": bool(found[0] > found[1:n].max()) for n in (20, CLIENTS)}


def _utility(shop: Workshop, cell: Cell, mark: DynaMarks | DAWN) -> dict[str, float]:
    plain = shop.answers(cell.source, shop.test.inputs)
    rows = mark.mark(shop.test.inputs, plain)
    return {
        "top1_agreement": float((rows.argmax(1) == plain.argmax(1)).mean()),
        "accuracy_change": _accuracy(rows, shop) - _accuracy(plain, shop),
        "l1": float(np.abs(rows - plain).sum(axis=1).mean()),
    }


def _accuracy(rows: Floats, shop: Workshop) -> float:
    return float((rows.argmax(axis=1) == shop.test.targets).mean())


def tracing(out: Path, shop: Workshop, source: str, alpha: float = 0.01) -> dict[str, Any]:
    """Who is named at level `alpha`: students' own clients, and anybody for unmarked models, among 20 and among 200
    clients.

    All models at once, as every one of them is ranked among 200 / alpha placebo keys.
    """
    ring = shop.ring(source)
    ground = Ground(ring.whitening(ring.queries), ring.source, ring.references)
    made = [
        cell
        for cell in cells()
        if cell.source == source and cell.strength != "dawn" and (out / f"{cell.name}.json").is_file()
    ]
    chosen = [
        cell
        for cell in made
        if cell.attack == "unmarked" or (cell.access == "probabilities" and cell.attack in ("none", "finetune-3"))
    ]
    residuals = np.stack([ground.residual(softmax(outputs(student(shop, cell), shop.queries))) for cell in chosen])
    own = [
        ring.placebo(0) if cell.attack == "unmarked" else marked(shop, cell)[0].key.secret  # type: ignore[union-attr]
        for cell in chosen
    ]
    mine = aligned(ground, residuals, ring.expand([*own, *(client.secret for client in clients(ring))]), ring.omega)
    most = round(CLIENTS / alpha)
    null = np.sort(
        np.concatenate(
            [
                aligned(
                    ground,
                    residuals,
                    ring.expand([ring.placebo(1_000_000 + i) for i in range(a, min(a + 500, most))]),
                    ring.omega,
                )
                for a in range(0, most, 500)
            ],
            axis=1,
        )
    )
    found: dict[str, Any] = {"attack": "tracing", "source": source, "alpha": alpha, "placebos": most, "rows": []}
    for i, cell in enumerate(chosen):
        p = (1 + most - np.searchsorted(null[i], mine[i], side="left")) / (1 + most)
        others = p[len(chosen) :]
        said: dict[str, Any] = {
            "strength": cell.strength,
            "attack": cell.attack,
            "student": cell.student,
            "number": cell.number,
        }
        for n in (20, CLIENTS):
            if cell.attack != "unmarked":
                said[f"named_of_{n}"] = bool(p[i] * n <= alpha)
                said[f"others_named_of_{n}"] = int((others[: n - 1] * n <= alpha).sum())
            else:
                said[f"others_named_of_{n}"] = int((others[:n] * n <= alpha).sum())
        found["rows"].append(said)
    return found


def run(out: Path, cache: Path, *, sources: Sequence[str] = (), only: int | None = None) -> Iterator[str]:
    """Make every record that is not there yet; yields names as they are written."""
    shops: dict[str, Workshop] = {}
    for cell in [cell for cell in cells() if not sources or cell.source in sources][:only]:
        path = out / f"{cell.name}.json"
        if not path.exists():
            place = "over-confident" if cell.source == "calibrated" else cell.source
            if place not in shops:
                shops[place] = workshop(cache, place)
            write_atomically(path, canonical(record(shops[place], cell)) + b"\n")
            yield cell.name


def records(folder: Path) -> list[Mapping[str, Any]]:
    """All records of a folder that are of this plan.

    Raises:
        ArtifactError: a damaged file.
    """
    found: list[Mapping[str, Any]] = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
        except ValueError as error:
            raise ArtifactError(
                f"{path}: not JSON ({error}); the file was damaged, remove it and run the bench again"
            ) from None
        if isinstance(record, dict) and {"strength", "attack", "student"} <= set(record):
            found.append(record)
    return found


def false_accusations(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of unmarked models under CLIENTS kept keys: shares, the worst key, and how uniform p is.

    share_false_05, share_false_01: of all p at or below that level. accused_01: verdicts of `supported` at .01, which
    take the margin of one key as well. worst_key_p01, worst_key_01: largest share of models with p <= .01 under one
    key, and largest share accused. keys_p01, keys_01: keys with more than 5 % of either. ks: distance of all p from
    uniform. ks_rejected: share of models whose p differ from uniform at level .05 (Kolmogorov-Smirnov).
    """
    from scipy.stats import kstest

    names = (
        "share_false_05",
        "share_false_01",
        "accused_01",
        "worst_key_p01",
        "worst_key_01",
        "keys_p01",
        "keys_01",
        "ks",
        "ks_rejected",
    )
    p, z = (np.array([r[part] for r in members]).reshape(-1, CLIENTS) for part in ("p", "z"))
    if not len(p):
        return {"n_unmarked": 0, **dict.fromkeys(names)}
    low, accused = p <= 0.01, (p <= 0.01) & (z >= stats.margin(0.01, DynaMarks.key_correlation))
    values = (
        (p <= 0.05).mean(),
        low.mean(),
        accused.mean(),
        low.mean(axis=0).max(),
        accused.mean(axis=0).max(),
        (low.mean(axis=0) > 0.05).sum(),
        (accused.mean(axis=0) > 0.05).sum(),
        kstest(p.ravel(), "uniform").statistic,
        np.mean([kstest(row, "uniform").pvalue <= 0.05 for row in p]),
    )
    return {"n_unmarked": len(p), **{name: float(value) for name, value in zip(names, values, strict=True)}}


TESTS = {  # where a record keeps a test's figures -> the test's name, what the suspect shows
    "soft": ("soft", "probabilities"),
    "soft_all": ("soft, all held-out", "probabilities"),
    "labels_1": ("ties", "labels"),
    "labels_5": ("ties, 5 views", "labels"),
    "dawn": ("dawn", "labels"),
}


def rows(folder: Path) -> list[dict[str, Any]]:
    """The plan's table; columns in docs/dynamarks.md.

    Raises:
        ArtifactError: no records of this plan, or a damaged one.
    """
    found = records(folder)
    if not found:
        raise ArtifactError(
            f"{folder}: no records of marks there; run python -m birthmark.bench.watermarks run --out {folder}"
        )
    honest: dict[str, list[Mapping[str, Any]]] = {}
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for r in found:
        if r["attack"] == "unmarked":
            honest.setdefault(r["source"], []).append(r)
        else:
            groups.setdefault((r["source"], r["strength"], r["attack"], r["access"]), []).append(r)
    innocent = {source: false_accusations(honest.get(source, [])) for source in {r["source"] for r in found}}
    table = []
    for (source, strength, attack, access), members in sorted(groups.items()):
        for kind, (test, shown) in TESTS.items():
            read = [(r, one) for r in members if (one := r.get(kind) or r.get("ties", {}).get(kind))]
            if not read:
                continue
            p, z = np.array([one["p"] for _, one in read]), [one["z"] for _, one in read]
            traced = [one["traced"] for _, one in read if "traced" in one]
            table.append(
                {
                    "strength": strength,
                    "source": source,
                    "attack": attack,
                    "access": access,
                    "test": test,
                    "suspect_shows": shown,
                    "queries": int(np.median([one.get("queries", r["queries"]) for r, one in read])),
                    "n_students": len(read),
                    "students": sorted({r["student"] for r, _ in read}, key=ARCHITECTURES.index),
                    "share_p001": float((p <= 0.001).mean()),
                    "z_median": float(np.median(z)),
                    "z_least": float(np.min(z)),
                    "student_accuracy": float(np.mean([r["accuracy"] for r, _ in read])),
                    **{
                        key: float(np.mean([r[key] for r, _ in read]))
                        for key in ("top1_agreement", "accuracy_change", "l1")
                    },
                    **{
                        key: float(np.mean([t[key] for t in traced])) if traced else None
                        for key in ("first_of_20", "first_of_200")
                    },
                    **(innocent[source] if test == "soft" else false_accusations([])),
                }
            )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the plan, or print its table."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m birthmark.bench.watermarks", description=__doc__)
    parser.add_argument("what", choices=("run", "trace", "table"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/dynamarks-fmnist"))
    parser.add_argument("--cache", type=Path, default=Path("zoo-watermarks"))
    parser.add_argument("--source", action="append", default=[], help="only this source; may be given again")
    parser.add_argument("--only", type=int, help="so many cells from the top of the plan")
    chosen = parser.parse_args(arguments)
    if chosen.what == "table":
        print(json.dumps(rows(chosen.out), indent=1))
    elif chosen.what == "trace":
        for source in chosen.source or ["over-confident"]:
            found = tracing(chosen.out, workshop(chosen.cache, source), source)
            write_atomically(chosen.out / f"tracing-{source}.json", canonical(found) + b"\n")
    else:
        for name in run(chosen.out, chosen.cache, sources=chosen.source, only=chosen.only):
            print(name, flush=True)


if __name__ == "__main__":
    main()
