"""Initial weights by seed: usual ones are recognised, a secret one is shown."""

from pathlib import Path

import numpy as np
import pytest
import torch

from birthmark.compare.starts import shows_secret, start_of, usual_seed
from birthmark.workshop import architectures
from birthmark.workshop.modelfile import ModelHead, save_model


def moved(network, scale=0.02):
    with torch.no_grad():
        torch.manual_seed(5)
        for value in network.parameters():
            value.add_(scale * torch.randn_like(value))
    return network


def test_usual_seeds_are_recognised(made) -> None:
    assert usual_seed(made.network(42, 3), made.network, range(100)) == 42
    assert usual_seed(made.network(1_000_003, 3), made.network, range(100)) is None


@pytest.mark.parametrize(("seed", "secret"), [(7, False), (2**120 + 3, True)])
def test_a_file_of_ours_says_where_it_started(tmp_path: Path, seed: int, secret: bool) -> None:
    path = tmp_path / "a.safetensors"
    network = moved(architectures.build("mlp:width=32", (1, 4, 4), 3, seed=seed))
    save_model(path, network, ModelHead("mlp:width=32", (1, 4, 4), 3), {"card": {"start": hex(seed), "parents": []}})
    found = start_of(path)
    assert found is not None
    start, known = found
    assert known == seed
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    assert shows_secret(weights, start, known) is secret
    assert not shows_secret(start(8), start, 2**120 + 5)  # a card's word alone is nothing


def test_other_files_say_nothing(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones((3, 3), np.float32)}, tmp_path / "b.safetensors")
    assert start_of(tmp_path / "b.safetensors") is None
    assert start_of(tmp_path / "missing.safetensors") is None
    save_model(
        tmp_path / "c.safetensors",
        architectures.build("mlp:width=32", (1, 4, 4), 3, seed=1),
        ModelHead("mlp:width=32", (1, 4, 4), 3),
        {"card": {"start": "0x1", "parents": ["a backbone"]}},
    )
    assert start_of(tmp_path / "c.safetensors") is None
