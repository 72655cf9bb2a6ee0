"""A rebuilt source is held against twins, and against how far apart two rebuilds of it are."""

import pytest

from birthmark.notary.checks import Outcome
from birthmark.notary.provenance import _near_enough


@pytest.mark.parametrize(
    ("away", "unsteady", "outcome"),
    [
        (0.001, 0.001, Outcome.HELD),
        (0.009, 0.0, Outcome.HELD),
        (0.05, 0.0, Outcome.FAILED),
        (0.05, 0.05, Outcome.UNCLEAR),  # the recipe gives another model at every run
        (0.3, 0.05, Outcome.FAILED),
    ],
)
def test_how_near_is_near_enough(away: float, unsteady: float, outcome: Outcome) -> None:
    found = _near_enough(away, unsteady, nearest=0.1)
    assert found.outcome is outcome
    assert f"two rebuilds {unsteady:.2g} from each other" in found.words
    assert ("does not settle" in found.words) == (outcome is Outcome.UNCLEAR)
