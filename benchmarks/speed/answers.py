"""Enrolment from arrays of answers: time and memory.

    python benchmarks/speed/answers.py [--owners 20] [--inputs 10000] [--classes 1000] [--out FILE]

A source, its twins and eight references answer a pool; their answers are single-precision arrays on disk, mapped into
memory, as an owner of any framework may write them. Prints seconds and the peak of resident memory, mapped pages
included. The answers are random: models of a family that differ as reruns do.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

import birthmark
from birthmark.bench.jobs import machine

REFERENCES = 8


def family(folder: Path, models: int, n: int, k: int) -> list[np.ndarray]:
    """Answers (n, k) of so many models, written to a folder and mapped."""
    found = []
    for i in range(models):
        random, path = np.random.default_rng(1 + i), folder / f"{i}.npy"
        rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, k))
        for start in range(0, n, 500):
            common = np.random.default_rng((7, start)).standard_normal((min(500, n - start), k), dtype=np.float32)
            part = np.exp(2 * common + random.standard_normal(common.shape, dtype=np.float32))
            rows[start : start + 500] = part / part.sum(axis=1, keepdims=True)
        rows.flush()
        found.append(np.load(path, mmap_mode="r"))
    return found


def main() -> None:
    """Print and keep the record."""
    options = argparse.ArgumentParser(description=__doc__)
    for name, default in (("owners", 20), ("inputs", 10_000), ("classes", 1000)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        models = family(Path(place), given.owners + REFERENCES, given.inputs, given.classes)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pool = np.random.default_rng(0).random((given.inputs, 8), dtype=np.float32)
        begun, busy = time.monotonic(), time.process_time()
        source, *others = models
        claim = birthmark.enroll(source, others[: given.owners - 1], others[given.owners - 1 :], pool, start="same")
        took = {"seconds": round(time.monotonic() - begun, 1), "cpu": round(time.process_time() - busy, 1)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shape = {name: getattr(given, name) for name in ("owners", "inputs", "classes")}
    memory = {"peak_gb": round(peak / 2**20, 2), "before_gb": round(before / 2**20, 2), "queries": len(claim.queries)}
    record = {**shape, "references": REFERENCES, **took, **memory, "machine": machine()}
    text = json.dumps(record, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
