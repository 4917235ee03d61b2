"""Two heads on K photos a species: which K, what is judged, and what is kept."""

import numpy as np
import pandas as pd
import pytest

from fishlib.beyond import kshots, stage
from fishlib.errors import UserError
from fishlib.files.frames import read_frame
from fishlib.naming import heads
from fishlib.photos.draws import draw_shots, draw_up_to
from fishlib.photos.manifest import curated, scan_photos, write_manifest
from fishlib.removal import segmenting


def test_k_goes_as_far_as_half_of_the_species_can():
    counts = pd.Series({"cod": 30, "ling": 12, "tuna": 6, "trout": 4})
    assert kshots.more_shots(counts, [1, 2, 3]) == [1, 2, 3, 7, 10]  # 11 photos are needed, two species have them
    assert kshots.more_shots(counts, []) == []


def test_beyond_figure_3_a_small_species_gives_all_but_one():
    photos = pd.DataFrame({"species": ["cod"] * 5 + ["ling"] * 2, "photo_id": [f"{i}" for i in range(7)]})
    assert draw_up_to(photos, 1, 0, 0) == draw_shots(photos, 1, 0, 0)
    drawn = draw_up_to(photos, 3, 0, 0)
    assert len(drawn) == 4 and len(set(drawn) & {"5", "6"}) == 1
    assert set(draw_shots(photos, 1, 0, 0)) < set(drawn)
    with pytest.raises(UserError):
        draw_shots(photos, 3, 0, 0)


def test_a_draw_is_judged_on_what_it_did_not_learn_from():
    labels = np.array([0, 0, 0, 1, 1, 1])
    draws = np.array([[0, 3]])

    def head(x, labels, draws, n_classes):
        """Says 0 to all, twice as likely as 1."""
        return np.tile(np.log([2.0, 1.0]), (len(draws), len(labels), 1))

    found = kshots._judge(head, 1.0, np.zeros((6, 1)), labels, draws, fitted=False)
    assert found["micro_f1"].tolist() == [50] and found["temperature"].tolist() == [1]
    assert found["ece"] == pytest.approx([100 * (2 / 3 - 1 / 2)]) and found["ece"] == pytest.approx(found["ece_fixed"])


def test_a_temperature_is_fitted_on_photos_that_were_left_out():
    labels = np.repeat([0, 1], 6)
    draws = np.array([[0, 1, 2, 3, 6, 7, 8, 9]])
    asked = []

    def head(x, labels, draws, n_classes):
        """Much too sure of class 0 whatever it sees, so that the best temperature is a large one."""
        asked.append(draws.shape[1])
        return np.tile([9.0, 0.0], (len(draws), len(labels), 1))

    found = kshots._judge(head, 1.0, np.zeros((12, 1)), labels, draws, fitted=True)
    assert asked == [8, 6, 6, 6, 6]  # all, then one of each species left out
    assert found["temperature"][0] > 20 and found["ece_fixed"][0] > 49 and found["ece"][0] < 15


def test_both_heads_are_kept_and_learn_once(tiny_study, monkeypatch):
    photos = scan_photos(tiny_study)
    write_manifest(tiny_study, photos)
    assert stage.heads(tiny_study, "mask") is None  # no figure 3 to stand beside
    found = segmenting.run(tiny_study, tiny_study.method, photos)
    first = kshots.run(tiny_study, curated(tiny_study), found, "mask")
    assert first.variant == "mask" and first.pretraining == "none"
    assert set(first.frame["head"]) == {heads.ADAM, heads.SIMPLE_SHOT} and set(first.frame["k"]) == {1, 2}
    assert set(first.frame["n_test"]) == {18, 15} and set(first.frame["temperature_from"]) == {kshots.FIXED}
    assert len(read_frame(tiny_study.out / kshots.FILE, kshots.COLUMNS)) == 2 * 2 * 4

    monkeypatch.setattr(kshots, "_judge", None)
    again = kshots.run(tiny_study, curated(tiny_study), found, "no input")
    pd.testing.assert_frame_equal(again.frame, first.frame)
    assert again.variant == "original"
