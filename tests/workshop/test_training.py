"""The training loop: what its settings do to what is learnt."""

import numpy as np
import pytest
import torch

from birthmark import data
from birthmark.errors import DataError
from birthmark.types import Samples
from birthmark.workshop import architectures
from birthmark.workshop.training import Training, accuracy, fit

DIGITS = data.load("digits")


def trained(**settings: object) -> torch.nn.Module:
    network = architectures.build("mlp:width=32", DIGITS.shape, 10, seed=0)
    return fit(network, DIGITS["owner"], Training(epochs=20, batch=32, bf16=False, **settings), seed=1)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_bits_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = trained(), trained()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_label_noise_is_learnt_and_no_noise_changes_no_bit() -> None:
    clean, noisy = trained(), trained(noise=0.6)
    assert all(torch.equal(a, b) for a, b in zip(clean.parameters(), trained(noise=0.0).parameters(), strict=True))
    assert accuracy(clean, DIGITS["test"]) > 0.85
    assert accuracy(noisy, DIGITS["owner"]) < accuracy(clean, DIGITS["owner"]) - 0.05


def test_no_data_is_said() -> None:
    none = Samples(np.zeros((0, 1, 8, 8), np.float32), np.zeros(0, np.int64), 10)
    with pytest.raises(DataError, match="expected data to train on"):
        fit(architectures.build("mlp", (1, 8, 8), 10, seed=0), none, seed=0)
