"""Removal turns features away."""

import torch
from torch import nn
from torch.nn import functional

from birthmark import registry
from birthmark.attacks.removal import Removal
from birthmark.data import Data
from birthmark.theft.weights import last_layer
from birthmark.workshop.training import accuracy, outputs
from birthmark.workshop.whitebox import Open


def test_removal_turns_the_features_away_more_than_fine_tuning_does(source: nn.Module, digits: Data) -> None:
    x = digits["test"].inputs

    def features(model: nn.Module) -> torch.Tensor:
        seen = list[torch.Tensor]()
        hook = last_layer(model, x).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        outputs(model, x)
        hook.remove()
        return seen[-1] - seen[-1].mean(0)

    tuned = registry.make("attacks", "ftal", {}).steal(Open(source), digits["attacker"], seed=0)
    moved = Removal(iterations=120).steal(Open(source), digits["attacker"], seed=0)
    here, there = (
        float(functional.cosine_similarity(features(m), features(source)).abs().mean()) for m in (tuned, moved)
    )
    assert there < 0.6 * here
    assert accuracy(moved, digits["test"]) > accuracy(source, digits["test"]) - 0.1
