"""Steps along a student's gradient, and how many inputs the rounds take."""

import numpy as np
import torch
from torch import nn

from birthmark.attacks.papernot import Papernot, stepped
from birthmark.theft.parents import Asked
from birthmark.types import Answers, Samples


def test_a_step_has_the_sign_of_the_label_s_weights() -> None:
    student = nn.Linear(6, 3)
    inputs = np.random.default_rng(0).random((1200, 6)).astype(np.float32)
    labels = np.arange(1200) % 3
    moved = stepped(student, inputs, labels, 0.1)
    assert np.allclose(moved - inputs, 0.1 * np.sign(student.weight.detach().numpy())[labels], atol=1e-6)


def test_rounds_double_the_inputs_up_to_what_was_allowed() -> None:
    data = Samples(np.random.default_rng(0).random((100, 6)).astype(np.float32), np.arange(100) % 3, 3)
    plan = Papernot(queries=90, rounds=3, alternate=2).rounds_of(data, 1000, 0)
    torch.manual_seed(0)
    student, inputs, sizes = nn.Linear(6, 3), next(plan), list[int]()
    while True:
        sizes.append(len(inputs))
        try:
            more = plan.send(Asked(inputs, np.eye(3)[np.arange(len(inputs)) % 3], Answers.LABELS, lambda: student))
        except StopIteration:
            break
        assert more.min() >= data.inputs.min()
        assert more.max() <= data.inputs.max()
        inputs = np.concatenate([inputs, more])
    assert sizes == [11, 22, 44, 88]
