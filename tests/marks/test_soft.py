"""The soft claim: a key's own marked answers rank first, unmarked answers do not, and too few are refused."""

import numpy as np
import pytest
from torch import nn

from birthmark import data
from birthmark.errors import ShapeError
from birthmark.marks import soft
from birthmark.marks.keyring import ClientKey
from birthmark.watermarks.dynamarks import DynaMarks
from birthmark.workshop.training import probabilities


def test_marked_answers_rank_first_and_unmarked_do_not(alice: ClientKey, source: nn.Module, digits: data.Data) -> None:
    claim = soft.claim("dynamarks", {}, alice, 99)
    plain = probabilities(source, claim.queries)
    marked = soft.score(claim, DynaMarks(key=alice).mark(claim.queries, plain))
    assert len(marked.placebos) == 99
    assert marked.source > max(marked.placebos)
    fresh = np.random.default_rng(0).dirichlet(np.ones(10), size=len(claim.queries))
    assert soft.score(claim, fresh).source < max(soft.score(claim, fresh).placebos)


def test_too_few_or_too_wide(alice: ClientKey) -> None:
    claim = soft.claim("dynamarks", {}, alice, 9)
    with pytest.raises(ShapeError, match="at least 20"):
        soft.score(claim, np.full((19, 10), 0.1))
    with pytest.raises(ShapeError, match="width 10"):
        soft.score(claim, np.full((30, 9), 0.1))
    with pytest.raises(ShapeError, match="at least 20"):
        soft.score_ties(claim, np.full((19, 10), 0.1))
