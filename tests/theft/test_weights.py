"""The layers of a network, as a thief finds them."""

import torch
from torch import nn

from birthmark.data import Data
from birthmark.theft.weights import last_layer, layers_in_order


def test_last_layer_is_the_one_called_last_not_the_one_declared_last(digits: Data) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.body = nn.Linear(16, 10), nn.Linear(64, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.relu(self.body(x.flatten(1))))

    odd = Odd()
    assert last_layer(odd, digits["test"].inputs) is odd.head
    assert [type(layer) for layer in layers_in_order(odd, digits["test"].inputs)] == [nn.Linear, nn.Linear]
