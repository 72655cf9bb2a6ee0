"""Adversarial examples of a student, and how many are asked."""

import numpy as np
import torch
from torch import nn

from birthmark.attacks.adv_extract import AdvExtract
from birthmark.theft.parents import Asked
from birthmark.theft.weights import attacked
from birthmark.types import Answers, Samples


def test_examples_stay_near_and_raise_the_loss() -> None:
    student = nn.Linear(6, 3)
    x = np.random.default_rng(0).uniform(0.2, 0.8, (700, 6)).astype(np.float32)
    labels = np.asarray(student(torch.from_numpy(x)).argmax(1))
    worse = attacked(student, x, labels, 0.1, 5, seed=0)
    assert worse.shape == x.shape
    assert np.abs(worse - x).max() <= 0.1 + 1e-6
    weights, bias = student.weight.detach().numpy(), student.bias.detach().numpy()

    def loss(inputs: np.ndarray) -> float:
        rows = inputs @ weights.T + bias
        return float((np.log(np.exp(rows).sum(axis=1)) - rows[np.arange(len(x)), labels]).mean())

    assert loss(worse) > loss(x)


def test_half_are_inputs_and_half_adversarial() -> None:
    data = Samples(np.random.default_rng(0).random((30, 6)).astype(np.float32), np.arange(30) % 3, 3)
    plan = AdvExtract(queries=21, steps=1).rounds_of(data, 15, 0)
    first = next(plan)
    more = plan.send(Asked(first, np.eye(3)[np.arange(8) % 3], Answers.LABELS, lambda: nn.Linear(6, 3)))
    assert (len(first), len(more)) == (8, 7)
