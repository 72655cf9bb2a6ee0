"""Unmarked models under many keys: how many does each key accuse? Nothing is trained.

python benchmarks/imprint/keys.py benchmarks/imprint/mlp.toml STORE OUT.json
"""

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import binom

from birthmark.artifact import canonical, toml, write_atomically
from birthmark.bench.jobs import rounded
from birthmark.marks.field import aligned
from birthmark.marks.keys import Secret
from birthmark.stats import clopper_pearson, margin
from birthmark.watermarks.imprint import Imprint
from birthmark.workshop.training import probabilities
from birthmark.zoo.marked import imprint_key
from birthmark.zoo.plan import parse
from birthmark.zoo.store import Store

KEYS, ALPHA = 200, 0.01


def main(plan_file: Path, store: Store, out: Path) -> None:
    plan, data = parse(plan_file.stem, toml(plan_file)).load()
    accused, first, z_all, sources = [], [], [], []
    for source in plan.sources:
        entries = plan.of(source)
        references = [store.load(entry.card.key) for entry in entries if entry.group == "reference"]
        ring = imprint_key("key 0", references, data).ring
        secrets = [ring.client(Secret(b"k" * 32), f"key {i}").secret for i in range(KEYS)]
        waves = ring.expand([*secrets, *(ring.placebo(i) for i in ring.placebos)])
        ground = ring.ground(ring.queries, ring.source, ring.references)
        models = [store.load(e.card.key) for e in entries if e.role == "negative" or e.role == "source"]
        residuals = np.stack([ground.residual(probabilities(model, ring.queries)) for model in models])
        found = aligned(ground, residuals, waves, ring.omega)
        true, placebos = found[:, :KEYS], found[:, KEYS:]
        z = (true - placebos.mean(axis=1, keepdims=True)) / placebos.std(axis=1, ddof=1, keepdims=True)
        p = (1 + (placebos[:, None, :] >= true[:, :, None]).sum(axis=2)) / (1 + placebos.shape[1])
        first.append(p <= ALPHA)
        accused.append((p <= ALPHA) & (z >= margin(ALPHA, Imprint.key_correlation)))
        z_all.append(z)
        sources.append(source)
    n = sum(len(one) for one in accused)
    by_key, by_p = (np.concatenate([one.sum(axis=0) for one in found]) for found in (accused, first))
    bound = int(binom.ppf(0.95, n // len(sources), ALPHA))
    correlation = np.mean([np.corrcoef(z[i], z[j])[0, 1] for z in z_all for i, j in combinations(range(len(z)), 2)])
    record = {
        "command": f"python benchmarks/imprint/keys.py benchmarks/imprint/{plan_file.name} STORE OUT.json",
        "sources": sources,
        "models": n,
        "keys": len(by_key),
        "p <= .01": _share(np.concatenate(first)),
        "p <= .01 and the margin": _share(np.concatenate(accused)),
        "most accusations of one key inside the bound": bound,
        "keys inside the bound": float((by_key <= bound).mean()),
        "keys inside the bound by p alone": float((by_p <= bound).mean()),
        "correlation of scores over keys": float(correlation),
    }
    write_atomically(out, canonical(rounded(record)) + b"\n")
    print(record)


def _share(found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> dict[str, object]:
    hits, n = int(found.sum()), found.size
    return {"hits": hits, "n": n, "share": hits / n, "interval": clopper_pearson(hits, n)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Store(sys.argv[2]), Path(sys.argv[3]))
