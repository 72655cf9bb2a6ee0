"""The small networks of `bench.py`: disjoint pairs of independent networks of one architecture, and same-start ones.

    python benchmarks/compare/networks.py WORK

Every network is a safetensors file WORK/ROLE-FAMILY-DATA-NUMBER-SIDE; what is there is not trained again. Roles: `dev`
pairs have other seeds than `test` pairs and alone may be looked at before settings are frozen; `again` pairs were made
after a look at the `test` pairs changed a setting. A `same` network starts
where side a of the test pair of its number starts, and learns from other data.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from thief import Transformer
from torch import nn

from birthmark.data import Data, load
from birthmark.types import Samples
from birthmark.workshop import architectures
from birthmark.workshop.seeds import drawn
from birthmark.workshop.training import Training, fit, seeded

FAST, SLOW = ("mlp", "mlp-deep", "lenet"), ("cnn", "vgg", "res", "transformer")
DATA = {
    "digits": Training(epochs=10, batch=32, rate=3e-3, bf16=False),
    "garments-mlp": Training(epochs=4, batch=64, rate=3e-3, bf16=False),
}
MANY = {"dev": (22, 9), "test": (18, 12), "same": (6, 3), "again": (0, 6)}  # of each fast family, of each slow one
MOST = 1_500  # images


@dataclass(frozen=True)
class Made:
    """One network: its start, its course and its share of the data."""

    role: str
    family: str
    data: str
    number: int
    side: str

    @property
    def name(self) -> str:
        return f"{self.role}-{self.family}-{self.data}-{self.number}-{self.side}"

    @property
    def start(self) -> int:
        role, side = ("test", "a") if self.role == "same" else (self.role, self.side)
        return drawn("start", role, self.family, self.data, self.number, side) % 2**31

    def samples(self, data: Data) -> Samples:
        """Side b of every second pair, and all same-start networks, learn from other data than side a."""
        part = data["innocent" if self.role == "same" or (self.side == "b" and self.number % 2) else "owner"]
        return part[:MOST]


def every() -> Iterator[Made]:
    for role, (fast, slow) in MANY.items():
        for families, many in ((FAST, fast), (SLOW, slow)):
            for family in families:
                for data in DATA:
                    for number in range(many):
                        for side in "b" if role == "same" else "ab":
                            yield Made(role, family, data, number, side)


def trained(made: Made, data: Data) -> nn.Module:
    samples = made.samples(data)
    if made.family == "transformer":
        with seeded(made.start):
            network: nn.Module = Transformer(samples.shape[1], samples.outputs)
    else:
        network = architectures.build(made.family, samples.shape, samples.outputs, seed=made.start)
    return fit(network, samples, DATA[made.data], seed=drawn("course", made.name))


def main(work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    data = {name: load(name) for name in DATA}
    for made in every():
        place = work / f"{made.name}.safetensors"
        if not place.exists():
            tensors = trained(made, data[made.data]).state_dict()
            save_file({name: value.contiguous().clone() for name, value in tensors.items()}, f"{place}.part")
            Path(f"{place}.part").rename(place)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
