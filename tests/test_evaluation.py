import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fishlib.scores import evaluation as ev

NAMES = st.sampled_from(["キハダ", "Sarda_orientalis", "shrimp", '<b>"x"|&_%'])


def grid(*rows):
    return np.array([[c == "#" for c in row] for row in rows])


FISH = grid("......", ".####.", ".####.", "......")
TAIL = grid("......", "....#.", "....#.", "......")


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=40))
def test_micro_f1_is_the_accuracy_in_percent(pairs):
    true, predicted = zip(*pairs, strict=True)
    right = sum(t == p for t, p in pairs)
    assert ev.micro_f1(true, predicted) == pytest.approx(100 * right / len(pairs))


@pytest.mark.parametrize(("true", "predicted"), [([], []), (["a"], ["a", "b"])])
def test_micro_f1_refuses_lists_it_cannot_compare(true, predicted):
    with pytest.raises(ValueError, match="equally long"):
        ev.micro_f1(true, predicted)


@given(st.integers(1, 700), st.data())
def test_wilson_holds_the_share_and_stays_in_bounds(n, data):
    k = data.draw(st.integers(0, n))
    lo, hi = ev.wilson(k, n)
    assert -1e-9 <= lo <= 100 * k / n + 1e-9 and 100 * k / n - 1e-9 <= hi <= 100 + 1e-9 and lo < hi


def test_wilson_equals_scipys_and_narrows_with_n():
    expected = binomtest(440, 601).proportion_ci(method="wilson")
    assert ev.wilson(440, 601) == pytest.approx((100 * expected.low, 100 * expected.high))
    assert np.ptp(ev.wilson(440, 601)) < np.ptp(ev.wilson(44, 60))


def test_wilson_without_photos_says_nothing():
    assert ev.wilson(0, 0) == (0, 100)
    with pytest.raises(ValueError, match="cannot be right"):
        ev.wilson(3, 2)


def test_mcnemar_is_a_sign_test_on_the_photos_that_changed():
    a, b = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 1, 1, 1, 1, 1, 0]
    result = ev.mcnemar(a, b)
    assert [result[k] for k in ("both", "only_a", "only_b", "neither", "n")] == [2, 1, 6, 1, 10]
    assert result["difference"] == 50
    assert result["p_value"] == pytest.approx(binomtest(1, 7).pvalue)


def test_mcnemar_without_a_change_has_p_1():
    assert ev.mcnemar([1, 0], [1, 0])["p_value"] == 1


@pytest.mark.parametrize("b", [[1], []])
def test_mcnemar_wants_the_same_photos(b):
    with pytest.raises(ValueError, match="same photos"):
        ev.mcnemar([1, 0] if b else [], b)


def test_the_interval_of_draws_adds_the_luck_of_the_photos():
    differences = np.array([[1, 0, 1, np.nan], [0, 0, np.nan, 1], [1, -1, 1, 1]], float)
    draws, photos = np.array([200, 100, 200]) / 3, np.array([200 / 3, -100 / 3, 100, 100])
    draws[2] = 50
    found = ev.two_way_interval(differences)
    error = math.sqrt(draws.var(ddof=1) / 3 + photos.var(ddof=1) / 4)
    assert found["n"] == 3 and found["mean"] == pytest.approx(draws.mean())
    assert found["hi"] - found["mean"] == pytest.approx(4.302652729911275 * error)  # t(0.975, 2)
    assert found["hi"] - found["mean"] == pytest.approx(found["mean"] - found["lo"])


def test_one_draw_or_one_photo_has_no_interval_and_an_always_drawn_photo_no_say():
    found = ev.two_way_interval(np.array([[1.0, 0, np.nan]]))
    assert found["mean"] == 50 and math.isnan(found["lo"]) and math.isnan(found["hi"])
    assert math.isnan(ev.two_way_interval(np.array([[1.0, np.nan], [1, np.nan]]))["hi"])


def test_the_interval_covers_nothing_about_as_often_as_it_says():
    """Draws that share photos with effects of their own: the true difference is 0."""
    random, covered = np.random.default_rng(0), []
    for _ in range(200):
        photo, draw = random.normal(0, 0.3, 80), random.normal(0, 0.05, (10, 1))
        found = ev.two_way_interval(np.clip(np.rint(photo + draw + random.normal(0, 0.4, (10, 80))), -1, 1))
        covered.append(found["lo"] <= 0 <= found["hi"])
    assert np.mean(covered) >= 0.93


PREDICTIONS = pd.DataFrame(
    [
        ("shrimp", "shrimp", 1, 1),
        ("shrimp", "キハダ", 0, 1),
        ("Thunnus_albacares", "Thunnus_albacares", 1, 1),
        ("Sarda_orientalis", "shrimp", 0, 1),
        ("Sarda_orientalis", "Sarda_orientalis", 1, 0),
    ],
    columns=["species", "predicted", "correct", "counted"],
)


def test_recall_counts_only_counted_photos_in_the_papers_order():
    table = ev.recall_by_species(PREDICTIONS)
    assert table["species"].tolist() == ["Sarda_orientalis", "Thunnus_albacares", "shrimp"]
    assert table["n"].tolist() == [1, 1, 2] and table["n_correct"].tolist() == [0, 1, 1]
    assert table["recall"].tolist() == [0, 100, 50]
    assert (table["lo"] <= table["recall"] + 1e-9).all() and (table["recall"] <= table["hi"] + 1e-9).all()


def test_status_decides_what_counts_without_a_counted_column():
    frame = pd.DataFrame({"status": ["ok", "no_detection", "mask_rejected", "excluded", "unreadable"]})
    assert ev.counted(frame).index.tolist() == [0, 1, 2]


def test_confusion_loses_no_photo():
    table = ev.confusion(PREDICTIONS, order=["shrimp"])
    assert table.to_numpy().sum() == 4
    assert table.index.tolist() == table.columns.tolist() and table.index[0] == "shrimp"
    assert set(table.index) == {"shrimp", "キハダ", "Thunnus_albacares", "Sarda_orientalis"}
    assert table.loc["shrimp", "キハダ"] == 1 and table.loc["shrimp", "shrimp"] == 1


@pytest.mark.parametrize(
    ("mask", "kind", "iou", "precision", "recall", "fin_recall"),
    [
        (FISH, "good", 1, 1, 1, 1),
        (None, "missed", 0, 0, 0, 0),
        (np.zeros_like(FISH), "missed", 0, 0, 0, 0),
        (grid("#.....", "......", "......", "......"), "missed", 0, 0, 0, 0),
        (FISH & ~TAIL, "part only", 0.75, 1, 0.75, 0),
        (np.ones_like(FISH), "extra region", 1 / 3, 1 / 3, 1, 1),
        (grid("###...", ".#....", "......", "......"), "wrong region", 1 / 11, 1 / 4, 1 / 8, 0),
    ],
)
def test_mask_scores_and_the_failure_they_name(mask, kind, iou, precision, recall, fin_recall):
    scores = ev.mask_scores(mask, FISH, TAIL)
    expected = {"iou": iou, "precision": precision, "recall": recall, "fin_recall": fin_recall}
    assert scores == pytest.approx(expected)
    assert ev.failure_kind(scores) == kind


def test_a_lost_fin_still_counts_as_well_cut():
    scores = ev.mask_scores(FISH & ~TAIL, FISH, TAIL)
    kind = ev.failure_kind(scores, good_iou=0.7)
    assert kind == "fin lost" and kind in ev.WELL_CUT


def test_without_truth_or_fins_there_is_no_score():
    blank = ev.mask_scores(FISH, np.zeros_like(FISH))
    assert all(math.isnan(v) for v in blank.values()) and ev.failure_kind(blank) == "not scored"
    plain = ev.mask_scores(FISH, FISH)
    assert math.isnan(plain["fin_recall"]) and ev.failure_kind(plain) == "good"


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match="one size"):
        ev.mask_scores(FISH[:, :3], FISH)


@given(st.lists(st.booleans(), min_size=16, max_size=16), st.lists(st.booleans(), min_size=16, max_size=16))
def test_iou_is_the_harmonic_bound_of_precision_and_recall(a, b):
    mask, truth = np.reshape(a, (4, 4)), np.reshape(b, (4, 4))
    scores = ev.mask_scores(mask, truth)
    if (mask & truth).any():
        assert 1 / scores["iou"] == pytest.approx(1 / scores["precision"] + 1 / scores["recall"] - 1)
    if truth.any():
        assert 0 <= scores["iou"] <= min(scores["precision"], scores["recall"]) <= 1


def test_every_variant_is_compared_with_the_originals_by_photo():
    rows = [(f"{i}.jpg", v, int(c)) for v, r in {"original": "1100", "mask": "0111"}.items() for i, c in enumerate(r)]
    frame = pd.DataFrame(rows, columns=["photo_id", "variant", "correct"]).sample(frac=1, random_state=0)
    expected = {
        "variant": "mask",
        "micro_f1": 75,
        "difference": 25,
        "only_original": 1,
        "only_variant": 2,
        "p_value": 1,
    }
    assert ev.against_original(frame).to_dict("records") == [expected]
