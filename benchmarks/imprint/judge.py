"""Who is found under which key: a plan's models, judged as the bench does, but all of a source in one go.

    birthmark zoo build benchmarks/imprint/garments-mlp.toml --store STORE
    python benchmarks/imprint/judge.py STORE OUT.json benchmarks/imprint/garments-mlp.toml [SOURCE...]

Fields of keys and placebos are computed once for all suspects, which takes seconds where `birthmark bench run` takes
minutes; ranks and z are the same. Unmarked models are held against every key of the plan and KEYS more.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom
from torch import nn

from birthmark.artifact import canonical, toml, write_atomically
from birthmark.bench.jobs import rounded
from birthmark.data import Data
from birthmark.imprint.smoothing import mixtures
from birthmark.marks.field import aligned
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret
from birthmark.marks.ties import Ties, divided, surprise
from birthmark.stats import clopper_pearson, margin
from birthmark.types import Floats
from birthmark.watermarks.imprint import Imprint, ImprintLabels
from birthmark.workshop.training import accuracy, probabilities
from birthmark.zoo.marked import MIXED, imprint_key
from birthmark.zoo.plan import Plan, parse
from birthmark.zoo.store import Store

KEYS, ALPHA, BUDGETS = 200, 0.01, (50, 100, 300, 1000)
LEVELS = ((100, 0.01), (300, 0.001), (1000, 0.001), ("labels", 0.01))
Row = Mapping[str, Any]


class Bench:
    """One source: its suspects, clients' keys, and everything scored."""

    def __init__(self, plan: Plan, data: Data, store: Store, source: int) -> None:
        entries = plan.of(source)
        load = {entry.name: store.load(entry.card.key) for entry in entries}
        references = [load[entry.name] for entry in entries if entry.group == "reference"]
        self.source, self.data, self.references = source, data, references
        self.plain = load["source"]
        self.suspects = [entry for entry in entries if entry.role in ("positive", "negative")]
        self.models = [load[entry.name] for entry in self.suspects]
        self.clients = [entry.name for entry in self.suspects if entry.client == entry.name]
        keys = [imprint_key(client, references, data) for client in self.clients]
        self.ring: Keyring = keys[0].ring
        more = [self.ring.client(Secret(b"k" * 32), f"key {i}").secret for i in range(KEYS)]
        placebos = [self.ring.placebo(i) for i in self.ring.placebos]
        self.waves = self.ring.expand([*(key.secret for key in keys), *more, *placebos])

    def soft(self) -> dict[int, Floats]:
        """Correlations (suspects, keys and placebos) by number of queries."""
        ring = self.ring
        answers = [probabilities(model, ring.queries) for model in self.models]
        found = {}
        for n in BUDGETS:
            ground = ring.ground(ring.queries[:n], ring.source[:n], ring.references[:, :n])
            residuals = np.stack([ground.residual(rows[:n]) for rows in answers])
            found[n] = aligned(ground, residuals, self.waves, ring.omega)
        return found

    def labels(self) -> Floats:
        """Likewise, of labels alone to mixtures."""
        ring, x = self.ring, mixtures(self.data["queries"].inputs, MIXED, seed=0)
        unmarked = np.stack([probabilities(model, x) for model in self.references])
        mean = unmarked.mean(axis=0)
        chosen = divided(Ties.of(mean, 2.0), unmarked)[: ImprintLabels.most]
        ties = Ties.of(mean[chosen], 2.0)
        known = np.stack([ties.leaning(rows) for rows in (mean[chosen], *unmarked[:, chosen])])
        sides = ties.sides(ring.whitening(x[chosen]), self.waves, ring.omega)
        return np.stack([sides @ surprise(ties.leaning(_hard(model, x[chosen])), known) for model in self.models])

    def rows(self) -> Iterator[Row]:
        """Every suspect under its own client's key; unmarked ones under every key."""
        keys = len(self.clients) + KEYS
        for queries, found in [*self.soft().items(), ("labels", self.labels())]:
            placebos = found[:, keys:]
            z = (found[:, :keys] - placebos.mean(axis=1, keepdims=True)) / placebos.std(axis=1, ddof=1, keepdims=True)
            p = (1 + (placebos[:, None] >= found[:, :keys, None]).sum(axis=2)) / (1 + placebos.shape[1])
            for i, entry in enumerate(self.suspects):
                own = [self.clients.index(entry.client)] if entry.client else range(keys)
                about = {"source": self.source, "name": entry.name, "group": entry.group, "role": entry.role}
                yield {**about, "queries": queries, "p": p[i, own], "z": z[i, own]}

    def accuracies(self) -> dict[str, float]:
        held = {e.name: accuracy(m, self.data["test"]) for e, m in zip(self.suspects, self.models, strict=True)}
        plain = accuracy(self.plain, self.data["test"])
        return {"source": plain, **{name: held[name] for name in (*self.clients, "uniform smoothing")}}


def _hard(model: nn.Module, x: Any) -> Floats:
    rows = probabilities(model, x)
    return np.asarray(np.eye(rows.shape[1])[rows.argmax(axis=1)])


def share(found: Sequence[Any]) -> dict[str, Any]:
    """Hits, n and the exact 95 % interval of their share."""
    hits, n = int(np.sum(found)), len(found)
    return {"hits": hits, "n": n, "share": hits / n, "interval": clopper_pearson(hits, n)}


def thefts(rows: Sequence[Row]) -> Iterator[Row]:
    for group in dict.fromkeys(row["group"] for row in rows if row["role"] == "positive"):
        for queries, level in LEVELS:
            own = [row for row in rows if row["group"] == group and row["queries"] == queries]
            z = [float(row["z"][0]) for row in own]
            found = share([row["p"][0] <= level for row in own])
            yield {"group": group, "queries": queries, "p at most": level, **found, "z": np.mean(z), "least z": min(z)}


def innocents(rows: Sequence[Row]) -> Iterator[Row]:
    """Accusations pooled over keys, and of each key of each source."""
    for queries, _ in LEVELS:
        own = [row for row in rows if row["role"] == "negative" and row["queries"] == queries]
        by_source = [
            [np.array([row[what] for row in own if row["source"] == s]) for what in ("p", "z")]
            for s in dict.fromkeys(row["source"] for row in own)
        ]
        models = len(by_source[0][0])
        accused = [(p <= ALPHA) & (z >= margin(ALPHA, Imprint.key_correlation)) for p, z in by_source]
        bound = int(binom.ppf(0.95, models, ALPHA))
        pairs = [np.corrcoef(z[i], z[j])[0, 1] for _, z in by_source for i, j in combinations(range(models), 2)]
        yield {
            "queries": queries,
            "models": models,
            "keys": sum(one.shape[1] for one in accused),
            "p <= .05": share(np.concatenate([(p <= 0.05).ravel() for p, _ in by_source])),
            "p <= .01": share(np.concatenate([(p <= ALPHA).ravel() for p, _ in by_source])),
            "p <= .01 and the margin of one key": share(np.concatenate([one.ravel() for one in accused])),
            "most accusations of one key inside the bound": bound,
            "keys inside the bound": share(np.concatenate([one.sum(axis=0) <= bound for one in accused])),
            "correlation of scores over keys": float(np.mean(pairs)),
        }


def costs(held: Mapping[int, Mapping[str, float]]) -> Iterator[Row]:
    """Accuracy less that of uniform smoothing, same start and course; of a keyed fine-tune, less the source's."""
    for word, beside in (("key", "uniform smoothing"), ("tilted", "uniform smoothing"), ("tuned", "source")):
        own = [a[name] - a[beside] for a in held.values() for name in a if name.split()[0] == word]
        spread = 1.96 * float(np.std(own, ddof=1)) / len(own) ** 0.5
        yield {
            "of": word,
            "mean": np.mean(own),
            "interval": (np.mean(own) - spread, np.mean(own) + spread),
            "n": len(own),
        }


def main(store: Store, out: Path, plan_file: Path, wanted: Sequence[int]) -> None:
    plan, data = parse(plan_file.stem, toml(plan_file)).load()
    rows, held = list[Row](), dict[int, Mapping[str, float]]()
    for source in wanted or plan.sources:
        bench = Bench(plan, data, store, source)
        rows += list(bench.rows())
        held[source] = bench.accuracies()
    seeds = " ".join(map(str, held))
    record = {
        "command": f"python benchmarks/imprint/judge.py STORE OUT benchmarks/imprint/{plan_file.name} {seeds}",
        "sources": list(held),
        "thefts": list(thefts(rows)),
        "innocents": list(innocents(rows)),
        "accuracy beside uniform smoothing": list(costs(held)),
        "accuracy": held,
    }
    write_atomically(out, canonical(rounded(_plain(record))) + b"\n")
    for row in (*record["thefts"], *record["innocents"], *record["accuracy beside uniform smoothing"]):
        print(rounded(_plain(row)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


if __name__ == "__main__":
    main(Store(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), [int(seed) for seed in sys.argv[4:]])
