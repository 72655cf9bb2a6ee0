"""How much faster CEM crafts than a plain loop over the cohort with autograd, and what SAC-m costs beside it.

    python benchmarks/crafting_speed.py --out benchmarks/crafting_speed.json

Both do the same steps on the same candidates, with every member that survives drop-out in every step: the plain one
runs the networks as they are, in float32, with one backward pass over all; ours folds batch normalisation, freezes, and
uses bfloat16. Training the cohort is left out on both sides; random weights serve, since speed does not depend on them.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch

from birthmark import data as datasets
from birthmark.crafting.images import cutmix, eight_bit
from birthmark.crafting.queries import prepared
from birthmark.methods.cem import CEM, mean_probabilities, objective
from birthmark.workshop.architectures import build
from birthmark.workshop.training import probabilities

STEPS, BATCH = 4, 130


def plain_step(derived, independent, clean, truth, moved, adam, how):
    rows = derived[0](moved)
    surr, ref = (
        [model(moved).softmax(1) for model in side if torch.rand(()) >= how.dropout]
        for side in (derived[1:], independent)
    )
    cost = objective(rows, clean, torch.stack(surr).mean(0), torch.stack(ref).mean(0), truth, how)
    adam.zero_grad()
    cost.sum().backward()
    adam.step()


def fast_step(derived, independent, clean, truth, moved, adam, how):
    rows = derived[0](moved)
    surr, ref = (mean_probabilities(how._kept(side), moved) for side in (derived[1:], independent))
    cost = objective(rows, clean, surr, ref, truth, how)
    adam.zero_grad()
    cost.sum().backward()
    adam.step()


def seconds(step, derived, independent, x, y):
    how = CEM(members=0)
    moved = x.clone().requires_grad_()
    adam = torch.optim.Adam([moved], how.rate)
    clean = derived[0](x).detach().softmax(1)
    best = float("inf")
    for _ in range(STEPS):
        torch.manual_seed(0)  # the same members survive drop-out on both sides
        started = time.process_time()
        step(derived, independent, clean, y, moved, adam, how)
        best = min(best, time.process_time() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    some = datasets.load("fashion-mnist")["queries"][:BATCH]
    x, y = torch.from_numpy(some.inputs), torch.from_numpy(some.targets)
    names = ["vgg", "vgg", "cnn", "res", "mobile", "lenet", "squeeze", "dense"]
    models = [build(name, some.shape, 10, seed=i).eval() for i, name in enumerate(names * 2)]
    slow = seconds(plain_step, models[:8], models[8:], x, y)
    fast = seconds(fast_step, prepared(models[:8]), prepared(models[8:]), x, y)
    started = time.process_time()
    probabilities(models[0], eight_bit(cutmix(some.inputs[:100], "standard", seed=0)))
    sac = time.process_time() - started
    how = CEM()
    found = {
        "plain_seconds_a_step": round(slow, 4),
        "ours_seconds_a_step": round(fast, 4),
        "speedup": round(slow / fast, 2),
        "cem_seconds_of_crafting": round(fast * how.steps, 1),
        "sac_m_seconds": round(sac, 4),
        "sac_m_times_cheaper": round(fast * how.steps / sac),
        "members": len(models),
        "batch": BATCH,
        "clock": "process time, best of " + str(STEPS),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
