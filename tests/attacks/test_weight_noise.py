"""Noise on weights has the size it says."""

import pytest
from torch import nn

from birthmark.attacks.weight_noise import WeightNoise
from birthmark.data import Data
from birthmark.workshop.whitebox import Open


def test_weight_noise_is_scaled_by_each_tensors_own_deviation(source: nn.Module, digits: Data) -> None:
    copy = WeightNoise(level=0.2).steal(Open(source), digits["reserve"], seed=0)
    for before, after in zip(source.parameters(), copy.parameters(), strict=True):
        if before.numel() > 500:
            assert float((after - before).detach().std() / before.detach().std()) == pytest.approx(0.2, rel=0.15)
