"""What photos can show: worked by hand, and against a simulation with statsmodels' McNemar test."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from fishlib.scores import power


@pytest.mark.parametrize(
    ("n", "discordance", "difference", "by_hand"),
    [
        (5, 1, 1, 0),  # five of five have p = 2 / 32
        (6, 1, 1, 1),  # six of six have p = 2 / 64
        (6, 1, 0, 2 / 64),  # all six for the one or all six for the other
        (6, 0.5, 0.5, 1 / 64),  # all six discordant, and then all for the better input
        (8, 1, 0, 2 / 256),  # 7 of 8 have p = 18 / 256, which is too much
        (9, 1, 0, 20 / 512),  # 8 of 9 have p = 20 / 512
        (100, 0, 0, 0),
    ],
)
def test_power_worked_by_hand(n, discordance, difference, by_hand):
    assert power.mcnemar_power(n, discordance, difference) == pytest.approx(by_hand)


def test_power_is_how_often_statsmodels_test_finds_the_difference():
    random = np.random.default_rng(0)
    n, discordance, difference = 80, 0.3, 0.15
    cells = random.multinomial(n, [(discordance - difference) / 2, (discordance + difference) / 2, 0.7], 3000)
    pairs, times = np.unique(cells[:, :2], axis=0, return_counts=True)
    found = [mcnemar([[0, a], [b, 0]], exact=True).pvalue < 0.05 for a, b in pairs]
    assert power.mcnemar_power(n, discordance, difference) == pytest.approx(np.average(found, weights=times), abs=0.03)


def test_shares_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="cannot come from"):
        power.mcnemar_power(100, 0.1, 0.2)
    with pytest.raises(ValueError, match="cannot be looked for"):
        power.photos_for(0, 0.2)


def test_no_difference_shows_on_five_photos():
    assert math.isnan(power.smallest_difference(5, 0.2))
    assert power.smallest_difference(6, 0.2) < 100


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 2000), st.floats(0.02, 0.6))
def test_the_smallest_difference_shows_with_80_percent_chance_and_a_smaller_one_does_not(n, discordance):
    smallest = power.smallest_difference(n, discordance) / 100
    assert power.mcnemar_power(n, max(discordance, smallest), smallest) >= 0.8
    less = 0.98 * smallest
    assert power.mcnemar_power(n, max(discordance, less), less) < 0.8


@pytest.mark.parametrize("points", power.POINTS)
def test_as_many_photos_as_needed_show_the_difference_and_nine_tenths_do_not(points):
    needed = power.photos_for(points, 0.15)
    assert power.mcnemar_power(needed, 0.15, points / 100) >= 0.8
    assert power.mcnemar_power(int(0.9 * needed), 0.15, points / 100) < 0.8


def test_a_difference_larger_than_the_discordance_brings_its_own():
    assert power.photos_for(100, 0.01) == 6


def test_by_an_interval_the_quantiles_are_those_of_its_law():
    normal = (1.959964 + 0.841621) / (2 * 1.959964)
    assert power.smallest_by_interval(-1, 3) == pytest.approx(4 * normal, abs=1e-4)
    student = (2.262157 + 0.883404) / (2 * 2.262157)  # t with 9 degrees of freedom, from a printed table
    assert power.smallest_by_interval(-1, 3, draws=10) == pytest.approx(4 * student, abs=1e-4)
    assert math.isnan(power.smallest_by_interval(float("nan"), float("nan")))
    assert math.isnan(power.smallest_by_interval(2.5, 2.5, draws=10))  # every draw agreed


def test_half_the_difference_needs_four_times_as_many_photos():
    assert power.times_as_many(2, 4) == 4
    assert power.times_as_many(5, 4) == 1
