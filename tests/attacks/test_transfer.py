"""A transferred copy answers other classes."""

from torch import nn

from birthmark.attacks.transfer import Transfer
from birthmark.data import Data
from birthmark.workshop.training import accuracy, outputs
from birthmark.workshop.whitebox import Open


def test_transfer_answers_other_classes(source: nn.Module, digits: Data) -> None:
    attack = Transfer(classes=3)
    copy = attack.steal(Open(source), digits["attacker"], seed=0)
    assert outputs(copy, digits["test"].inputs).shape[1] == 3
    assert accuracy(copy, attack.view(digits["test"])) > 0.8
