"""A permuted copy answers the same."""

import numpy as np
import torch
from torch import nn

from birthmark.attacks.permute import Permute
from birthmark.data import Data
from birthmark.workshop.training import outputs
from birthmark.workshop.whitebox import Open


def test_permutation_moves_weights_and_keeps_answers(source: nn.Module, digits: Data) -> None:
    copy = Permute().steal(Open(source), digits["reserve"], seed=0)
    x = digits["test"].inputs
    assert np.abs(outputs(copy, x) - outputs(source, x)).max() < 1e-3
    moved = [not torch.equal(a, b) for a, b in zip(source.parameters(), copy.parameters(), strict=True) if a.ndim > 1]
    assert sum(moved) >= len(moved) / 2
