"""Statistics against scipy, scikit-learn, or a loop anyone can read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t
from sklearn.metrics import roc_auc_score

from birthmark import stats
from birthmark.errors import NullError, SettingError

floats = st.floats(-1e6, 1e6, allow_nan=False)


@given(floats, st.lists(floats, min_size=1, max_size=50))
def test_rank_p_counts_ties_against_the_accuser(score: float, null: list[float]) -> None:
    p = stats.rank_p(score, null)
    assert p == (1 + len([value for value in null if value >= score])) / (len(null) + 1)
    assert 1 / (len(null) + 1) <= p <= 1
    assert stats.rank_p(score + 1, null) <= p


def test_rank_p_is_uniform_when_all_are_exchangeable() -> None:
    random = np.random.default_rng(0)
    p = np.array([stats.rank_p(row[0], list(row[1:])) for row in random.normal(size=(20_000, 20))])
    for alpha in (0.05, 0.1, 0.5):  # exact; 4 sd of a binomial share, wrong once in 15,000
        assert abs((p <= alpha + 1e-12).mean() - alpha) < 4 * np.sqrt(alpha * (1 - alpha) / len(p))


def test_an_empty_null_is_refused() -> None:
    with pytest.raises(
        NullError,
        match=r"^nothing to rank the score against: no placebos and no references; enrol with twins or references$",
    ):
        stats.rank_p(1.0, [])


def test_needed_placebos() -> None:
    assert [stats.needed(a) for a in (0.05, 0.01, 0.001)] == [19, 99, 999]
    assert all(stats.smallest_p(stats.needed(a)) <= a for a in (0.05, 0.01, 0.03, 0.2))
    for alpha in (0.0, 1.0, -0.1, 1.5, float("nan")):
        with pytest.raises(SettingError, match="alpha"):
            stats.needed(alpha)


def test_student_p_is_scipys_predictive_tail() -> None:
    null = [0.1, 0.4, -0.2, 0.3, 0.05]
    z = (1.0 - np.mean(null)) / np.std(null, ddof=1)
    assert stats.student_p(1.0, null) == pytest.approx(t.sf(z / np.sqrt(1 + 1 / 5), 4))
    assert np.isnan(stats.student_p(1.0, [0.0, 1.0]))
    assert (stats.student_p(1.0, [0.0] * 5), stats.student_p(-1.0, [0.0] * 5)) == (0, 1)
    assert stats.student_p(0.0, [0.0] * 5) == 0.5
    assert stats.student_p(1.0, [0.0, 1.0, 2.0]) == 0.5


@given(st.integers(0, 40), st.integers(1, 40))
def test_clopper_pearson_is_scipys(hits: int, extra: int) -> None:
    n = hits + extra
    exact = binomtest(hits, n).proportion_ci(0.95, "exact")
    assert stats.clopper_pearson(hits, n) == pytest.approx((exact.low, exact.high))
    assert stats.clopper_pearson(n, n)[1] == 1
    assert stats.clopper_pearson(0, n)[0] == 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_auc_is_scikit_learns(positives: list[int], negatives: list[int]) -> None:
    truth = [1] * len(positives) + [0] * len(negatives)
    assert stats.auc(positives, negatives) == pytest.approx(roc_auc_score(truth, positives + negatives))


def test_aruc_is_the_integral_of_the_lower_curve() -> None:
    positives, negatives = [0.9, 0.8, 0.95], [0.2, 0.4, 0.1, 0.3]
    tau = np.linspace(0, 1, 1001)
    lower = [min(np.mean([s >= x for s in positives]), np.mean([s < x for s in negatives])) for x in tau]
    assert stats.aruc(positives, negatives) == pytest.approx(np.trapezoid(lower, tau))
    assert stats.aruc([1.0], [0.0]) == pytest.approx(1.0, abs=1e-3)
    assert stats.aruc([0.5], [0.5]) == pytest.approx(0.0, abs=1e-3)


def test_tpr_at_fpr_leaves_no_more_than_the_allowed_negatives_above() -> None:
    negatives = list(range(100))
    assert stats.tpr_at_fpr([98.5, 94.5, 10], negatives, 0.05) == pytest.approx(2 / 3)
    assert stats.tpr_at_fpr([98.5, 99.5], negatives, 0.0) == pytest.approx(1 / 2)


def test_bootstrap_auc_brackets_the_estimate_and_repeats() -> None:
    random = np.random.default_rng(1)
    positives, negatives = [random.normal(1, 1, 20) for _ in range(3)], [random.normal(0, 1, 30) for _ in range(3)]
    middle, low, high = stats.bootstrap_auc(positives, negatives, seed=3)
    assert low < middle < high
    assert (middle, low, high) == stats.bootstrap_auc(positives, negatives, seed=3)


def test_curves_of_nothing_are_nan() -> None:
    for curve in (stats.auc, stats.aruc):
        assert np.isnan(curve([], [0.0]))
        assert np.isnan(curve([1.0], []))
    assert np.isnan(stats.tpr_at_fpr([], [0.0]))
    assert stats.tpr_at_fpr([-5.0], []) == 1
    assert stats.tpr_at_fpr([-5.0], [0.0, 1.0], 1.0) == 1
    assert stats.tpr_at_fpr([1.0, 0.0], [1.0] * 20) == 0  # ties with the threshold are not above it
    assert np.isnan(stats.bootstrap_auc([], [], seed=0)).all()
    assert np.isnan(stats.bootstrap_auc([[]], [[0.0]], seed=0)).all()


def test_thresholds_on_the_axis_count_as_reached() -> None:
    """Scores on the grid of tau: robust at >= tau, unique at < tau."""
    assert stats.aruc([0.5], [0.25], points=3) == pytest.approx(np.trapezoid([0, 1, 0], [0, 0.5, 1]))
    assert stats.aruc([1.0], [0.5], points=3) == pytest.approx(np.trapezoid([0, 0, 1], [0, 0.5, 1]))


def test_sources_without_one_side_are_left_out_of_the_bootstrap() -> None:
    a, b = [3.0, 1.0, 2.0], [0.0, 2.5, 1.5]
    whole = stats.bootstrap_auc([a, [], [1.0]], [b, [1.0], []], seed=1)
    assert whole == stats.bootstrap_auc([a], [b], seed=1) == stats.bootstrap_auc([a], [b], seed=1, rounds=1000)
    assert whole != stats.bootstrap_auc([a], [b], seed=2)
    assert whole[0] == stats.auc(a, b)
    with pytest.raises(ValueError, match="zip"):
        stats.bootstrap_auc([a, a], [b], seed=0)
    assert stats.bootstrap_auc([[3, 1]], [[2, 2]], seed=0)[0] == 0.5


def test_nan_is_never_higher() -> None:
    nan, inf = float("nan"), float("inf")
    assert stats.rank_p(nan, [0.0, 1.0, 2.0]) == 1
    assert stats.rank_p(5.0, [nan, 1.0, 2.0]) == 0.5
    assert stats.rank_p(inf, [1.0, inf, -inf]) == 0.5
    assert stats.auc([nan, 2.0], [0.0, 1.0]) == 0.5
    assert stats.auc([2.0], [nan, 1.0]) == 0.5
    assert stats.tpr_at_fpr([nan, 2.0], [0.0] * 20) == 0.5
    assert stats.tpr_at_fpr([2.0], [nan] * 2 + [0.0] * 18) == 0
    assert stats.aruc([nan], [0.0]) == 0
    assert stats.aruc([1.0], [nan]) == 0
    assert stats.bootstrap_auc([[nan, 2.0]], [[0.0, nan]], seed=0, rounds=2)[0] == 0.25


def test_z_of_few_and_of_equal_numbers() -> None:
    assert stats.standardised(2.0, [0.0, 2.0]) == 1 / np.sqrt(2)
    assert stats.standardised(-1.0, [-3.0] * 3) == stats.standardised(2.0, [1.0]) == np.inf
    assert stats.standardised(-4.0, [-3.0] * 3) == stats.standardised(0.0, [1.0]) == -np.inf
    assert stats.standardised(1.0, [1.0]) == 0


@pytest.mark.parametrize("null", [[0.0, 1.0, float("nan")], [0.0, 1.0, float("inf")], [1e308, -1e308, 0.0], []])
def test_a_null_that_is_not_finite_gives_no_z(null: list[float]) -> None:
    assert np.isnan(stats.standardised(1.0, null))
    assert np.isnan(stats.student_p(1.0, null))


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_gives_no_z(score: float) -> None:
    for null in ([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]):
        assert np.isnan(stats.standardised(score, null))
        assert np.isnan(stats.student_p(score, null))


def test_bonferroni_stays_a_probability() -> None:
    assert stats.bonferroni(0.02, 10) == pytest.approx(0.2)
    assert stats.bonferroni(0.2, 10) == stats.bonferroni(float("nan"), 10) == 1


def test_the_margin_keeps_unlucky_keys_at_alpha() -> None:
    """Simulated: 2,000 keys, 500 innocents whose scores share half of their variance by key."""
    random = np.random.default_rng(0)
    z = np.sqrt(0.5) * random.normal(size=(2000, 1)) + np.sqrt(0.5) * random.normal(size=(2000, 500))
    limit = stats.margin(0.05, 0.5)
    assert (z >= 1.645).mean() == pytest.approx(0.05, abs=0.01)
    assert ((z >= 1.645).mean(axis=1) > 0.05).mean() > 0.2
    assert ((z >= limit).mean(axis=1) > 0.05).mean() == pytest.approx(0.05, abs=0.02)
    assert stats.margin(0.01, 0.0) == pytest.approx(2.326, abs=1e-3)


def test_the_bootstrap_redraws_sources_and_their_models_as_a_plain_loop_does() -> None:
    random = np.random.default_rng(3)
    pairs = [(random.normal(1, 1, n).round(1), random.normal(0, 1, m).round(1)) for n, m in ((4, 7), (5, 7), (9, 3))]
    value, low, high = stats.bootstrap_auc([a for a, _ in pairs], [b for _, b in pairs], seed=1, rounds=4000)
    plain = []
    for _ in range(4000):
        redrawn = [pairs[i] for i in random.integers(3, size=3)]
        plain.append(np.mean([stats.auc(random.choice(a, len(a)), random.choice(b, len(b))) for a, b in redrawn]))
    assert value == pytest.approx(np.mean([stats.auc(a, b) for a, b in pairs]))
    assert (low, high) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.02)
    assert stats.bootstrap_auc([a for a, _ in pairs], [b for _, b in pairs], seed=1, rounds=4000) == (value, low, high)
