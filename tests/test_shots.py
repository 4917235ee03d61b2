"""Figure 3 without the companions of drawn photos, and which inputs can be told from the best."""

import numpy as np
import pandas as pd

from fishlib.beyond import shots
from fishlib.naming.sweep import Result

NAN = np.nan
PHOTOS = pd.DataFrame({"photo_id": ["a", "b", "c", "d"]})
TRIPS = pd.Series(["t", "u", "t", "v"], index=["d", "b", "a", "c"])  # a and d, b, c


def test_companions_of_what_a_draw_learnt_from_are_not_judged():
    right = np.array([[NAN, 1, 0, 1], [1, NAN, 0, 1]])
    found = shots.without_companions(right, np.array(["t", "u", "v", "t"]))
    assert np.array_equal(found, [[NAN, 1, 0, NAN], [1, NAN, 0, 1]], equal_nan=True)
    assert right[0, 3] == 1  # the answers themselves stay


def test_groups_are_joined_by_photo_and_empty_draws_go():
    both = Result("none", "crop", 1, np.array([[NAN, 1, 0, 1], [NAN, NAN, NAN, 1.0]]))
    none = Result("none", "crop", 3, np.array([[NAN, NAN, NAN, 1.0]]))
    [left] = shots.leave_out([both, none], PHOTOS, TRIPS)
    assert (left.k, left.variant) == (1, "crop")
    assert np.array_equal(left.right, [[NAN, 1, 0, NAN]], equal_nan=True)


def test_a_choice_a_pretraining_and_k():
    good = np.tile([1.0, 1, 1, 1, 1, 0], (3, 10))
    results = [Result(p, v, k, good) for p in ("none", "imagenet") for k in (1, 2) for v in ("original", "mask")]
    results.append(Result("alone", "mask", 1, good))
    found = shots.choices(results)
    assert list(found) == shots.CHOICE_COLUMNS
    assert found.groupby(["pretraining", "k"], sort=False).size().to_dict() == {
        ("none", 1): 2,
        ("none", 2): 2,
        ("imagenet", 1): 2,
        ("imagenet", 2): 2,
    }
    assert (found["n"] == 60).all() and found["best"].tolist() == [True, False] * 4
    assert list(shots.choices([])) == shots.CHOICE_COLUMNS
