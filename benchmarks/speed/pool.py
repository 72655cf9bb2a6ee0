"""Training throughput of the pool against a bare PyTorch loop of the same net, batch and dtype, in one run.

    python benchmarks/speed/pool.py [--out benchmarks/speed/pool.json]

Both train the same four networks on Fashion-MNIST with one torch thread a process and one process a core: the bare loop
as plain processes that hold the data as tensors and do nothing but AdamW steps, the pool as cards in a store, with
everything around them (start-up excluded for both). Rounds alternate, so that other load on the machine meets both.
Prints images a second and the median ratio, and fails below 0.9. On a machine that is busy with other work the wall
clock
compares priorities rather than code: `ratio_cpu` compares images per second of processor time.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

ARCHITECTURE, IMAGES, EPOCHS, BATCH, RATE, NETS = "vgg", 10_000, 4, 128, 1e-2, 4


def bare(ready: Any, spent: Any, seeds: list[int]) -> None:
    import torch
    from torch.nn import functional

    from birthmark import data
    from birthmark.workshop import architectures
    from birthmark.workshop.training import has_bf16

    torch.set_num_threads(1)
    samples = data.load("fashion-mnist")[f"owner[:{IMAGES}]"]
    inputs, targets = torch.from_numpy(samples.inputs), torch.from_numpy(samples.targets)
    ready.wait()
    begun = time.process_time()
    for seed in seeds:
        model = architectures.build(ARCHITECTURE, samples.shape, 10, seed=seed).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3)
        steps = EPOCHS * -(-IMAGES // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        for _ in range(EPOCHS):
            for part in torch.randperm(IMAGES).split(BATCH):
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bf16()):
                    outputs = model(inputs[part])
                loss = functional.cross_entropy(outputs.float(), targets[part])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
    with spent.get_lock():
        spent.value += time.process_time() - begun
    ready.wait()


def bare_round(first: int, cores: int) -> tuple[float, float]:
    """Images a second: by the wall clock, and by processor time."""
    context = multiprocessing.get_context("spawn")
    ready, spent = context.Barrier(cores + 1), context.Value("d", 0.0)
    seeds = list(range(first, first + NETS))
    processes = [context.Process(target=bare, args=(ready, spent, seeds[i::cores])) for i in range(cores)]
    for process in processes:
        process.start()
    ready.wait()
    started = time.monotonic()
    ready.wait()
    seconds = time.monotonic() - started
    for process in processes:
        process.join()
    return NETS * IMAGES * EPOCHS / seconds, NETS * IMAGES * EPOCHS / spent.value


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"

    from birthmark import data
    from birthmark.bench.run import machine
    from birthmark.workshop.card import Card
    from birthmark.zoo.build import build
    from birthmark.zoo.executors import Pool
    from birthmark.zoo.store import Store

    cores, folder = os.cpu_count() or 1, Path(tempfile.mkdtemp())
    parts = data.load("fashion-mnist")

    def card(seed: int, epochs: int = EPOCHS) -> Card:
        training = {"epochs": epochs, "batch": BATCH, "rate": RATE}
        return Card(
            "trained", {"name": parts.name, "seed": 0}, f"owner[:{IMAGES}]", ARCHITECTURE, seed, training=training
        )

    rates: dict[str, list[tuple[float, float]]] = {"bare": [], "pool": []}
    store = Store(folder)
    try:
        with closing(Pool(cores)) as pool:
            build(
                [card(-i, 0) for i in range(1, 4 * cores)], store, data=parts, executor=pool
            )  # workers start and read the data
            for i in range(options.rounds):
                rates["bare"].append(bare_round(100 * i, cores))
                started, before = time.monotonic(), len(store.events())
                build([card(100 * i + j) for j in range(NETS)], store, data=parts, executor=pool)
                seconds = time.monotonic() - started
                spent = sum(event["cpu"] for event in store.events()[before:] if event["event"] == "built")
                rates["pool"].append((NETS * IMAGES * EPOCHS / seconds, NETS * IMAGES * EPOCHS / spent))
    finally:
        shutil.rmtree(folder)
    ratio, ratio_cpu = (
        statistics.median(p[i] / b[i] for p, b in zip(rates["pool"], rates["bare"], strict=True)) for i in (0, 1)
    )
    result = {
        "images_per_second": {name: [round(rate) for rate, _ in found] for name, found in rates.items()},
        "images_per_processor_second": {name: [round(rate) for _, rate in found] for name, found in rates.items()},
        "ratio": round(ratio, 3),
        "ratio_cpu": round(ratio_cpu, 3),
        "net": ARCHITECTURE,
        "batch": BATCH,
        "epochs": EPOCHS,
        "load_at_start": os.getloadavg()[0],
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if ratio < 0.9:
        raise SystemExit(f"the pool reaches {ratio:.2f} of a bare loop, expected at least 0.9")


if __name__ == "__main__":
    main()
