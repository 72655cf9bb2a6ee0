"""How well `birthmark compare` tells copies from strangers.

    python benchmarks/compare/networks.py WORK        # trains the small networks of `pairs`
    python benchmarks/compare/bench.py null WORK      # development pairs -> src/birthmark/compare/independent.json
    python benchmarks/compare/bench.py pairs WORK     # test pairs: strangers, same starts -> pairs.json
    python benchmarks/compare/bench.py again WORK     # fresh pairs of the narrow families -> again.json
    python benchmarks/compare/bench.py copies STORE   # modified copies in a store of the plans -> copies.json
    python benchmarks/compare/bench.py large          # 100 million parameters: seconds, memory -> large.json

Statistics, orders and thresholds were frozen on the `dev` networks and on older stores before any `test` network or any
model of the plans' sources was compared. One thing changed after that look: strangers of narrow families (cnn, vgg)
were accused by the matched test too often, so its p also takes the tail of their own development pairs. `again` are
fresh pairs, compared after the change. Intervals are exact (Clopper-Pearson, 95 %).
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from networks import DATA, FAST, MANY, SLOW
from safetensors.numpy import save_file
from thief import disguised

from birthmark import stats
from birthmark.compare import files, match
from birthmark.compare.origin import Comparison, compare
from birthmark.compare.pairing import paired
from birthmark.compare.reading import Weights

HERE = Path(__file__).parent
NULL = Path(match.__file__).parent / "independent.json"
NARROW, ALIKE = ("cnn", "vgg"), 0.05  # families whose strangers come closest, and from which S they do
LEVELS = (0.05, 0.01, 0.001)
WEIGHT = ("weight-noise", "prune", "ftll", "ftal", "rtll", "rtal", "transfer", "adv-train")
PLANS = ("fingerbench-fmnist", "fingerbench-hard")
Plain = dict[str, object]


def null(work: Path) -> Plain:
    """S of every development pair, of which side b's units changed places; 0 where no unit seems to have."""
    scores = defaultdict(list)
    for role, family, data, number in _numbers("dev"):
        a, b = (_network(work, role, family, data, number, side) for side in "ab")
        found = match.match(paired(a, disguised(b, number)))
        scores[family].append(round(found.score, 4) if found else 0.0)
    return {
        "made by": "python benchmarks/compare/bench.py null WORK",
        "pairs": {family: {"n": len(found), "largest": max(found)} for family, found in scores.items()},
        "scores": sorted(score for found in scores.values() for score in found),
        "narrow": sorted(score for family in NARROW for score in scores[family] if score >= ALIKE),
    }


def pairs(work: Path) -> Plain:
    """Strangers and networks of one start, each as it is and with its units in other places."""
    return _compared(work, ("test", "same"), "pairs")


def again(work: Path) -> Plain:
    """Fresh strangers of the narrow families, after the test pairs had changed the null of the matched test."""
    return _compared(work, ("again",), "again")


def _compared(work: Path, roles: Sequence[str], what: str) -> Plain:
    rows = []
    for role in roles:
        for _, family, data, number in _numbers(role):
            if role == "again" and family not in NARROW:
                continue
            a = _network(work, "test" if role == "same" else role, family, data, number, "a")
            b = _network(work, role, family, data, number, "b")
            group = "same start, other data" if role == "same" else ("other data" if number % 2 else "same data")
            plain, moved = compare(a, b), compare(a, disguised(b, number))
            rows.append((family, group, plain, moved))
    found: Plain = {"made by": f"python benchmarks/compare/bench.py {what} WORK"}
    for name, chosen in _groups(rows).items():
        found[name] = {
            "order-sensitive": _at([plain.p_order for *_, plain, _ in chosen]),
            "matched, places changed": _at([_p(moved) for *_, moved in chosen]),
            "order-sensitive, places changed": _at([moved.p_order for *_, moved in chosen]),
            "supported": sum(one.verdict == "supported" for *_, plain, moved in chosen for one in (plain, moved)),
            "largest S": max(moved.matched.score for *_, moved in chosen if moved.matched),
        }
    return found


def _groups(
    rows: Sequence[tuple[str, str, Comparison, Comparison]],
) -> Mapping[str, list[tuple[str, str, Comparison, Comparison]]]:
    groups = defaultdict(list)
    for row in rows:
        family, group, *_ = row
        if group == "same start, other data":
            groups[group].append(row)
        else:
            for name in ("strangers", f"strangers, {group}", f"strangers, {family}"):
                groups[name].append(row)
    return groups


def copies(store: Path) -> Plain:
    """Every modified copy of the sources of both plans that the store holds, plain and with its units moved."""
    from birthmark.zoo import catalogue
    from birthmark.zoo.store import Store

    kept, rows, lacking = Store(store), defaultdict(list), []
    for name in PLANS:
        plan, _ = catalogue.read(name).load()
        for seed in plan.sources:
            source = next(one for one in plan.of(seed) if one.name == "source").card.key
            for one in plan.of(seed):
                card = one.card
                if one.role != "positive" or card.attack not in WEIGHT or card.parents[0] != source:
                    continue
                if card.key not in kept:
                    lacking.append(f"source {seed}: {one.name}")
                    continue
                a, b = (_read(kept.path(key)) for key in (source, card.key))
                rows[one.group].append((f"source {seed}: {one.name}", compare(a, b), compare(a, disguised(b, seed))))
    every = [row for found in rows.values() for row in found]
    return {
        "made by": "python benchmarks/compare/bench.py copies STORE",
        "not made": lacking,
        **{group: _told(found) for group, found in rows.items()},
        "all": _told(every),
    }


def _told(rows: Sequence[tuple[str, Comparison, Comparison]]) -> Plain:
    return {
        "order-sensitive": _at([plain.p_order for _, plain, _ in rows]),
        "order-sensitive, places changed": _at([moved.p_order for *_, moved in rows]),
        "matched, places changed": _at([_p(moved) for *_, moved in rows]),
        "least S": min(moved.matched.score for *_, moved in rows if moved.matched),
        "missed by order at .001": [name for name, plain, _ in rows if plain.p_order > 0.001],
        "missed by match at .01": [name for name, _, moved in rows if _p(moved) > 0.01],
    }


def large() -> Plain:
    """A language model of 100 million parameters, its fine-tune and its permuted fine-tune: seconds and memory."""
    import tempfile

    random, found = np.random.default_rng(0), dict[str, np.ndarray]()  # type: ignore[type-arg]
    width = 640
    found["model.embed_tokens.weight"] = random.standard_normal((32_000, width), dtype=np.float32)
    for i in range(16):
        for part in "qkvo":
            found[f"model.layers.{i}.self_attn.{part}_proj.weight"] = _normal(random, width, width)
        for part in ("gate", "up"):
            found[f"model.layers.{i}.mlp.{part}_proj.weight"] = _normal(random, 4 * width, width)
        found[f"model.layers.{i}.mlp.down_proj.weight"] = _normal(random, width, 4 * width)
    said: Plain = {
        "made by": "python benchmarks/compare/bench.py large",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }
    said["parameters"] = sum(value.size for value in found.values())
    with tempfile.TemporaryDirectory() as folder:
        a, b = Path(folder) / "a.safetensors", Path(folder) / "b.safetensors"
        save_file(found, a)
        for kind, change in (("copy", _tuned), ("permuted copy", _moved), ("stranger", _stranger)):
            save_file({name: np.ascontiguousarray(value) for name, value in change(found).items()}, b)
            said[kind] = _timed(a, b)
    return said


def _normal(random: np.random.Generator, *shape: int) -> np.ndarray:  # type: ignore[type-arg]
    return random.standard_normal(shape, dtype=np.float32)


def _tuned(found: Weights) -> Weights:
    random = np.random.default_rng(1)
    return {name: value + np.float32(0.3) * _normal(random, *value.shape) for name, value in found.items()}


def _stranger(found: Weights) -> Weights:
    random = np.random.default_rng(2)
    return {name: _normal(random, *value.shape) for name, value in found.items()}


def _moved(found: Weights) -> Weights:
    random, moved = np.random.default_rng(3), dict(_tuned(found))
    stream = random.permutation(found["model.embed_tokens.weight"].shape[1])
    for name, value in moved.items():
        reads = not name.endswith(("o_proj.weight", "down_proj.weight"))
        moved[name] = value[:, stream] if reads else value[stream]
    for i in range(16):
        units = random.permutation(4 * len(stream))
        for part in ("gate", "up"):
            name = f"model.layers.{i}.mlp.{part}_proj.weight"
            moved[name] = moved[name][units]
        moved[f"model.layers.{i}.mlp.down_proj.weight"] = moved[f"model.layers.{i}.mlp.down_proj.weight"][:, units]
    return moved


def _timed(a: Path, b: Path) -> Plain:
    """The command itself, with its children."""
    words = ["-m", "birthmark", "compare", str(a), str(b), "--json"]
    started, busy = time.monotonic(), _busy()
    ended = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=False)
    told, peak = ended.stdout.strip().splitlines()[-2:]
    said = json.loads(told)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "seconds of processors": round(_busy() - busy, 1),
        "peak GB": round(int(peak) / 1e6, 2),
        **{key: said[key] for key in ("verdict", "p_order", "p_value", "null", "reason")},
    }


def _busy() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


MEASURE = """
import resource, subprocess, sys, threading, time, os
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
peak, over = 0, False
def family(pid):
    yield pid
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in open(f"/proc/{pid}/task/{task}/children").read().split():
            yield from family(int(child))
def private(pid):
    rows = dict(line.split(":", 1) for line in open(f"/proc/{pid}/smaps_rollup") if ":" in line)
    return int(rows["Pss"].split()[0])
def watch():
    global peak
    while not over:
        try:
            peak = max(peak, sum(private(pid) for pid in family(process.pid)))
        except OSError:
            pass
        time.sleep(0.1)
watcher = threading.Thread(target=watch)
watcher.start()
print(process.communicate()[0].strip())
over = True
watcher.join()
print(peak)
"""  # proportional memory of the command and of the processes it starts, in kB


def _numbers(role: str) -> Iterator[tuple[str, str, str, int]]:
    for families, many in zip((FAST, SLOW), MANY[role], strict=True):
        for family in families:
            for data in DATA:
                for number in range(many):
                    yield role, family, data, number


def _network(work: Path, *name: object) -> Weights:
    return _read(work / f"{'-'.join(map(str, name))}.safetensors")


def _read(path: Path) -> Weights:
    """Tensors in the order of the network's layers, each weight before the vectors beside it."""

    def place(name: str) -> tuple[list[tuple[int, str]], bool]:
        layer, _, what = name.rpartition(".")
        return [(int(part), "") if part.isdigit() else (-1, part) for part in layer.split(".")], what != "weight"

    found = files.tensors(path)
    return {name: found[name] for name in sorted(found, key=place)}


def _p(found: Comparison) -> float:
    return found.matched.p if found.matched else 1.0


def _at(ps: Sequence[float]) -> Plain:
    """How many p are at most each level, of how many, with the exact interval."""
    said: Plain = {"n": len(ps), "largest p": round(max(ps), 5)}
    for level in LEVELS:
        hits = sum(p <= level for p in ps)
        low, high = stats.clopper_pearson(hits, len(ps))
        said[f"p <= {level}"] = [hits, round(low, 3), round(high, 3)]
    return said


def main(what: str, *places: str) -> None:
    parts: Mapping[str, Callable[..., Plain]] = {
        "null": null,
        "pairs": pairs,
        "again": again,
        "copies": copies,
        "large": large,
    }
    found = parts[what](*map(Path, places))
    place = NULL if what == "null" else HERE / f"{what}.json"
    place.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
