"""DynaMarks' rule on rows: the top class stays, and both ways to compute it agree."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from birthmark.marks.rule import mark_row, mark_rows, near_ties, softly


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.floats(0.01, 0.4), st.floats(0.3, 20))
def test_softly_never_changes_the_top_class(seed: int, k: int, epsilon: float, sharp: float) -> None:
    random = np.random.default_rng(seed)
    rows = random.dirichlet(np.ones(k) / sharp, size=20)
    h = random.normal(size=(20, k))
    marked = softly(rows, h, epsilon, 5.0, 0.9, False)
    assert (marked.argmax(axis=1) == rows.argmax(axis=1)).all()
    np.testing.assert_allclose(marked.sum(axis=1), 1, atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from([0.0, 0.3, 0.5]), st.booleans(), st.booleans())
def test_plain_python_and_numpy_hold_the_same_rule(
    seed: int, k: int, delta: float, hidden: bool, rounded: bool
) -> None:
    random = np.random.default_rng(seed)
    rows = random.dirichlet(np.full(k, 0.3), 3)
    if rounded:  # exact ties and zeros
        rows = rows.round(1) + np.eye(k)[:3].sum(axis=0) * (rows.round(1).sum(axis=1, keepdims=True) == 0)
    if hidden:
        rows[rows < 0.05] = 0
    h = random.normal(scale=1.5, size=rows.shape)
    how = (delta, 0.1, 5.0, 0.9, hidden)
    many = mark_rows(np.tile(rows, (30, 1)), np.tile(h, (30, 1)), *how)[:3]
    one = [mark_row(row, lift, *how) for row, lift in zip(rows.tolist(), h.tolist(), strict=True)]
    np.testing.assert_allclose(one, many, atol=1e-12)
    assert near_ties(rows, 0.3) == near_ties(np.tile(rows, (64, 1)), 0.3)[: len(near_ties(rows, 0.3))]
