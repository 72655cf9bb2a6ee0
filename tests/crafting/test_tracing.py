"""Kinks are found in any network by watching it run."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.crafting.tracing import find_kinks, kinds, watched
from birthmark.errors import SettingError
from birthmark.workshop.architectures import build

STARTS = np.random.default_rng(0).random((64, 1, 8, 8), dtype=np.float32)


class Functions(nn.Module):
    """No activation modules at all: functions, methods, in-place calls, a loop, a branch on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 12), nn.Linear(12, 12), nn.Linear(12, 12)])

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.layers[0](x.flatten(1)), inplace=True)
        for layer in self.layers[1:]:
            x = x + layer(x).clamp(min=0)
        return torch.relu(x) if x.sum() > 1e9 else x


def test_calls_are_found_in_modules_functions_methods_and_loops() -> None:
    assert kinds(Functions(), torch.rand(3, 1, 8, 8)) == ["relu", "clamp", "clamp"]
    mixed = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 4),
        nn.LeakyReLU(0.1),
        nn.Linear(4, 4),
        nn.GELU(),
        nn.Linear(4, 4),
        nn.PReLU(),
        nn.Tanh(),
        nn.Softplus(),
    )
    assert kinds(mixed, torch.rand(3, 1, 8, 8)) == ["leaky_relu", "gelu", "prelu", "softplus"]
    assert kinds(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh(), nn.Hardtanh(-1, 1)), torch.rand(3, 1, 8, 8)
    ) == ["hardtanh"]


@pytest.mark.parametrize(
    "name",
    [
        "mlp:width=16",
        "lenet:width=4",
        "cnn:width=4",
        "vgg:width=4",
        "res:width=4",
        "seres:width=4",
        "mobile:width=4",
        "convnext:width=4",
    ],
)
def test_points_lie_on_hyperplanes_of_padded_strided_normalised_pooled_and_residual_networks(name: str) -> None:
    module = build(name, (1, 8, 8), 10, seed=0).train()
    with torch.no_grad():
        module(torch.from_numpy(STARTS))  # batch-norm statistics of its own
    module.eval()
    box = (np.zeros((1, 8, 8), np.float32), np.ones((1, 8, 8), np.float32))
    triples = find_kinks(module, STARTS, 6, step=0.5, box=box, seed=0)
    assert triples.shape == (6, 3, 1, 8, 8)
    assert triples.min() >= 0
    assert triples.max() <= 1
    assert np.array_equal(triples, find_kinks(module, STARTS, 6, step=0.5, box=box, seed=0))
    values = torch.cat(watched(module, torch.from_numpy(triples.reshape(-1, 1, 8, 8))).before, dim=1).view(6, 3, -1)
    spread = torch.cat(watched(module, torch.from_numpy(STARTS)).before, dim=1).std(dim=0)
    crossed = (values[:, 0].abs() < 1e-2 * spread) & (values[:, 1] > 0) & (values[:, 2] < 0)
    assert crossed.any(dim=1).all()  # of every point at least one unit switches there


def test_the_middle_is_where_one_hidden_unit_switches() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 2))
    starts = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    triples = torch.from_numpy(find_kinks(module, starts, 5, step=1.0, box=None, seed=3))
    before = module[0](triples).squeeze(-1)
    spread = module[0](torch.from_numpy(starts)).std()
    assert before[:, 0].abs().max() < 1e-2 * spread
    assert torch.allclose(before[:, 1], spread, rtol=0.05)  # one standard deviation to either side
    assert torch.allclose(before[:, 2], -spread, rtol=0.05)
    assert all(p.requires_grad for p in module.parameters())


def test_networks_without_such_units_are_refused_and_kinship_is_offered() -> None:
    with pytest.raises(SettingError, match="use kinship"):
        find_kinks(
            nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
            np.ones((8, 3), np.float32),
            2,
            step=1,
            box=None,
            seed=0,
        )
    dead = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(dead[0].bias, -1e6)
    with pytest.raises(SettingError, match="always on or always off"):
        find_kinks(dead, np.random.default_rng(0).random((8, 3), dtype=np.float32), 2, step=1, box=None, seed=0)
