"""Pruning zeroes what it says."""

import pytest
from torch import nn

from birthmark.attacks.prune import Prune
from birthmark.data import Data
from birthmark.workshop.whitebox import Open


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize("amount", [0.0, 0.3, 0.9])
def test_prune_zeroes_exactly_the_share_it_says_and_keeps_it_zero(
    source: nn.Module, digits: Data, amount: float, epochs: int
) -> None:
    copy = Prune(amount=amount, epochs=epochs, least_steps=5).steal(Open(source), digits["reserve"], seed=0)
    weights = [(a, b) for a, b in zip(source.parameters(), copy.parameters(), strict=True) if a.ndim > 1]
    for before, after in weights:
        assert int((after == 0).sum()) == round(amount * before.numel())
        if not epochs and amount:
            assert before[after == 0].abs().max() <= before[after != 0].abs().min()
