"""Near-ties: which are asked, and what counts of the answers."""

import numpy as np

from birthmark.marks.ties import Ties, divided, surprise


def test_most_divided_ties_come_first_and_what_unmarked_models_foretell_is_no_evidence() -> None:
    random = np.random.default_rng(0)
    ties = Ties(np.arange(60), np.zeros(60, np.int64), np.ones(60, np.int64))
    share = random.random((8, 60))
    share[:, 30:] = np.where(
        np.arange(8)[:, None] % 2, 0.9, 0.1
    )  # of these, half of the models say one class, half the other
    references = np.stack([1 - share, share], axis=2)
    references[:, :30] = [0.9, 0.1]
    assert set(divided(ties, references)[:30]) == set(range(30, 60))
    assert list(divided(ties, references[:0])) == list(range(60))
    usual = ties.leaning(np.stack([1 - share, share], axis=2))
    copied, chance = surprise(np.sign(usual[0]), usual), surprise(np.where(random.random(60) < 0.5, 1.0, -1.0), usual)
    assert np.abs(copied).mean() < 0.6 * np.abs(chance).mean()
    assert np.abs(surprise(np.ones(60), usual)).mean() < 0.2  # a suspect that always says the same surprises nobody
