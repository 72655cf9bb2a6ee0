"""What a generator invents."""

import numpy as np
import pytest
import torch

from birthmark.attacks.data_free import DataFree, Dreamer


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5), (6,)])
def test_inventions_have_the_shape_and_the_range_of_inputs(shape: tuple[int, ...]) -> None:
    made = Dreamer(shape, latent=4)(torch.randn(16, 4)).detach()
    assert made.shape == (16, *shape)
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1


def test_rounds_invent_other_queries_from_the_seed() -> None:
    attack = DataFree(latent=4)
    one, again, other = (attack._queries((1, 8, 8), 5, None, seed) for seed in (0, 0, 1))
    assert one.shape == (5, 1, 8, 8)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
