"""How sure an answer is: worked by hand, and held against scikit-learn where it has the measure."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.calibration import calibration_curve

from fishlib.beyond import calibration, coverage, unknown
from fishlib.scores import confidence as sure

LOG = np.log([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])


def test_shares_margin_and_score_by_hand():
    np.testing.assert_allclose(sure.shares(LOG), np.exp(LOG))
    np.testing.assert_allclose(sure.margin(np.exp(LOG)), [0.5, 0.25])
    np.testing.assert_allclose(sure.unknown_score(LOG), -np.log([0.7, 0.5]))
    np.testing.assert_allclose(sure.shares(LOG[:1], 0.5), [[0.49 / 0.54, 0.04 / 0.54, 0.01 / 0.54]])
    assert sure.margin(np.ones((2, 1))).tolist() == [1, 1]


@given(arrays(float, (5, 4), elements=st.floats(-50, 50)), st.floats(0.05, 20))
def test_a_temperature_changes_no_answer(logits, heat):
    calm = sure.shares(logits, heat)
    np.testing.assert_allclose(calm.sum(axis=1), 1)
    best = np.take_along_axis(calm, logits.argmax(axis=1)[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(best, calm.max(axis=1))


def test_the_calibration_error_by_hand():
    confidence = np.array([0.95, 0.91, 0.55, 0.51, 0.2])
    right = np.array([1, 0, 1, 1, 0])
    found = calibration.reliability(confidence, right)
    assert found["n"].tolist() == [1, 2, 2]
    np.testing.assert_allclose(found["confidence"], [20, 53, 93])
    np.testing.assert_allclose(found["right"], [0, 100, 50])
    assert calibration.expected_error(confidence, right) == pytest.approx((1 * 20 + 2 * 47 + 2 * 43) / 5)


def test_reliability_is_scikit_learns():
    random = np.random.default_rng(0)
    confidence = random.random(300)
    right = random.random(300) < confidence**2
    found = calibration.reliability(confidence, right)
    share, mean = calibration_curve(right, confidence, n_bins=calibration.BINS)
    np.testing.assert_allclose(found["right"], 100 * share)
    np.testing.assert_allclose(found["confidence"], 100 * mean)


def test_a_temperature_that_was_put_in_is_found():
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 5)) * 2
    labels = np.array([random.choice(5, p=row) for row in sure.shares(logits)])
    assert calibration.temperature(3 * logits, labels) == pytest.approx(3, rel=0.06)
    assert calibration.temperature(logits / 3, labels) == pytest.approx(1 / 3, rel=0.06)


def test_answers_that_are_all_right_tell_no_temperature():
    assert calibration.temperature(LOG, np.array([0, 1]), otherwise=7.0) == 7.0
    assert calibration.temperature(LOG[:0], np.array([], int)) == 1.0


def test_what_a_promise_takes():
    assert [coverage.fewest(95), coverage.fewest(99), coverage.fewest(50)] == [19, 99, 1]
    confidence = np.linspace(1, 0.1, 19)
    assert coverage.threshold(confidence, np.ones(19), 95) == pytest.approx(0.1)
    assert coverage.threshold(confidence[:18], np.ones(18), 95) == math.inf
    assert coverage.threshold(confidence, np.ones(19), 99) == math.inf
    assert coverage.threshold([], [], 95) == math.inf


def test_the_threshold_by_hand():
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    right = np.array([1, 1, 1, 0, 1, 0])
    # (wrong + 1) / (unchecked + 1): 1/2, 1/3, 1/4, 2/5, 2/6, 3/7
    assert coverage.threshold(confidence, right, 75) == 0.7
    assert coverage.threshold(confidence, right, 66) == 0.5
    assert coverage.threshold(confidence, right, 80) == math.inf


def test_equally_sure_photos_stay_together():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.2])
    assert coverage.threshold(confidence, [1, 1, 1, 0, 0], 75) == math.inf  # three of the four would have done
    assert coverage.curve(confidence, np.array([1, 1, 1, 0, 0])).to_numpy().tolist() == [[0, 60], [20, 75]]


def test_what_the_other_half_says_by_hand():
    found = coverage.held([0.9, 0.8, 0.7, 0.2], [1, 0, 1, 0], 0.7, 95)
    assert [found[name] for name in ("n", "unchecked", "right", "percent", "check")] == [4, 3, 2, 200 / 3, 25]
    assert found["lo"] < 200 / 3 < found["hi"] and found["check_lo"] < 25 < found["check_hi"]
    nothing = coverage.held([0.9], [1], math.inf, 95)
    assert nothing["check"] == 100 and math.isnan(nothing["percent"]) and math.isnan(nothing["lo"])
    assert math.isnan(coverage.held([0.9, 0.8], [1, 1], 0.5, 95, grouped=True)["lo"])


def test_by_the_name_that_a_person_sees():
    found = coverage.by_species(["cod", "ling", "cod"], [0.9, 0.9, 0.1], [1, 0, 1], 0.5).set_index("species")
    assert found.loc["cod", ["n", "unchecked", "right", "check"]].tolist() == [2, 1, 1, 50]
    assert found.loc["ling", ["n", "unchecked", "right"]].tolist() == [1, 1, 0]


def test_a_promise_is_kept_on_photos_that_did_not_choose_the_threshold():
    """Of many pairs of halves, the unchecked of the second are right as often as said."""
    random = np.random.default_rng(0)
    right_there, unchecked = 0, 0
    for _ in range(200):
        confidence = random.beta(9, 1, (2, 120))
        right = random.random((2, 120)) < confidence
        at = coverage.threshold(confidence[0], right[0], 95)
        found = coverage.held(confidence[1], right[1], at, 95)
        right_there += found["right"]
        unchecked += found["unchecked"]
    assert 94.5 < 100 * right_there / unchecked < 97


def test_a_left_out_species_that_looks_like_none_is_seen():
    labels = np.array([0, 0, 1, 1, 2])
    logits = np.array([[9, 0, 0], [8, 1, 0], [0, 9, 1], [1, 8, 0], [0, 0, 7.0]])
    found = unknown.areas(labels, ["cod", "ling", "tuna"], lambda t: np.delete(logits, t, axis=1)).set_index("species")
    assert found.loc["cod", "unknown_score"] == 1 and found.loc["cod", "n"] == 2 and found.loc["cod", "n_known"] == 3
    assert list(found.index) == ["cod", "ling", "tuna", "mean over species"]
    assert found.loc["mean over species", "unknown_score"] == pytest.approx(found["unknown_score"][:3].mean())


def test_the_area_is_the_share_of_pairs_in_which_the_unknown_photo_is_the_stranger_one():
    is_unknown = np.array([True, True, False, False, False])
    scores = np.array([0.9, 0.4, 0.1, 0.4, 0.6])  # of six pairs: four are in order, one is a tie, one is not in order
    assert unknown.area(scores, is_unknown) == pytest.approx((4 + 1 / 2) / 6)


def test_one_species_has_nothing_to_be_told_from():
    assert unknown.areas(np.zeros(3, int), ["cod"], None).empty
    assert math.isnan(unknown.area(np.arange(3), np.zeros(3, bool)))
    assert unknown.threshold(np.arange(101)) == 95 and unknown.threshold(np.array([])) == math.inf


def test_curves_end_where_nothing_is_checked():
    found = coverage.curve(np.array([0.9, 0.1, 0.5]), np.array([1, 0, 1]))
    assert isinstance(found, pd.DataFrame)
    np.testing.assert_allclose(found.to_numpy(), [[0, 200 / 3], [100 / 3, 100], [200 / 3, 100]])
