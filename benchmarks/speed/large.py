"""`verify` of a ResNet-50-sized network at 224 x 224 against the bare batched inference, in one run.

    python benchmarks/speed/large.py [--queries 100] [--rounds 3] [--out benchmarks/speed/large.json]

The suspect is a safetensors file, opened and asked in its child process, as a stranger's file is; the claim is
kinship's of 20 owners, eight references and 1,000 classes. The bare loop asks the same network, in this process, with
batches of the same size, for the same inputs. Rounds alternate. The network is a user's own architecture,
`large:resnet50`, random weights: what it answers is of no matter here. Repeats are left out, which ask five more
queries.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark import suspects
from birthmark.bench.jobs import machine
from birthmark.claim import Claim, Task
from birthmark.suspects.description import SuspectSpec
from birthmark.types import Answers
from birthmark.verify import Terms, verify
from birthmark.workshop.modelfile import ModelHead, save_model

SHAPE, CLASSES = (3, 224, 224), 1000


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a way round them (He et al. 2016, Fig. 5)."""

    def __init__(self, width: int, inner: int, stride: int) -> None:
        super().__init__()
        sizes = ((width, inner, 1, 1), (inner, inner, 3, stride), (inner, 4 * inner, 1, 1))
        layers = list[nn.Module]()
        for a, b, kernel, step in sizes:
            layers += [nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers[:-1])
        same = stride == 1 and width == 4 * inner
        self.way = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(width, 4 * inner, 1, stride, bias=False), nn.BatchNorm2d(4 * inner))
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.way(x))


def resnet50(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """An untrained network of ResNet-50's layout."""
    layers: list[nn.Module] = [
        nn.Conv2d(shape[0], 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    width = 64
    for inner, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(width, inner, stride if block == 0 else 1))
            width = 4 * inner
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs))


def claim_of(queries: np.ndarray) -> Claim:
    """A claim of random answers to these queries."""
    random, q = np.random.default_rng(0), len(queries)
    rows = random.dirichlet(np.ones(CLASSES), size=(44, q))
    treated = rows[28:].reshape(8, 2, q, CLASSES)
    tensors = {"queries": queries, "owners": rows[:20], "references": rows[20:28], "treated": treated}
    return Claim("kinship", {"placebos": 19, "references": 8}, Task(SHAPE, CLASSES), 0, tensors)


def main() -> None:
    """Print and keep the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--queries", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    torch.manual_seed(0)
    model = resnet50(SHAPE, CLASSES).eval()
    queries = np.random.default_rng(1).random((given.queries, *SHAPE), dtype=np.float32)
    claim, seconds = claim_of(queries), {"verify": [], "bare": []}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "suspect.safetensors"
        save_model(path, model, ModelHead("", SHAPE, CLASSES, Answers.LOGITS), {})
        spec = SuspectSpec().having(architecture="large:resnet50", shape=SHAPE, classes=CLASSES)
        suspect = suspects.open(str(path), spec=spec, task=claim.task)
        batch = 55
        for turn in range(given.rounds + 1):
            begun = time.perf_counter()
            verify(claim, suspect, terms=Terms(repeats=0))
            middle = time.perf_counter()
            with torch.no_grad():
                for part in torch.from_numpy(queries).split(batch):
                    model(part)
            end = time.perf_counter()
            if turn:  # the first warms both up
                seconds["verify"].append(round(middle - begun, 2))
                seconds["bare"].append(round(end - middle, 2))
    ratio = statistics.median(a / b for a, b in zip(seconds["verify"], seconds["bare"], strict=True))
    record: dict[str, Any] = {"queries": given.queries, "seconds": seconds, "ratio": round(ratio, 3)}
    record |= {"threads": torch.get_num_threads(), "parameters": sum(p.numel() for p in model.parameters())}
    text = json.dumps({**record, "machine": machine()}, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
