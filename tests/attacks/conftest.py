"""A network that attacks change."""

import pytest
from torch import nn

from birthmark.data import Data
from birthmark.workshop import architectures
from birthmark.workshop.training import Training, fit


@pytest.fixture(scope="session")
def source(digits: Data) -> nn.Module:
    """A small convolutional network with batch norms."""
    model = architectures.build("vgg:width=8", digits.shape, 10, seed=0)
    return fit(model, digits["owner"], Training(epochs=12, batch=32), seed=0)
