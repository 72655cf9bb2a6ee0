"""Generators whose latents cannot be chosen: they take a request and answer a sample of their own.

A request is a row of one number, its place in the claim; a service without inputs ignores it. (Rows without any number
would all have the same digest, and a transcript could not tell one sample from the next.)
"""

import numpy as np

from birthmark.oracle import Oracle, Wrapper
from birthmark.types import Array, Floats


def requests(n: int) -> Array:
    """`n` requests, (n, 1)."""
    return np.arange(n, dtype=np.float32)[:, None]


def latents(n: int, width: int, *, seed: int) -> Array:
    """Standard normal latents (n, width)."""
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


class Sampled(Wrapper):
    """A generator that draws its latents itself: requests (n, 1) in, samples (n, k) out, new ones every time.

    Args:
        inner: answers latents (n, width).
        width: of a latent.
    """

    def __init__(self, inner: Oracle, width: int, *, seed: int) -> None:
        super().__init__(inner)
        self.width = width
        self.random = np.random.default_rng(seed)

    def __call__(self, inputs: Array) -> Floats:
        return self.inner(self.random.standard_normal((len(inputs), self.width)).astype(np.float32))
