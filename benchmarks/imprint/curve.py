"""The price of a keyed fine-tune: agreement, L1, accuracy and z after every epoch, by eps.

birthmark zoo build benchmarks/imprint/garments-mlp.toml --store STORE
python benchmarks/imprint/curve.py STORE OUT.json benchmarks/imprint/garments-mlp.toml [SOURCE...]
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from birthmark.artifact import canonical, toml, write_atomically
from birthmark.bench.jobs import rounded
from birthmark.imprint.tuning import Tuning, evenly, tuned
from birthmark.watermarks.imprint import Imprint
from birthmark.workshop.training import accuracy
from birthmark.zoo.marked import imprint_key
from birthmark.zoo.plan import parse
from birthmark.zoo.store import Store

HOW = Tuning(epochs=3, batch=64, agreement=0.0, z=float("inf"))


def main(store: Store, out: Path, plan_file: Path, wanted: Sequence[int]) -> None:
    plan, data = parse(plan_file.stem, toml(plan_file)).load()
    seeds = " ".join(map(str, wanted or plan.sources))
    command = f"python benchmarks/imprint/curve.py STORE OUT benchmarks/imprint/{plan_file.name} {seeds}"
    rows = []
    for source in wanted or plan.sources:
        entries = plan.of(source)
        card = next(entry.card for entry in entries if entry.role == "source")
        module, owner, test = store.load(card.key), data[card.split], data["test"]
        references = [store.load(entry.card.key) for entry in entries if entry.group == "reference"]
        trained = int(card.training["epochs"]) * -(-len(owner) // int(card.training["batch"]))
        for eps in (0.05, 0.1):
            mark = Imprint(eps=eps, key=imprint_key("curve", references, data))
            found = tuned(module, mark, owner, HOW, seed=source)
            even = tuned(module, mark, owner, HOW, seed=source, teach=evenly)
            rows += [
                {
                    "source": source,
                    "eps": eps,
                    "epochs": epoch,
                    "share of the source's steps": epoch * -(-2 * len(owner) // HOW.batch) / trained,
                    **{name: value for name, value in asdict(point).items() if name in ("agreement", "l1", "z")},
                }
                for epoch, point in enumerate(found.curve, start=1)
            ]
            rows[-1] |= {
                "accuracy": accuracy(found.module, test),
                "accuracy before": accuracy(module, test),
                "accuracy with even smoothing": accuracy(even.module, test),
            }
            print(rounded(rows[-3:]))
            write_atomically(out, canonical(rounded({"command": command, "rows": rows})) + b"\n")


if __name__ == "__main__":
    main(Store(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), [int(seed) for seed in sys.argv[4:]])
