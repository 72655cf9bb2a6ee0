"""Moment kinship: a generator trained on another's samples is known by its own samples."""

from functools import cache

import numpy as np
import pytest

from birthmark import stats
from birthmark.claim import Claim
from birthmark.crafting.sampling import Sampled
from birthmark.data import Data
from birthmark.errors import DataError, SettingError, ShapeError
from birthmark.methods.moments import Moments, phi, principal
from birthmark.types import Answers, Samples
from birthmark.verify import verify
from birthmark.workshop.training import outputs
from birthmark.workshop.whitebox import Open
from tasks_bench import Workshop

METHOD = Moments(queries=300, placebos=9, references=4, samples=2000, components=16)


@cache
def generator() -> Workshop:
    """A VAE of digits: small, and quick to train."""
    task = Workshop("digits", "vae:width=48", {"epochs": 12, "batch": 32, "rate": 4e-3})
    random = np.random.default_rng(0)
    parts = {
        name: Samples(random.standard_normal((len(part), 8)).astype(np.float32), part.inputs.reshape(len(part), -1), 0)
        for name, part in task.data.parts.items()
    }
    task.data = Data("digits", parts)
    return task


@pytest.fixture(scope="module")
def claim() -> Claim:
    return METHOD.fit(generator().owner(), seed=0)


def sampler(module: object, seed: int = 0) -> Sampled:
    return Sampled(Open(module, Answers.VALUES), 8, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attack", "settings"),
    [("quantise", {"bits": 8}), ("ftal", {"epochs": 1, "rate": 1e-4}), ("prune", {"amount": 0.2})],
)
def test_copies_are_known_by_their_samples_alone(claim: Claim, attack: str, settings: dict[str, object]) -> None:
    found = verify(claim, sampler(generator().stolen(attack, **settings)), alpha=0.1)
    assert found.p_value == 0.1
    assert found.queries == 300


def test_a_thief_who_draws_its_moments_to_the_data_hides_less_than_half_and_pays_for_it(claim: Claim) -> None:
    plain, adaptive = (generator().stolen("quantise", bits=8), generator().stolen("adaptive-moments"))
    known, hidden = (verify(claim, sampler(module), alpha=0.1) for module in (plain, adaptive))
    assert hidden.z is not None
    assert known.z is not None
    assert 0.4 * known.z < hidden.z < 0.9 * known.z
    assert hidden.p_value == 0.1
    latents = np.random.default_rng(3).standard_normal((500, 8)).astype(np.float32)
    ours, theirs, moved = (outputs(module, latents) for module in (generator().owner().source, plain, adaptive))
    assert np.square(moved - ours).mean() > 10 * np.square(theirs - ours).mean()


def test_innocents_are_accused_no_more_often_than_chance_allows(claim: Claim) -> None:
    accused = 0
    for i in range(12):
        scores = METHOD.score(claim, sampler(generator().innocent(40 + i, ("innocent", "owner")[i % 2]))(claim.queries))
        accused += stats.rank_p(scores.source, scores.placebos) <= 0.1
    assert accused <= 4  # more than 4 of 12 at .1 happens once in 230 runs


def test_features_are_means_and_products_of_whitened_components() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 6)) * [5, 4, 3, 2, 1, 0.5] + 3
    mean, basis = principal(rows, 3)
    features = phi(rows, mean, basis)
    assert features.shape == (500, 3 + 6)
    assert np.allclose(features[:, :3].mean(axis=0), 0, atol=0.02)
    assert np.allclose(features[:, 3:].mean(axis=0), [1, 0, 0, 1, 0, 1], atol=0.1)


def test_too_few_samples_other_widths_and_other_tasks_are_named(claim: Claim) -> None:
    with pytest.raises(ShapeError, match="at least 20 samples of 64"):
        METHOD.score(claim, np.zeros((19, 64)))
    with pytest.raises(ShapeError, match="64 values"):
        METHOD.score(claim, np.zeros((50, 63)))
    with pytest.raises(SettingError, match=r"expected placebos in \[2, inf\), got 1"):
        Moments(placebos=1)
    digits = Workshop("digits", "mlp:width=8", {"epochs": 1})
    with pytest.raises(DataError, match="use kinship or tafa"):
        METHOD.fit(digits.owner(), seed=0)
