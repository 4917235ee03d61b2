"""Intervals of differences: worked by hand, against published formulas and against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fishlib.scores import evaluation, intervals


def photos(n, only_first, only_second):
    """Differences of one pair of inputs, float (n, 1)."""
    column = np.zeros(n)
    column[:only_first] = -1
    column[only_first : only_first + only_second] = 1
    return column[:, None]


def bonett_price(n, only_first, only_second, level=0.95):
    """Interval of a difference of paired shares, percentage points, as Bonett and Price (2012) compute it."""
    first, second = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    error = np.sqrt((first + second - (second - first) ** 2) / (n + 2))
    reach = stats.norm.ppf((1 + level) / 2) * error
    return 100 * (second - first - reach), 100 * (second - first + reach)


def test_photos_of_a_group_are_summed_in_the_order_in_which_groups_come():
    assert intervals.codes(["b", "a", "b"], 3).tolist() == [0, 1, 0]
    assert intervals.codes(None, 3).tolist() == [0, 1, 2]
    sums = intervals.group_sums(np.array([[1.0, 0], [1, -1], [-1, 1]]), ["b", "a", "b"])
    assert sums.tolist() == [[0, 1], [1, -1]]
    with pytest.raises(ValueError, match="3 photos need as many"):
        intervals.codes(["a"], 3)


def test_the_bootstrap_of_two_photos_that_agree_has_the_variance_worked_by_hand():
    """0, 0 and the imaginary +1 and -1: one draw has variance 2 / 4, the mean of four draws an eighth."""
    means = intervals.bootstrap_means(np.zeros((2, 1)), draws=40_000)
    assert means.mean() == pytest.approx(0, abs=0.01)
    assert means.var() == pytest.approx(1 / 8, rel=0.03)


def test_an_expanded_percentile_lies_where_hesterberg_2015_puts_it():
    assert intervals.tail_of_percentile(0.95, 10) == pytest.approx(0.0086, abs=5e-5)
    assert intervals.tail_of_percentile(0.95, 100_000) == pytest.approx(0.025, abs=1e-5)


@pytest.mark.parametrize(("n", "only_first", "only_second"), [(601, 23, 66), (601, 18, 23), (200, 0, 0), (200, 40, 2)])
def test_an_interval_over_photos_is_bonett_and_prices(n, only_first, only_second):
    lo, hi = intervals.paired_bootstrap(photos(n, only_first, only_second), draws=20_000)
    assert (lo[0], hi[0]) == pytest.approx(bonett_price(n, only_first, only_second), abs=0.35)


def test_an_interval_over_photos_is_the_one_scipy_draws():
    differences = photos(80, 6, 17)
    with_imaginary = np.append(differences[:, 0], [1, -1])
    level = 1 - 2 * intervals.tail_of_percentile(0.95, 80)
    scipys = stats.bootstrap(
        (with_imaginary,),
        np.mean,
        n_resamples=20_000,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    lo, hi = intervals.paired_bootstrap(differences, draws=20_000)
    assert (lo[0], hi[0]) == pytest.approx((100 * scipys.low, 100 * scipys.high), abs=0.8)


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=40))
def test_an_interval_holds_the_difference_drawn_a_little_to_0(column):
    lo, hi = intervals.paired_bootstrap(np.array(column, float)[:, None], draws=2000)
    assert -100 <= lo[0] < 100 * sum(column) / (len(column) + 2) < hi[0] <= 100


def test_groups_that_agree_within_themselves_widen_an_interval():
    lean = np.repeat([1.0, -1, 0, 1, 0, 0, -1, 1, 0, 1, 0, -1], 10)[:, None]
    groups = np.repeat(np.arange(12), 10)
    lo, hi = intervals.paired_bootstrap(lean)
    lo_grouped, hi_grouped = intervals.paired_bootstrap(lean, groups)
    assert hi_grouped - lo_grouped > 2 * (hi - lo)


def test_below_ten_groups_or_two_photos_there_is_no_interval():
    ten, nine = np.repeat(np.arange(10), 3), np.repeat(np.arange(9), 3)
    lo, _ = intervals.paired_bootstrap(np.zeros((30, 2)), ten)
    assert np.isfinite(lo).all()
    lo, hi = intervals.paired_bootstrap(np.zeros((27, 2)), nine)
    assert np.isnan([lo, hi]).all() and lo.shape == (2,)
    assert np.isnan(intervals.paired_bootstrap(np.zeros((1, 1)))).all()


def test_the_same_seed_draws_the_same_photos_for_one_pair_and_for_many(monkeypatch):
    differences = np.random.default_rng(0).integers(-1, 2, (50, 3))
    means = intervals.bootstrap_means(differences, draws=500)
    assert np.array_equal(means[:, :1], intervals.bootstrap_means(differences[:, :1], draws=500))
    monkeypatch.setattr(intervals, "CHUNK", 1000)  # some 19 draws at a time
    assert np.array_equal(means, intervals.bootstrap_means(differences, draws=500))


def test_a_frame_of_one_column_has_to_say_so():
    with pytest.raises(ValueError, match="a column a pair"):
        intervals.bootstrap_means(np.zeros(5))


def test_a_two_way_interval_that_ends_at_0_has_p_5_percent():
    assert intervals.p_of_two_way(2, 0, 4, draws=10) == pytest.approx(0.05)
    assert intervals.p_of_two_way(-2, -4, 0, draws=5) == pytest.approx(0.05)


def test_where_photos_bring_no_luck_p_is_that_of_a_t_test_over_draws():
    draws = np.array([1.0, 0, 1, 1, -1, 1])
    found = evaluation.two_way_interval(np.repeat(draws[:, None], 7, axis=1))
    p_value = intervals.p_of_two_way(found["mean"], found["lo"], found["hi"], found["n"])
    assert p_value == pytest.approx(stats.ttest_1samp(draws, 0).pvalue)


def test_an_interval_without_width_tells_nothing_of_luck():
    assert intervals.p_of_two_way(0, 0, 0, draws=10) == 1
    assert np.isnan(intervals.p_of_two_way(100, 100, 100, draws=10))
    assert np.isnan(intervals.p_of_two_way(3, float("nan"), float("nan"), draws=1))
