"""Seeds of any size: small ones as torch has them, large ones with all their bits."""

import numpy as np
import pytest
import torch

import birthmark
from birthmark.workshop.seeds import LEAST_SECRET, drawn, sow


def numbers(seed: int) -> list[float]:
    with torch.random.fork_rng(devices=[]):
        sow(seed)
        return [*torch.randn(3).tolist(), *torch.rand(700).tolist()]


def test_small_seeds_are_torchs_own() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        assert numbers(7)[:3] == torch.randn(3).tolist()


def test_all_bits_of_a_large_seed_count() -> None:
    seeds = [5, 5 + 2**32, 5 + 2**64, 5 + 2**127]  # torch.manual_seed takes the first two for one
    assert len({tuple(numbers(seed)) for seed in seeds}) == len(seeds)
    torch.manual_seed(1)
    first = numbers(seeds[3])
    torch.randn(1)  # leaves half a pair of normal numbers behind
    assert numbers(seeds[3]) == first
    assert abs(np.mean(first[3:]) - 0.5) < 0.05


def test_a_drawn_seed_is_secret_and_follows_from_its_words() -> None:
    assert birthmark.seed() != birthmark.seed()
    assert drawn("twin", 2**127, 3) == drawn("twin", 2**127, 3)
    assert len({drawn("twin", 0, 1), drawn("twin", 1, 0), drawn("reference", 0, 1)}) == 3
    assert drawn("twin", 0, 1) < 2**128
    assert birthmark.seed() > LEAST_SECRET


@pytest.mark.parametrize("value", [-1, 2**128])
def test_seeds_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(birthmark.BirthmarkError, match=r"from 0 to 2\*\*128 - 1"):
        birthmark.Card("trained", {}, "owner", "mlp", start=value)
