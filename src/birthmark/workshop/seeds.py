"""Seeds: where a network starts, and which course its training takes.

The *start* decides the initial weights; strangers share it whenever it is a habit (0, 42). The *course* decides order,
augmentation and dropout. A seed of 2**32 or more fills the whole state of torch's generator, which would otherwise use
its last 32 bits alone.
"""

import secrets
from hashlib import sha256

import numpy as np

from birthmark.artifact import digest_of
from birthmark.errors import SettingError

LEAST_SECRET = 2**100  # a smaller start may be anybody's


def seed() -> int:
    """A secret seed of 128 bits."""
    return secrets.randbits(128)


def secret_start(start: int) -> None:
    """Raise SettingError unless twins may start elsewhere than a source of this start."""
    if start < LEAST_SECRET:
        raise SettingError(
            f"other-start twins take a source whose start is a secret seed of 128 bits (birthmark.seed()); its start "
            f"{start} is a small number that a stranger may share, and that stranger would be accused; use same-start "
            "twins"
        )


def drawn(*words: str | int) -> int:
    """A seed of 128 bits that follows from words and numbers, by SHA-256."""
    return int(digest_of(list(words))[:32], 16)


def sow(seed: int) -> None:
    """Start torch's generators, of the processor and of every GPU, at a seed of any size, 0 or more."""
    import torch

    torch.manual_seed(seed if seed < 2**32 else int(sha256(str(seed).encode()).hexdigest()[:15], 16))
    if seed < 2**32:
        return
    state = torch.get_rng_state()
    fields = state.numpy()[: 8 * 627].view(np.uint64)  # seed; flags; next; 624 words of 32 bits
    fields[1], fields[2] = 1 + (1 << 32), 0  # "seeded", and one draw left before the words are turned
    fields[3:] = np.random.MT19937(np.random.SeedSequence(seed)).state["state"]["key"]
    torch.set_rng_state(state)
