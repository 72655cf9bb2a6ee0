"""Knockoff Nets: query with natural images of any domain, then train on the answers (Orekondy, Schiele & Fritz, CVPR
2019).

`random` draws queries uniformly. `adaptive` is the paper's gradient bandit over the pool's own classes: classes whose
images the target answers surely, diversely, and unlike the student so far are asked more often. Queries come from
`data.inputs`, which may be of another domain than the target's, or are drawn by the thief (`pool`); true labels only
name the bandit's arms.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from birthmark.answers import softmax
from birthmark.data.foreign import pictures
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import affordable, ask
from birthmark.theft.parents import Extraction
from birthmark.types import Answers, Array, Floats, Labels, Samples
from birthmark.workshop.devices import device
from birthmark.workshop.training import outputs, seeded

PRESETS = {
    "paper": {"epochs": 200, "rate": 1e-2, "least_steps": 0, "explore": 0.0},
    "wrt": {"epochs": 4, "rate": 1e-3, "least_steps": 0},
    "deepjudge": {"epochs": 10, "rate": 1e-3, "least_steps": 0},
    "adaptive": {"strategy": "adaptive"},
}


@dataclass(frozen=True)
class Knockoff(Extraction):
    """Train a student from scratch on the target's answers to inputs of the thief's choice.

    Attributes:
        strategy: "random" or "adaptive".
        pool: "data" to ask the data's inputs, "foreign" to ask pictures of another domain (`birthmark.data.foreign`),
            as many.
        queries: most inputs to ask; 0 for all of the data (adaptive: half of the data, so that there is a choice).
        labels: learn from the top labels even if the target shows more.
        round: queries between two steps of the bandit's student (adaptive only).
        explore: share of queries that are drawn uniformly over the classes whatever the bandit says, 0 (the paper's) to
            1.
    """

    name: ClassVar[str] = "knockoff"
    source_paper: ClassVar[str] = "Orekondy et al. 2019"
    allowed: ClassVar[Allowed] = {
        "strategy": ("random", "adaptive"),
        "pool": ("data", "foreign"),
        "queries": "[0, inf)",
        "round": "[2, inf)",
        "explore": "[0, 1]",
    }

    strategy: str = "random"
    pool: str = "data"
    queries: int = 0
    labels: bool = False
    round: int = 32
    explore: float = 0.3

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if self.pool == "foreign":
            made = pictures(data.shape, self.queries or len(data), seed=seed)
            data = Samples(made, np.zeros((len(made), 1), dtype=np.float32), 0)
        random = np.random.default_rng(seed)
        if self.strategy == "random":
            inputs = data.inputs[random.permutation(len(data))[: self.queries or len(data)]]
            answers = ask(target, inputs, hard=self.labels)
        else:
            inputs, answers = self._adaptive(target, data, random, seed)
        return self.learned(inputs, answers, self.kind(target), seed=seed)

    def _adaptive(self, target: Oracle, data: Samples, random: np.random.Generator, seed: int) -> tuple[Array, Floats]:
        """The bandit: rounds of queries, each followed by one step of a student and an update of the policy."""
        bandit = Bandit(arms_of(data, seed), self.explore, random)
        wanted = min(self.queries or len(data) // 2, len(data))
        inputs, answers = list[Array](), list[Floats]()
        asked, student, optimiser = 0, nn.Module(), None
        while asked < wanted:
            batch = data.inputs[bandit.draw(min(self.round, wanted - asked))]
            if inputs and not affordable(target, batch):
                break
            rows = ask(target, batch, hard=self.labels)
            inputs.append(batch[: len(rows)])
            answers.append(rows)
            asked += len(rows)
            if optimiser is None:
                student = self.fresh(data.shape, rows.shape[1], seed=seed).to(device())
                optimiser = torch.optim.AdamW(student.parameters(), lr=self.rate / 6)
            bandit.learn(rows, softmax(outputs(student, inputs[-1])), asked)
            if len(rows) > 1 and target.answers is not Answers.VALUES:
                _step(student, optimiser, inputs[-1], rows, seed + asked)
        return np.concatenate(inputs), np.concatenate(answers)


class Bandit:
    """Chooses classes of a pool by a gradient bandit: those whose answers are sure, diverse and unlike the student's.

    Args:
        arms: class of each input of the pool (n,).
        explore: share of draws that are uniform over the classes, 0 to 1.
    """

    def __init__(self, arms: Labels, explore: float, random: np.random.Generator) -> None:
        self.pools = [list(random.permutation(np.flatnonzero(arms == arm))) for arm in np.unique(arms)]
        self.explore, self.random, self.rewards = explore, random, Running(3)
        self.gain, self.times = np.zeros(len(self.pools)), np.zeros(len(self.pools))
        self.policy, self.drawn, self.seen = np.zeros(len(self.pools)), list[int](), np.zeros(0)

    def draw(self, n: int) -> list[int]:
        """Places of at most n inputs in the pool, each drawn once."""
        open_arms = np.array([bool(pool) for pool in self.pools])
        chance = np.exp(self.gain - self.gain[open_arms].max()) * open_arms
        self.policy = (1 - self.explore) * chance / chance.sum() + self.explore * open_arms / open_arms.sum()
        arms = [int(arm) for arm in self.random.choice(len(self.pools), n, p=self.policy)]
        places, self.drawn = list[int](), []
        for arm in arms:
            if self.pools[arm]:
                self.drawn.append(arm)
                places.append(int(self.pools[arm].pop()))
        return places

    def learn(self, answers: Floats, student: Floats, asked: int) -> None:
        """Update the policy by the target's answers and the student's (m, k) to the first m inputs of the last draw."""
        self.seen = self.seen if len(self.seen) else answers.mean(axis=0)
        for arm, row, mine in zip(self.drawn, answers, student, strict=False):
            top = np.sort(row)[-2:]
            parts = [top[-1] - top[0], np.maximum(row - self.seen, 0).sum(), -(row * np.log(mine + 1e-8)).sum()]
            reward, average = self.rewards.add(np.array(parts))
            self.seen += (row - self.seen) / (asked + 1)
            self.times[arm] += 1
            toward = -self.policy
            toward[arm] += 1
            self.gain += (reward - average) / self.times[arm] * toward


class Running:
    """Running means of rewards, which are put on one scale before they are averaged."""

    def __init__(self, parts: int) -> None:
        self.n, self.mean, self.variance, self.average = 0, np.zeros(parts), np.zeros(parts), 0.0

    def add(self, rewards: Floats) -> tuple[float, float]:
        """The mean of the standardised rewards, and the average of those before."""
        self.n += 1
        self.mean += (rewards - self.mean) / self.n
        self.variance += ((rewards - self.mean) ** 2 - self.variance) / self.n
        reward = float(((rewards - self.mean) / np.sqrt(self.variance + 1e-8)).mean())
        before = self.average
        self.average += (reward - before) / self.n
        return reward, before


def _step(student: nn.Module, optimiser: torch.optim.Optimizer, inputs: Array, rows: Floats, seed: int) -> None:
    with seeded(seed):
        student.train()
        x, y = torch.from_numpy(inputs).to(device()), torch.from_numpy(rows).float().to(device())
        optimiser.zero_grad(set_to_none=True)
        functional.cross_entropy(student(x), y).backward()
        optimiser.step()
        student.eval()


def arms_of(data: Samples, seed: int) -> Labels:
    """The pool's classes; without any, ten clusters of its inputs."""
    if data.classes:
        return np.asarray(data.targets, dtype=np.int64)
    from sklearn.cluster import KMeans

    flat = data.inputs.reshape(len(data), -1)
    return np.asarray(KMeans(min(10, len(data)), n_init=1, random_state=seed).fit_predict(flat), dtype=np.int64)
