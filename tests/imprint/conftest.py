"""Unmarked models of digits, the keyring that they make, and a model that learned a key."""

import numpy as np
import pytest
from torch import nn

from birthmark import data, imprint
from birthmark.marks.keyring import ClientKey, Keyring
from birthmark.marks.keys import Secret
from birthmark.types import Floats
from birthmark.workshop.training import probabilities
from watermarks.conftest import trained

MASTER, VALUE = Secret(b"i" * 32), "ab" * 16


@pytest.fixture(scope="session")
def plain(digits: data.Data) -> list[nn.Module]:
    """Unmarked: four that the keyring knows, two that it does not."""
    return [trained(digits["reserve" if i % 2 else "owner"], seed=20 + i) for i in range(6)]


@pytest.fixture(scope="session")
def unmarked(digits: data.Data, plain: list[nn.Module]) -> Floats:
    return np.stack([probabilities(model, digits["queries"].inputs) for model in plain[:4]])


@pytest.fixture(scope="session")
def ring(digits: data.Data, unmarked: Floats) -> Keyring:
    own = np.concatenate([digits["owner"].inputs, digits["reserve"].inputs])
    return imprint.keyring(own, digits["queries"].inputs, unmarked, seed=0, placebos=199)


@pytest.fixture(scope="session")
def key(ring: Keyring) -> ClientKey:
    return ring.client(imprint.dated(MASTER, VALUE), "imprint")


@pytest.fixture(scope="session")
def imprinted(digits: data.Data, key: ClientKey) -> nn.Module:
    own = digits["owner"]
    return trained(own, seed=20, epochs=60, soft=imprint.targets(key, own.inputs, own.targets, eps=0.2))
