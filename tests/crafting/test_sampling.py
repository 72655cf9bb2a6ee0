"""Generators that take requests, not latents."""

import numpy as np

from birthmark.crafting.sampling import Sampled, latents, requests
from birthmark.oracle import Function, Metered
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Answers


def test_every_request_brings_its_own_sample_through_meter_and_transcript() -> None:
    generator = Function(lambda z: z @ np.ones((3, 2)), Answers.VALUES)
    sampled = Sampled(generator, 3, seed=0)
    meter = Metered(sampled, budget=10)
    rows = Recorded(meter, Transcript(None, meter))(requests(10))
    assert rows.shape == (10, 2)
    assert len(np.unique(rows[:, 0])) == 10
    assert meter.spent == 10
    assert not np.array_equal(sampled(requests(10)), sampled(requests(10)))
    assert np.array_equal(latents(4, 3, seed=1), latents(4, 3, seed=1))
