"""From an owner to a keyring, and from a keyring or a query log to claims: what `birthmark key` does."""

import numpy as np

from birthmark.claim import Claim
from birthmark.marks.keyring import Keyring, logged
from birthmark.marks.keys import Secret
from birthmark.types import Array, Floats
from birthmark.watermarks.dynamarks import DynaMarks, DynaMarksTies
from birthmark.workshop.owner import Owner

QUERIES = 1000  # held-out inputs that a keyring holds, if the pool has so many


def make_keyring(owner: Owner, *, references: int, seed: int, queries: int = QUERIES, placebos: int = 999) -> Keyring:
    """Ask source and references the first held-out inputs of the pool, and screen placebo keys on them."""
    from birthmark.workshop.training import outputs, probabilities

    ask = outputs if owner.values else probabilities
    x = owner.pool.inputs[:queries]
    others = [ask(model, x) for model in owner.references(references)] if references else []
    shape = (0, len(x), owner.task.outputs)
    return Keyring.make(
        owner.train.inputs,
        x,
        ask(owner.source, x),
        np.stack(others) if others else np.zeros(shape),
        seed=seed,
        values=owner.values,
        placebos=placebos,
    )


def make_claim(
    ring: Keyring, master: Secret, client: str, *, strength: str, ties: tuple[Array, Floats] | None = None
) -> Claim:
    """A client's claim: the soft one on the keyring's queries, or the one on near-ties from the query log.

    Args:
        ties: inputs (n, *d) and unmarked answers (n, k) of near-ties the client asked.

    Raises:
        DataError: too few near-ties.
    """
    key = ring.client(master, client)
    placebos = len(ring.placebos)
    if ties is None:
        return DynaMarks(strength=strength, placebos=placebos, key=key).claim()
    inputs, answers = ties
    asked = logged(key, inputs, answers, np.zeros((0, *answers.shape)))
    return DynaMarksTies(strength=strength, placebos=placebos, key=asked).claim()
