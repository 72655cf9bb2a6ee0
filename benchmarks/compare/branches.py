"""Branch twins: reruns that leave the source's own training late. Do they still see copies?

    python benchmarks/compare/branches.py       # -> branches.json

Small networks (mlp, garments-mlp), not full size. A run is branched at 0, 50 and 80 % of its steps into 20 branches
with other orders. Three branches in turn are the source, the other 19 its placebos; kinship without references ranks
the source by probabilities of 500 disputed inputs.
"""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from birthmark import stats
from birthmark.answers import softmax
from birthmark.attacks.distill import Distill
from birthmark.attacks.finetune import FTAL
from birthmark.attacks.prune import Prune
from birthmark.claim import Claim, Task
from birthmark.data import load
from birthmark.methods.kinship import Kinship
from birthmark.scoring.likeness import disagreement
from birthmark.types import Answers, Floats, Samples
from birthmark.workshop import architectures
from birthmark.workshop.training import outputs
from birthmark.workshop.whitebox import Open

BRANCHES, SOURCES, EPOCHS, BATCH, RATE = 20, 3, 12, 64, 3e-3
PARTS = (0.0, 0.5, 0.8)
RUNS = (1, 2)
TUNED, PRUNED = FTAL(epochs=3, rate=1.5e-3, least_steps=0), Prune(amount=0.5)
THIEVES = {"tuned 3 epochs": TUNED, "pruned .5": PRUNED, "student": Distill(student="mlp:width=64", epochs=8)}


def branches(samples: Samples, run: int, part: float) -> list[nn.Module]:
    """Networks that share their start, and their course up to a part of it."""
    steps = EPOCHS * (len(samples) // BATCH)
    trunk = architectures.build("mlp:width=96", samples.shape, samples.outputs, seed=run)
    state = torch.optim.AdamW(trunk.parameters(), lr=RATE)
    trained(trunk, state, samples, range(round(part * steps)), steps, seed=1000 * run)
    found = []
    for branch in range(BRANCHES):
        network = deepcopy(trunk)
        own = torch.optim.AdamW(network.parameters(), lr=RATE)
        own.load_state_dict(state.state_dict())
        trained(network, own, samples, range(round(part * steps), steps), steps, seed=1000 * run + branch + 1)
        found.append(network.eval())
    return found


def trained(
    network: nn.Module, state: torch.optim.Optimizer, samples: Samples, which: range, steps: int, seed: int
) -> None:
    """Steps of one cosine cycle; batches are drawn by the seed."""
    random = np.random.default_rng(seed)
    x, y = torch.from_numpy(samples.inputs), torch.from_numpy(samples.targets)
    for step in which:
        rows = random.choice(len(samples), BATCH, replace=False)
        for group in state.param_groups:
            group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        state.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        state.step()


def probabilities(network: nn.Module, inputs: Floats) -> Floats:
    return softmax(outputs(network, inputs))


def main() -> None:
    data = load("garments-mlp")
    pool, found = data["reserve"].inputs, dict[str, object]()
    for part in PARTS:
        z: dict[str, list[float]] = {name: [] for name in ("unmodified", *THIEVES)}
        for run in RUNS:
            owners = branches(data["owner"], run, part)
            answers = np.stack([probabilities(one, pool) for one in owners])
            chosen = np.argsort(-disagreement(answers), kind="stable")[:500]
            for source in range(SOURCES):
                order = [source, *(i for i in range(BRANCHES) if i != source)]
                tensors = {"queries": pool[chosen], "owners": answers[order][:, chosen]}
                method = Kinship(references=0)
                claim = Claim("kinship", {}, Task(data["owner"].shape, 10, False), 0, tensors)
                copy = Open(owners[source], Answers.LOGITS, "source")
                suspects = {name: thief.steal(copy, data["attacker"], seed=run) for name, thief in THIEVES.items()}
                for name, suspect in {"unmodified": owners[source], **suspects}.items():
                    scores = method.score(claim, probabilities(suspect, pool[chosen]))
                    z[name].append(stats.standardised(scores.source, scores.placebos))
                    z.setdefault(f"{name}, first", []).append(
                        float(stats.rank_p(scores.source, scores.placebos) <= 0.05)
                    )
        found[f"branched at {part:.0%}"] = {
            name: {
                "z": round(float(np.mean(values)), 2),
                "first": np.mean(z[f"{name}, first"]).round(2),
                "n": len(values),
            }
            for name, values in z.items()
            if not name.endswith("first")
        }
    said = {"made by": "python benchmarks/compare/branches.py", "size": "small: mlp:width=96, 14x14 pixels", **found}
    Path(__file__).with_name("branches.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
