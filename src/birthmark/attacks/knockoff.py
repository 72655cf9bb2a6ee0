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
from birthmark.attack import Attack
from birthmark.data.foreign import pictures
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.asking import affordable, ask, new_student, train_student
from birthmark.types import Access, Answers, Array, Floats, Labels, Samples
from birthmark.workshop.training import Training, device, outputs, seeded

PRESETS = {
    "paper": {"epochs": 200, "rate": 1e-2, "least_steps": 0, "explore": 0.0},
    "wrt": {"epochs": 4, "rate": 1e-3, "least_steps": 0},
    "deepjudge": {"epochs": 10, "rate": 1e-3, "least_steps": 0},
    "adaptive": {"strategy": "adaptive"},
}


@dataclass(frozen=True)
class Knockoff(Attack):
    """Train a student from scratch on the target's answers to inputs of the thief's choice.

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        strategy: "random" or "adaptive".
        pool: "data" to ask the data's inputs, "foreign" to ask pictures of another domain (`birthmark.data.foreign`),
            as many.
        queries: most inputs to ask; 0 for all of the data (adaptive: half of the data, so that there is a choice).
        labels: learn from the top labels even if the target shows more.
        epochs, rate, batch: of the training loop.
        least_steps: small data are gone through until so many optimiser steps are done.
        round: queries between two steps of the bandit's student (adaptive only).
        explore: share of queries that are drawn uniformly over the classes whatever the bandit says, 0 (the paper's) to
            1.
    """

    name: ClassVar[str] = "knockoff"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Orekondy et al. 2019"

    student: str = ""
    strategy: str = "random"
    pool: str = "data"
    queries: int = 0
    labels: bool = False
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    least_steps: int = 300
    round: int = 32
    explore: float = 0.3

    def __post_init__(self) -> None:
        if self.strategy not in ("random", "adaptive"):
            raise SettingError(f"expected strategy 'random' or 'adaptive', got {self.strategy!r}")
        if self.pool not in ("data", "foreign"):
            raise SettingError(f"expected pool 'data' or 'foreign', got {self.pool!r}")
        if self.queries < 0 or self.round < 2:
            raise SettingError(f"expected queries >= 0 and rounds of at least 2, got {self.queries} and {self.round}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if self.pool == "foreign":
            made = pictures(data.shape, self.queries or len(data), seed=seed)
            data = Samples(made, np.zeros((len(made), 1), dtype=np.float32), 0)
        random = np.random.default_rng(seed)
        if self.strategy == "random":
            chosen = random.permutation(len(data))[: self.queries or len(data)]
            answers = ask(target, data.inputs[chosen], hard=self.labels)
            inputs = data.inputs[chosen[: len(answers)]]
        else:
            inputs, answers = self._adaptive(target, data, random, seed)
        how = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        kind = Answers.LABELS if self.labels else target.answers
        return train_student(self.student, inputs, answers, kind, how, seed=seed, least_steps=self.least_steps)

    def _adaptive(self, target: Oracle, data: Samples, random: np.random.Generator, seed: int) -> tuple[Array, Floats]:
        """The bandit: rounds of queries, each followed by one step of a student and an update of the policy."""
        pools = [
            list(random.permutation(np.flatnonzero(arms == arm)))
            for arms in [arms_of(data, seed)]
            for arm in np.unique(arms)
        ]
        wanted = min(self.queries or len(data) // 2, len(data))
        inputs, answers = list[Array](), list[Floats]()
        asked, student, optimiser = 0, nn.Module(), None
        gain, times = np.zeros(len(pools)), np.zeros(len(pools))
        seen, rewards = np.zeros(0), Running(3)
        while asked < wanted:
            open_arms = np.array([bool(pool) for pool in pools])
            chance = np.exp(gain - gain[open_arms].max()) * open_arms
            policy = (1 - self.explore) * chance / chance.sum() + self.explore * open_arms / open_arms.sum()
            drawn = list[tuple[int, int]]()
            for arm in random.choice(len(pools), min(self.round, wanted - asked), p=policy):
                if pools[arm]:
                    drawn.append((int(arm), int(pools[arm].pop())))
            batch = data.inputs[[place for _, place in drawn]]
            if inputs and not affordable(target, batch):
                break
            rows = ask(target, batch, hard=self.labels)
            inputs.append(batch[: len(rows)])
            answers.append(rows)
            asked += len(rows)
            if optimiser is None:
                student = new_student(self.student, data.shape, rows.shape[1], seed=seed).to(device())
                optimiser = torch.optim.AdamW(student.parameters(), lr=self.rate / 6)
                seen = rows.mean(axis=0)
            said = softmax(outputs(student, inputs[-1]))
            for (arm, _), row, mine in zip(drawn, rows, said, strict=False):
                top = np.sort(row)[-2:]
                parts = np.array(
                    [top[-1] - top[0], np.maximum(row - seen, 0).sum(), -(row * np.log(mine + 1e-8)).sum()]
                )
                reward, average = rewards.add(parts)
                seen += (row - seen) / (asked + 1)
                times[arm] += 1
                toward = -policy
                toward[arm] += 1
                gain += (reward - average) / times[arm] * toward
            if len(rows) > 1 and target.answers is not Answers.VALUES:
                _step(student, optimiser, inputs[-1], rows, seed + asked)
        return np.concatenate(inputs), np.concatenate(answers)


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
