"""What each modification of a copy does to its weights."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from birthmark import registry
from birthmark.attacks.channels import FinePrune, PruneChannels
from birthmark.attacks.finetune import FTLL, RTAL
from birthmark.attacks.permute import Permute
from birthmark.attacks.prune import Prune
from birthmark.attacks.quantise import Quantise
from birthmark.attacks.removal import Removal
from birthmark.attacks.transfer import Transfer
from birthmark.attacks.weight_noise import WeightNoise
from birthmark.data import Data
from birthmark.errors import SettingError
from birthmark.oracle import Function
from birthmark.theft.weights import last_layer, layers_in_order
from birthmark.types import Answers
from birthmark.workshop import architectures
from birthmark.workshop.training import Training, accuracy, fit, outputs
from birthmark.workshop.whitebox import Open


@pytest.fixture(scope="module")
def source(digits: Data) -> nn.Module:
    """A small convolutional network with batch norms."""
    model = architectures.build("vgg:width=8", digits.shape, 10, seed=0)
    return fit(model, digits["owner"], Training(epochs=12, batch=32), seed=0)


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


def test_weight_noise_is_scaled_by_each_tensors_own_deviation(source: nn.Module, digits: Data) -> None:
    copy = WeightNoise(level=0.2).steal(Open(source), digits["reserve"], seed=0)
    for before, after in zip(source.parameters(), copy.parameters(), strict=True):
        if before.numel() > 500:
            assert float((after - before).detach().std() / before.detach().std()) == pytest.approx(0.2, rel=0.15)


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


def test_permutation_moves_weights_and_keeps_answers(source: nn.Module, digits: Data) -> None:
    copy = Permute().steal(Open(source), digits["reserve"], seed=0)
    x = digits["test"].inputs
    assert np.abs(outputs(copy, x) - outputs(source, x)).max() < 1e-3
    moved = [not torch.equal(a, b) for a, b in zip(source.parameters(), copy.parameters(), strict=True) if a.ndim > 1]
    assert sum(moved) >= len(moved) / 2


def test_transfer_answers_other_classes(source: nn.Module, digits: Data) -> None:
    attack = Transfer(classes=3)
    copy = attack.steal(Open(source), digits["attacker"], seed=0)
    assert outputs(copy, digits["test"].inputs).shape[1] == 3
    assert accuracy(copy, attack.view(digits["test"])) > 0.8


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


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("prune", {"amount": 1.0}),
        ("quantise", {"bits": 1}),
        ("weight-noise", {"level": -1}),
        ("transfer", {"classes": 1}),
        ("ensemble", {"parts": 1}),
        ("knockoff", {"strategy": "best"}),
        ("knockoff", {"pool": "the web"}),
    ],
)
def test_settings_out_of_range_are_named(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=r"expected .* got"):
        registry.make("attacks", name, settings)


def test_regressors_can_be_stolen_too(digits: Data) -> None:
    weights = np.random.default_rng(0).normal(size=(64, 2))
    oracle = Function(lambda x: np.tanh(x.reshape(len(x), -1) @ weights / 8), Answers.VALUES)
    student = registry.make("attacks", "distill", {"student": "mlp"}).steal(oracle, digits["attacker"], seed=0)
    x = digits["test"].inputs
    assert np.corrcoef(outputs(student, x).ravel(), oracle(x).ravel())[0, 1] > 0.9
