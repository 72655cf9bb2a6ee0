import numpy as np
import pytest
import torch

from birthmark.crafting.gan import Discriminator, Generator, restored, sampled, tensors, train
from birthmark.errors import ShapeError
from birthmark.types import Samples


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 30, 26)])
def test_networks_fit_any_small_image(shape):
    z, c = torch.randn(5, 64), torch.arange(5)
    images = Generator(shape, 7)(z, c).detach()
    assert images.shape == (5, *shape)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert Discriminator(shape, 7)(images, c).shape == (5,)


def test_training_is_repeatable_keeps_the_outer_generator_and_survives_arrays(bench):
    state = torch.random.get_rng_state()
    one, other = (train(bench.data["reserve"], iterations=5, seed=3) for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    again = restored(tensors(one), (1, 8, 8), 10)
    pictures = [sampled(gan, 20, 10, seed=1)[2] for gan in (one, other, again)]
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2])


def test_inputs_that_are_no_images_are_refused():
    flat = Samples(np.zeros((4, 30), dtype=np.float32), np.arange(4), 4)
    with pytest.raises(ShapeError, match="bring a generator"):
        train(flat, iterations=1, seed=0)
