"""Where a network's initial weights came from: a secret seed, one of the usual seeds, or neither.

Training moves weights less than it leaves them, so a network still resembles its initial weights, and a seed can be
told by building the architecture from it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from birthmark.compare.order import units_of
from birthmark.compare.pairing import paired
from birthmark.compare.reading import Tensor, Weights
from birthmark.errors import BirthmarkError
from birthmark.workshop.seeds import LEAST_SECRET

USUAL = (*range(10_001), 12345, 123456, 1234567, 31337, 65535, 20230, 20240, 20250, 2**31 - 1, 2**32 - 1)
OTHERS = range(1_000_000, 1_000_100)  # seeds that a secret one is held against
FAR = 8.0  # standard deviations over seeds beyond which a start is recognised
Start = Callable[[int], Weights]


def start_of(path: Path) -> tuple[Start, int | None] | None:
    """Initial weights by seed of the architecture that a file of ours names, and the seed that its card names.

    None for other files, and for networks that did not start from a seed.
    """
    from birthmark.workshop import architectures
    from birthmark.workshop.modelfile import read_tensors

    try:
        head, _ = read_tensors(path)
        name, shape, outputs = str(head["architecture"]), tuple(head["shape"]), int(head["outputs"])
        architectures.parse(name)
        card = head.get("about", {}).get("card", {})
        if card.get("parents"):
            return None
        seed = card.get("start")
        known = int(str(seed), 0) if seed is not None else None
    except (BirthmarkError, AttributeError, KeyError, TypeError, ValueError):
        return None

    def start(seed: int) -> Weights:
        network = architectures.build(name, shape, outputs, seed=seed)
        return {key: value.numpy() for key, value in network.state_dict().items()}

    return start, known


def shows_secret(a: Weights, start: Start, seed: int | None) -> bool:
    """Whether A still shows that it began at this seed, and the seed is one that nobody else can have."""
    return seed is not None and seed >= LEAST_SECRET and usual_seed(a, start, (seed, *OTHERS)) == seed


def usual_seed(a: Weights, start: Start, seeds: Iterable[int] = USUAL) -> int | None:
    """The seed whose initial weights A still resembles; None if there is none.

    Args:
        start: initial weights of A's architecture by seed.
    """
    seeds = tuple(seeds)
    known = {pair.name: units_of(pair.a, 0) for pair in paired(a, start(seeds[0]))}
    alike = np.array([_cosine(a, known, start(seed)) for seed in seeds])
    best = int(alike.argmax())
    rest = np.delete(alike, best)
    return seeds[best] if alike[best] > rest.mean() + FAR * rest.std() else None


def _cosine(a: Weights, known: dict[str, Tensor], start: Weights) -> float:
    """Mean cosine of units in their order."""
    found = [(known[pair.name] * units_of(pair.b, 0)).sum(axis=1) for pair in paired(a, start)]
    return float(np.concatenate(found).mean()) if found else -1.0
