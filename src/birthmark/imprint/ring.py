"""The keyring of an imprint, from unmarked models alone, and keys that have a date."""

import re
from dataclasses import replace

import numpy as np

from birthmark.errors import SettingError, ShapeError
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret
from birthmark.types import Array, Floats

LEAST = 4  # unmarked models: fewer cannot tell a mark from what all models do
WAVES, OMEGA = 16, 1.5  # of a key's field, chosen on development sources (docs/imprint.md)


def keyring(
    inputs: Array, queries: Array, unmarked: Floats, *, seed: int, values: bool = False, placebos: int = 999
) -> Keyring:
    """A keyring whose ground is the mean of unmarked models; nothing in it is chosen with a marked one.

    Args:
        inputs: the owner's inputs (n, *d), at least 50, that the whitening is fitted to.
        queries: held-out inputs (q, *d) that suspects will be asked.
        unmarked: answers (r, q, k) of at least four unmarked models, probabilities or values; your own or public ones.

    Raises:
        SettingError: fewer than four models, too few inputs, or fewer than two classes.
        ShapeError: arrays that do not fit together, or hold NaN.
    """
    if unmarked.ndim != 3 or len(unmarked) < LEAST:
        raise SettingError(
            f"expected the answers (r, q, k) of at least {LEAST} unmarked models, got shape "
            f"{unmarked.shape}: train some without the key, or ask public ones"
        )
    if not (np.isfinite(unmarked).all() and np.isfinite(inputs).all() and np.isfinite(queries).all()):
        raise ShapeError("expected finite inputs, queries and answers, got NaN or infinity")
    ring = Keyring.make(inputs, queries, unmarked.mean(axis=0), unmarked, seed=seed, values=values, placebos=0)
    ring = replace(ring, waves=WAVES, omega=OMEGA)
    return replace(ring, placebos=ring.screened(placebos))


def dated(master: Secret, value: str) -> Secret:
    """The key that follows from a master and a public value of a later day than the master's time stamp.

    Without that nobody can tell a key from one that was searched for to accuse.

    Args:
        value: a public random value, at least 128 bits in hex.

    Raises:
        SettingError: no such value.
    """
    if not re.fullmatch("[0-9a-fA-F]{32,}", value):
        raise SettingError(f"expected a public random value of at least 32 hexadecimal digits, got {value[:80]!r}")
    return master.derive("imprint", value.lower())


def checked(ring: Keyring, answers: Floats) -> Keyring:
    """The keyring, if its ground are these unmarked answers (q, k) of a source, or unmarked models alone.

    Raises:
        SettingError: it was made of another model.
    """
    grounds = [answers, ring.references.mean(axis=0)] if len(ring.references) else [answers]
    if not any(one.shape == ring.source.shape and np.allclose(one, ring.source, atol=1e-3) for one in grounds):
        raise SettingError(
            "this keyring was made of another model than the source: its answers to the keyring's queries are not "
            "those that it holds; make one with birthmark key new --source"
        )
    return ring
