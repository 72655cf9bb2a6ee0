"""What suspects are ranked by, and what changed between two tables."""

import numpy as np
import pytest

from birthmark.bench.tables import closeness, compare

ROW = {
    **{"plan": "p", "task": "t", "method": "m", "access": "probs", "queries": 10, "group": "all", "tier": "all"},
    **{"auc": 0.9, "aruc": None, "tpr_at_fpr": 0.5, "power": 0.5, "fpr": 0.0},
}


def test_an_infinite_z_is_above_or_below_all_others() -> None:
    cells = [{"z": 2.0, "raw": 0, "p": 0.1}, {"z": None, "raw": 0, "p": 0.05}, {"z": None, "raw": 0, "p": 1.0}]
    assert np.argsort(closeness(cells)).tolist() == [2, 0, 1]


def test_raw_scores_serve_where_one_has_no_z() -> None:
    assert closeness([{"raw": 0.3}, {"z": 1.0, "raw": 0.7}, {"raw": None}]).tolist() == [0.3, 0.7, -1e9]


@pytest.mark.parametrize(("after", "changed"), [(0.904, False), (0.906, True), (0.894, True)])
def test_changes_below_the_least_are_left_out(after: float, changed: bool) -> None:
    found = compare([ROW], [{**ROW, "auc": after}], least=0.005)
    assert bool(found) is changed
