"""Pruned channels are silent."""

from torch import nn

from birthmark.attacks.channels import FinePrune, PruneChannels
from birthmark.data import Data
from birthmark.theft.weights import layers_in_order
from birthmark.workshop.whitebox import Open


def test_silenced_channels_do_not_depend_on_the_input(source: nn.Module, digits: Data) -> None:
    for attack in (PruneChannels(amount=0.5, epochs=1, least_steps=5), FinePrune(amount=0.5, epochs=1, least_steps=5)):
        copy = attack.steal(Open(source), digits["reserve"], seed=0)
        dead = 0
        for layer in layers_in_order(copy, digits["test"].inputs):
            if isinstance(layer, nn.Conv2d):
                dead += int((layer.weight.detach().flatten(1).abs().sum(1) == 0).sum())
        convolutions = [layer for layer in layers_in_order(copy, digits["test"].inputs) if isinstance(layer, nn.Conv2d)]
        expected = sum(
            len(c.weight) // 2 for c in (convolutions if attack.name == "prune-channels" else convolutions[-1:])
        )
        assert dead == expected
