"""How often intervals and verdicts are right, in short forms of the simulations that `make bench` runs at length.

The draws are seeded, so that the same short form comes out every time; bounds are as wide as few repetitions need.
"""

import numpy as np
import pytest

from bench import statistics
from fishlib.beyond import verdict


def mean(covered):
    return np.mean(list(covered.values()))


def test_wilson_intervals_hold_the_share_as_often_as_they_say():
    assert 0.93 <= mean(statistics.wilson_coverage(2000)) <= 0.97


def test_bootstrap_intervals_hold_the_difference_as_often_as_they_say():
    assert 0.93 <= mean(statistics.bootstrap_coverage(100, draws=1000)) <= 0.97


def test_bootstrap_intervals_over_groups_do_as_well():
    assert mean(statistics.group_coverage(100, draws=1000)) >= 0.93


def test_two_way_intervals_err_to_the_wide_side():
    assert mean(statistics.two_way_coverage(20)) >= 0.93


@pytest.mark.parametrize("kinds", [statistics.verdict_kinds, statistics.trained_verdict_kinds])
def test_a_verdict_sees_what_is_there_and_nothing_where_nothing_is(kinds):
    assert kinds(0.0, 200, 40).get(verdict.NONE, 0) >= 0.9
    assert kinds(0.1, 600, 40).get(verdict.HELPS, 0) >= 0.9


def test_made_up_answers_differ_by_as_much_as_they_are_asked_to():
    random = np.random.default_rng(0)
    first, second = statistics.pairs(random, 2000, 0.6, 0.05, 50)
    assert first.mean() == pytest.approx(0.6, abs=0.01)
    assert (second - first).mean() == pytest.approx(0.05, abs=0.01)
    assert (second != first).mean() == pytest.approx(statistics.DISCORDANT, abs=0.01)
    right = statistics.trained_answers(random, 4000, 0.6, 0.1, draws=20, drawn=0.2)
    assert np.nanmean(right["original"]) == pytest.approx(0.6, abs=0.03)
    assert np.nanmean(right["mask"]) == pytest.approx(0.7, abs=0.03)
    assert np.isnan(right["mask"]).mean() == pytest.approx(0.2, abs=0.01)
