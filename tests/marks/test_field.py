"""What a key's luck is, and that it is subtracted from all keys alike."""

from hashlib import sha256

import numpy as np
import pytest

from birthmark.marks.field import LEAST, Ground, Waves, aligned, followed
from birthmark.marks.keys import Secret

OMEGA = 2.0


@pytest.fixture(scope="module")
def keys() -> Waves:
    return Waves.of([Secret(sha256(f"{i}".encode()).digest()) for i in range(200)], 4, 3, 4)


def grounds(keys: Waves, n: int) -> tuple[Ground, np.ndarray, np.ndarray]:
    """Unmarked models that all lean to the first key's field, as independent models do to an unlucky key; an innocent and a marked one."""
    random = np.random.default_rng(0)
    psi = random.normal(size=(400, 3))
    first = Waves(keys.directions[:1], keys.phases[:1], keys.codes[:1]).at(psi, OMEGA)[0]
    source = 0.3 * random.normal(size=(400, 4))

    def model(lean: float) -> np.ndarray:
        return source + lean * first + random.normal(size=(400, 4))

    others = np.stack([model(0.3 + 0.1 * random.normal()) for _ in range(n)])
    return Ground(psi, source, others[:n], values=True), model(0.3), model(1.5)


def rank(found: np.ndarray) -> float:
    return float((1 + (found[1:] >= found[0]).sum()) / len(found))


def test_an_unlucky_key_accuses_innocents_until_its_luck_is_subtracted(keys: Waves) -> None:
    ground, innocent, marked = grounds(keys, 8)
    plain = Ground(ground.psi, ground.source, ground.others[:0], values=True)
    assert rank(aligned(plain, plain.residual(innocent)[None], keys, OMEGA)[0]) <= 0.01
    assert rank(followed(ground, ground.residual(innocent)[None], keys, OMEGA)[0]) > 0.05
    assert rank(followed(ground, ground.residual(marked)[None], keys, OMEGA)[0]) <= 0.01


def test_the_same_is_subtracted_whoever_is_asked_and_nothing_below_enough_models(keys: Waves) -> None:
    ground, innocent, marked = grounds(keys, 8)
    residuals = np.stack([ground.residual(innocent), ground.residual(marked)])
    gone = aligned(ground, residuals, keys, OMEGA) - followed(ground, residuals, keys, OMEGA)
    assert np.allclose(gone[0], gone[1])
    assert np.allclose(gone[0], aligned(ground, ground.alone, keys, OMEGA).mean(axis=0))
    few = Ground(ground.psi, ground.source, ground.others[: LEAST - 1], values=True)
    residual = few.residual(innocent)[None]
    assert np.array_equal(followed(few, residual, keys, OMEGA), aligned(few, residual, keys, OMEGA))
