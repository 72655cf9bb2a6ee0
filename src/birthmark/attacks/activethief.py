"""ActiveThief: the next queries are those the student learns most from, by active learning (Pal et al., AAAI 2020)."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from birthmark.settings import Allowed
from birthmark.theft.parents import Asked, Rounds
from birthmark.types import Answers, Array, Floats, Labels, Samples
from birthmark.workshop.training import outputs, probabilities

PRESETS = {"uncertainty": {"strategy": "uncertainty"}, "k-centre": {"strategy": "k-centre"}}


@dataclass(frozen=True)
class ActiveThief(Rounds):
    """Rounds of: train a student on all answers, choose the next inputs of the pool by what it says, ask them.

    Attributes:
        strategy: "uncertainty" (entropy), "k-centre" (farthest from all asked ones in the student's answers), or "both"
            (k-centre among the twice as many most uncertain).
        queries: most inputs to ask; 0 for half of the pool.
        rounds: of active choice, after a first share that is drawn at random.
        first: that share, 0 to 1.
    """

    name: ClassVar[str] = "activethief"
    source_paper: ClassVar[str] = "Pal et al. 2020"
    allowed: ClassVar[Allowed] = {
        "strategy": ("uncertainty", "k-centre", "both"),
        "rounds": "[0, inf)",
        "first": "(0, 1]",
    }

    round_steps: int = 100
    strategy: str = "both"
    rounds: int = 3
    first: float = 0.4

    def rounds_of(self, data: Samples, left: int, seed: int) -> Generator[Array, Asked, None]:
        total = min(self.queries or -(-len(data) // 2), len(data))
        pool = np.random.default_rng(seed).permutation(len(data))
        start = max(round(self.first * total), 2) if self.rounds else total
        known = yield data.inputs[pool[:start]]
        pool = pool[start:]
        for turn in range(self.rounds):
            size = -(-(total - len(known.inputs)) // (self.rounds - turn))
            if size < 1 or not len(pool):
                return
            student = known.student()
            said = outputs if known.kind is Answers.VALUES else probabilities
            places = chosen_next(said(student, data.inputs[pool]), said(student, known.inputs), size, self.strategy)
            known = yield data.inputs[pool[places]]
            pool = np.delete(pool, places)


def chosen_next(pool: Floats, asked: Floats, n: int, strategy: str) -> Labels:
    """The next n inputs' places in the pool, from the student's rows (p, k) there and (m, k) on what was asked."""
    n = min(n, len(pool))
    uncertain = np.argsort((pool * np.log(np.maximum(pool, 1e-12))).sum(axis=1), kind="stable")
    if strategy == "uncertainty":
        return uncertain[:n]
    among = uncertain[: 2 * n] if strategy == "both" else np.arange(len(pool))
    return among[farthest(pool[among], asked, n)]


def farthest(points: Array | Floats, centres: Array | Floats, n: int) -> Labels:
    """Greedy k-centre: each next point is the one farthest from all centres so far (Euclidean)."""
    gaps = np.full(len(points), np.inf)
    for start in range(0, len(centres), 500):
        part = centres[start : start + 500]
        gaps = np.minimum(gaps, ((points**2).sum(1)[:, None] - 2 * points @ part.T + (part**2).sum(1)).min(axis=1))
    places = list[int]()
    for _ in range(n):
        place = int(gaps.argmax())
        places.append(place)
        gaps = np.minimum(gaps, ((points - points[place]) ** 2).sum(axis=1))
        gaps[place] = -np.inf
    return np.array(places, dtype=np.int64)
