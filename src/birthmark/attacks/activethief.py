"""ActiveThief: the next queries are those the student learns most from, by active learning (Pal et al., AAAI 2020)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import affordable, ask, train_student
from birthmark.types import Access, Answers, Array, Floats, Labels, Samples
from birthmark.workshop.training import Training, outputs, probabilities

PRESETS = {"uncertainty": {"strategy": "uncertainty"}, "k-centre": {"strategy": "k-centre"}}
STRATEGIES = ("uncertainty", "k-centre", "both")


@dataclass(frozen=True)
class ActiveThief(Attack):
    """Rounds of: train a student on all answers, choose the next inputs of the pool by what it says, ask them.

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        strategy: "uncertainty" (entropy), "k-centre" (farthest from all asked ones in the student's answers), or "both"
            (k-centre among the twice as many most uncertain).
        queries: most inputs to ask; 0 for half of the pool.
        rounds: of active choice, after a first share that is drawn at random.
        first: that share, 0 to 1.
        labels: learn from the top labels even if the target shows more.
        epochs, rate, batch: of the training loop; students between the rounds train for `round_steps` steps at least.
        least_steps: of the last student.
    """

    name: ClassVar[str] = "activethief"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Pal et al. 2020"

    student: str = ""
    strategy: str = "both"
    queries: int = 0
    rounds: int = 3
    first: float = 0.4
    labels: bool = False
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    round_steps: int = 100
    least_steps: int = 300

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES or self.rounds < 0 or self.queries < 0 or not 0 < self.first <= 1:
            raise SettingError(
                f"expected a strategy of {', '.join(STRATEGIES)}, rounds and queries >= 0 and first in (0, 1], got "
                f"{self}"
            )

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        total = min(self.queries or -(-len(data) // 2), len(data))
        pool = np.random.default_rng(seed).permutation(len(data))
        start = max(round(self.first * total), 2) if self.rounds else total
        chosen, pool = pool[:start], pool[start:]
        answers = ask(target, data.inputs[chosen], hard=self.labels)
        chosen = chosen[: len(answers)]
        kind = Answers.LABELS if self.labels else target.answers
        for turn in range(self.rounds):
            size = -(-(total - len(chosen)) // (self.rounds - turn))
            if size < 1 or not len(pool) or not affordable(target, data.inputs[pool[:1]]):
                break
            how = Training(epochs=2, rate=self.rate, batch=self.batch)
            student = train_student(
                self.student, data.inputs[chosen], answers, kind, how, seed=seed + turn, least_steps=self.round_steps
            )
            rows = outputs if kind is Answers.VALUES else probabilities
            places = chosen_next(
                rows(student, data.inputs[pool]), rows(student, data.inputs[chosen]), size, self.strategy
            )
            fresh = ask(target, data.inputs[pool[places]], hard=self.labels)
            chosen, answers = np.concatenate([chosen, pool[places[: len(fresh)]]]), np.concatenate([answers, fresh])
            pool = np.delete(pool, places)
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        return train_student(
            self.student, data.inputs[chosen], answers, kind, how, seed=seed, least_steps=self.least_steps
        )


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
    found = list[int]()
    for _ in range(n):
        place = int(gaps.argmax())
        found.append(place)
        gaps = np.minimum(gaps, ((points - points[place]) ** 2).sum(axis=1))
        gaps[place] = -np.inf
    return np.array(found, dtype=np.int64)
