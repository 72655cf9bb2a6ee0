"""What fine-tuning changes of a copy."""

import torch
from torch import nn

from birthmark.attacks.finetune import FTLL, RTAL
from birthmark.data import Data
from birthmark.theft.weights import last_layer
from birthmark.workshop.training import accuracy
from birthmark.workshop.whitebox import Open


def test_ftll_changes_the_last_layer_only_and_no_batch_norm_statistics(source: nn.Module, digits: Data) -> None:
    copy = FTLL(epochs=1, least_steps=5).steal(Open(source), digits["reserve"], seed=0)
    before, after = source.state_dict(), copy.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert len(changed) == 2
    assert {before[key].shape for key in changed} == {
        torch.Size([10]),
        last_layer(source, digits["test"].inputs).weight.shape,
    }


def test_rtal_keeps_accuracy_within_five_points(source: nn.Module, digits: Data) -> None:
    copy = RTAL().steal(Open(source), digits["attacker"], seed=0)
    assert accuracy(copy, digits["test"]) > accuracy(source, digits["test"]) - 0.05
