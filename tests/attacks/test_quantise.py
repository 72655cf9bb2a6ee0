"""Quantisation leaves few values."""

import pytest
import torch
from torch import nn

from birthmark.attacks.quantise import Quantise
from birthmark.data import Data
from birthmark.workshop.whitebox import Open


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_quantise_leaves_at_most_two_to_the_bits_minus_one_values_a_channel(
    source: nn.Module, digits: Data, bits: int
) -> None:
    copy = Quantise(bits=bits).steal(Open(source), digits["reserve"], seed=0)
    for before, after in zip(source.parameters(), copy.parameters(), strict=True):
        if before.ndim > 1:
            for old, new in zip(before.detach(), after.detach(), strict=True):
                assert len(new.unique()) <= 2**bits - 1
                assert (old - new).abs().max() <= old.abs().max() / (2 ** (bits - 1) - 1) / 2 + 1e-6
        else:
            assert torch.equal(before, after)
