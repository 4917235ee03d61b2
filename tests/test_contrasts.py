"""Contrasts in families: worked by hand, and against statsmodels and scipy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score
from statsmodels.stats.multitest import multipletests

from fishlib.scores import contrasts, evaluation, intervals

P_VALUES = st.lists(st.floats(1e-6, 1), min_size=1, max_size=12)
ANSWERS = {  # eight photos, right or wrong with each input
    "original": [1, 1, 1, 1, 0, 0, 0, 0],
    "crop": [1, 1, 1, 1, 1, 1, 1, 1],
    "mask": [0, 1, 1, 1, 1, 0, 0, 0],
    "crop_mask": [1, 1, 1, 1, 0, 0, 0, 0],
    "crop_mask_white": [0, 0, 0, 0, 0, 0, 0, 0],
    "crop_mask_d3": [1, 1, 1, 1, 1, 0, 0, 0],
}


def predictions(answers=ANSWERS, counted=1):
    wide = pd.DataFrame(answers)
    wide.insert(0, "photo_id", [f"tuna/{i}.jpg" for i in range(len(wide))])
    long = wide.melt("photo_id", var_name="variant", value_name="correct")
    return long.assign(species="tuna", predicted=np.where(long["correct"] == 1, "tuna", "cod"), counted=counted)


def test_holm_by_hand():
    assert contrasts.holm([0.01, 0.04, 0.03, np.nan]) == pytest.approx([0.03, 0.06, 0.06, np.nan], nan_ok=True)
    assert contrasts.holm([]).shape == (0,)


@given(P_VALUES)
def test_holm_is_statsmodels(p_values):
    assert contrasts.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_signs_of_groups_flipped_by_hand():
    """Sums 3 and 1 of two groups: 4 and -4 of the four totals 4, 2, -2, -4 lie as far out. Sums 3 and -1: all do."""
    assert contrasts.sign_flip([1, 1, 1, 1], ["a", "a", "a", "b"]) == 0.5
    assert contrasts.sign_flip([1, 1, 1, -1], ["a", "a", "a", "b"]) == 1
    assert contrasts.sign_flip([0, 0]) == 1


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=30))
def test_without_groups_flipped_signs_are_mcnemar(differences):
    d = np.array(differences)
    assert contrasts.sign_flip(d) == pytest.approx(evaluation.mcnemar(d < 0, d > 0)["p_value"])


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(0, 6)), min_size=2, max_size=30))
def test_flipped_signs_are_scipys_permutations(photos):
    differences, groups = np.transpose(photos)
    sums = intervals.group_sums(differences[:, None].astype(float), groups.tolist())
    two_or_more = np.append(sums[:, 0], 0)  # scipy asks for them; a group without a sum changes nothing
    exact = stats.permutation_test((two_or_more,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert contrasts.sign_flip(differences, groups.tolist()) == pytest.approx(exact.pvalue)


def test_families_are_those_of_the_papers_tables():
    found = {name: (against, variants) for name, against, variants in contrasts.families(ANSWERS)}
    assert found == {
        "table 2": ("original", ["crop", "mask", "crop_mask"]),
        "table 3": ("crop_mask", ["crop_mask_white"]),
        "table 4": ("crop_mask", ["crop_mask_d3"]),
        "exploratory": ("original", ["crop_mask_white", "crop_mask_d3"]),
    }
    assert contrasts.families(["crop", "crop_mask_white"]) == []
    assert [family.name for family in contrasts.families(["original", "crop_mask_d3"])] == ["exploratory"]


def test_contrasts_of_eight_photos_by_hand():
    frames = contrasts.from_predictions(predictions())
    table2 = frames["table 2"].set_index("variant")
    assert table2["difference"].tolist() == [50, 0, 0]
    assert table2["only_variant"].tolist() == [4, 1, 0]
    assert table2["only_against"].tolist() == [0, 1, 0]
    assert table2["p_value"].tolist() == [0.125, 1, 1]  # 2 / 2^4
    assert table2["p_holm"].tolist() == [0.375, 1, 1]
    assert (table2["test"] == "exact McNemar").all() and (table2["n"] == 8).all()
    [white] = frames["table 3"].to_dict("records")
    assert (white["against"], white["difference"], white["p_holm"]) == ("crop_mask", -50, 0.125)
    assert frames["exploratory"]["p_holm"].isna().all()
    assert (frames["exploratory"]["note"] == "exploratory").all()
    assert all(list(frame) == contrasts.COLUMNS for frame in frames.values())


def test_photos_that_do_not_count_are_left_out():
    rows = predictions()
    rows.loc[rows["photo_id"] == "tuna/4.jpg", "counted"] = 0
    crop = contrasts.from_predictions(rows)["table 2"].set_index("variant").loc["crop"]
    assert (crop["n"], crop["only_variant"]) == (7, 3)
    assert contrasts.from_predictions(predictions(counted=0)) == {}


def test_inputs_of_different_photos_cannot_be_compared():
    with pytest.raises(ValueError, match="different photos"):
        contrasts.from_predictions(predictions().iloc[1:])


def test_groups_take_the_place_of_photos():
    rows = predictions()
    ids = rows["photo_id"].unique()
    groups = pd.Series(["a", "a", "a", "a", "b", "b", "c", "c"], index=ids)
    crop = contrasts.from_predictions(rows, groups)["table 2"].set_index("variant").loc["crop"]
    assert crop["p_value"] == 0.5  # 2 / 2^2: two groups gain, the third changes nothing
    assert (crop["n"], crop["n_groups"], crop["test"]) == (8, 3, "sign-flip over 3 groups")
    assert np.isnan(crop["lo"]) and crop["note"] == "3 groups: below 10 no interval"
    with pytest.raises(ValueError, match="has no group"):
        contrasts.from_predictions(rows, groups.iloc[1:])


def test_draws_are_judged_by_their_two_way_interval():
    random = np.random.default_rng(0)
    right = {name: random.integers(0, 2, (5, 30)).astype(float) for name in ("original", "crop", "mask")}
    learnt = random.random((5, 30)) < 0.3
    for answers in right.values():
        answers[learnt] = np.nan
    found = contrasts.from_draws(right)["table 2"].set_index("variant")
    by_hand = evaluation.two_way_interval(right["mask"] - right["original"])
    assert found.loc["mask", ["difference", "lo", "hi"]].tolist() == [by_hand[c] for c in ("mean", "lo", "hi")]
    assert found.loc["mask", "percent"] == pytest.approx(100 * np.nanmean(right["mask"], axis=1).mean())
    assert found["p_holm"].tolist() == pytest.approx(contrasts.holm(found["p_value"]).tolist())
    assert (found["test"] == "two-way, 5 draws").all()


def test_a_single_draw_has_no_interval_and_says_so():
    right = {"original": np.array([[0.0, 1]]), "crop": np.array([[1.0, 1]])}
    [row] = contrasts.from_draws(right)["table 2"].to_dict("records")
    assert row["difference"] == 50 and np.isnan(row["lo"]) and np.isnan(row["p_holm"])
    assert row["note"] == "a single draw or photo: no interval"


def test_every_pretraining_of_figure_3_is_a_family():
    rows = [(p, v, k, 10, mean, mean - 2, mean + 2) for p in ("a", "b") for v in ("crop", "mask") for k, mean in
            ((1, 0.5), (2, 3.0))]  # fmt: skip
    paired = pd.DataFrame(rows, columns=["pretraining", "variant", "k", "n", "mean", "lo", "hi"])
    found = contrasts.figure3(paired)
    assert found[paired.columns.tolist()].equals(paired)
    alone = intervals.p_of_two_way(3.0, 1.0, 5.0, 10)
    assert found.groupby("pretraining")["p_holm"].min().tolist() == pytest.approx([4 * alone, 4 * alone])
    assert contrasts.figure3(paired.iloc[:0]).empty


def test_what_cannot_be_told_from_the_best():
    draws, n = 6, 200
    photo = np.arange(n) / n
    right = {  # 90, 60 and 91 % right, the same photos in every draw but for one of them
        "original": np.tile((photo < 0.9).astype(float), (draws, 1)),
        "crop": np.tile((photo < 0.6).astype(float), (draws, 1)),
        "mask": np.tile((photo < 0.91).astype(float), (draws, 1)),
    }
    found = contrasts.against_best(right).set_index("variant")
    assert found["best"].tolist() == [False, False, True]
    assert found["percent"].tolist() == pytest.approx([90, 60, 91])
    assert found["difference"].tolist() == pytest.approx([1, 31, 0])
    assert found.loc["crop", "p_holm"] < 0.05 < found.loc["original", "p_holm"]
    assert found.loc["crop", "lo"] < 31 < found.loc["crop", "hi"]
    assert np.isnan(found.loc["mask", ["lo", "hi", "p_holm"]].astype(float)).all()


def test_of_two_equally_good_inputs_the_first_is_called_best():
    same = np.array([[1.0, 0], [0, 1]])
    assert contrasts.against_best({"original": same, "mask": same})["best"].tolist() == [True, False]


def test_shares_bring_wilson_and_macro_f1():
    rows = pd.DataFrame(
        {
            "photo_id": range(6),
            "variant": "crop",
            "species": ["a", "a", "a", "a", "b", "b"],
            "predicted": ["a", "a", "a", "b", "b", "c"],
            "correct": [1, 1, 1, 0, 1, 0],
            "counted": 1,
        }
    )
    [row] = contrasts.shares(rows).to_dict("records")
    assert (row["n"], row["n_correct"]) == (6, 4)
    assert (row["lo"], row["hi"]) == evaluation.wilson(4, 6)
    # a: precision 1, recall 3/4; b: precision 1/2, recall 1/2
    assert row["macro_f1"] == pytest.approx(100 * (6 / 7 + 1 / 2) / 2)
    [grouped] = contrasts.shares(rows, grouped=True).to_dict("records")
    assert np.isnan(grouped["lo"]) and grouped["micro_f1"] == row["micro_f1"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=30))
def test_macro_f1_is_the_mean_over_species_that_have_a_photo(pairs):
    true, named = zip(*pairs, strict=True)
    each = [f1_score([t == s for t in true], [p == s for p in named], zero_division=0) for s in sorted(set(true))]
    assert evaluation.macro_f1(true, named) == pytest.approx(100 * np.mean(each))


def test_macro_f1_of_nothing_is_refused():
    with pytest.raises(ValueError, match="two equally long lists"):
        evaluation.macro_f1([], [])
