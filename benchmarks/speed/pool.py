"""Training throughput of the pool against a bare PyTorch loop of the same net, batch and dtype, in one run.

    python benchmarks/speed/pool.py [--out benchmarks/speed/pool.json]

Both train the same four networks on Fashion-MNIST with one torch thread a process and one process a core: the bare loop
as plain processes that hold the data as tensors and do nothing but AdamW steps, the pool as cards in a store, with
everything around them (start-up excluded for both). Rounds alternate, so that other load on the machine meets both.
Prints images a second and the median ratio, and fails below 0.9. On a busy machine the wall clock compares priorities
rather than code: `ratio_cpu` compares images per second of processor time.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from birthmark import data
from birthmark.bench.jobs import machine
from birthmark.workshop import architectures
from birthmark.workshop.devices import has_bf16
from birthmark.zoo.build import build
from birthmark.zoo.catalogue import read
from birthmark.zoo.executors import Pool
from birthmark.zoo.store import Store

ARCHITECTURE, IMAGES, EPOCHS, BATCH, RATE, NETS = "vgg", 10_000, 4, 128, 1e-2, 4
WORK = NETS * IMAGES * EPOCHS


def bare(ready: Any, spent: Any, seeds: list[int]) -> None:
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
        for part in (part for _ in range(EPOCHS) for part in torch.randperm(IMAGES).split(BATCH)):
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
    return WORK / seconds, WORK / spent.value


def measured(cores: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Images a second of each round, by the wall clock and by processor time."""
    plan, parts = read("fingerbench-main").load()
    source = next(entry.card for entry in plan.entries if entry.role == "source")
    how = {"epochs": EPOCHS, "batch": BATCH, "rate": RATE}
    card = replace(source, recipe=ARCHITECTURE, split=f"owner[:{IMAGES}]", training=how)
    rates: dict[str, list[tuple[float, float]]] = {"bare": [], "pool": []}
    with closing(Pool(cores)) as pool, tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        idle = [replace(card, course=i, training={**how, "epochs": 0}) for i in range(1, 4 * cores)]
        build(idle, store, data=parts, executor=pool)  # workers start and read the data
        for i in range(rounds):
            rates["bare"].append(bare_round(100 * i, cores))
            started, before = time.monotonic(), len(store.events())
            build([replace(card, course=100 * i + j) for j in range(NETS)], store, data=parts, executor=pool)
            seconds = time.monotonic() - started
            spent = sum(event["cpu"] for event in store.events()[before:] if event["event"] == "built")
            rates["pool"].append((WORK / seconds, WORK / spent))
    return rates


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    rates = measured(os.cpu_count() or 1, options.rounds)
    pairs = list(zip(rates["pool"], rates["bare"], strict=True))
    ratio, ratio_cpu = (round(statistics.median(p[i] / b[i] for p, b in pairs), 3) for i in (0, 1))
    units = ("images_per_second", "images_per_processor_second")
    result = {
        unit: {name: [round(rate[i]) for rate in found] for name, found in rates.items()}
        for i, unit in enumerate(units)
    }
    result |= {"ratio": ratio, "ratio_cpu": ratio_cpu, "net": ARCHITECTURE, "batch": BATCH, "epochs": EPOCHS}
    text = json.dumps({**result, "load_at_start": os.getloadavg()[0], "machine": machine()}, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    if ratio < 0.9:
        raise SystemExit(f"the pool reaches {ratio:.2f} of a bare loop, expected at least 0.9")
