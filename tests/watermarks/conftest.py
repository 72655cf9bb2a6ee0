"""A digits source, three unmarked models of its owner's, and the keyring made of them."""

import numpy as np
import pytest
from torch import nn

from birthmark import data
from birthmark.marks.keyring import ClientKey, Keyring
from birthmark.marks.keys import Secret
from birthmark.types import Floats, Samples
from birthmark.workshop import architectures
from birthmark.workshop.training import Training, fit, probabilities

MASTER = Secret(b"m" * 32)


def trained(
    samples: Samples, *, seed: int, epochs: int = 20, soft: Floats | None = None, rate: float = 6e-3
) -> nn.Module:
    """An mlp on digits."""
    return fit(
        architectures.build("mlp", samples.shape, 10, seed=seed),
        samples,
        Training(epochs=epochs, rate=rate),
        seed=seed,
        soft=soft,
    )


@pytest.fixture(scope="session")
def source(digits: data.Data) -> nn.Module:
    return trained(digits["owner"], seed=1)


@pytest.fixture(scope="session")
def unmarked(digits: data.Data) -> list[nn.Module]:
    return [trained(digits["reserve"], seed=2 + i) for i in range(3)]


@pytest.fixture(scope="session")
def ring(digits: data.Data, source: nn.Module, unmarked: list[nn.Module]) -> Keyring:
    x = digits["queries"].inputs
    own = np.concatenate([digits["owner"].inputs, digits["reserve"].inputs])
    return Keyring.make(own, x, probabilities(source, x), np.stack([probabilities(m, x) for m in unmarked]), seed=0)


@pytest.fixture(scope="session")
def alice(ring: Keyring) -> ClientKey:
    return ring.client(MASTER, "alice")
