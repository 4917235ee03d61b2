"""The share that each input was named right, with its interval, on counts worked by hand."""

import math

import pandas as pd
import pytest

from fishlib.beyond import inputs
from fishlib.scores import evaluation
from fishlib.show.report import first_page


def test_answers_keep_wilsons_interval_and_the_order_of_inputs():
    shares = pd.DataFrame(
        {"variant": ["mask", "original", "crop_mask_red"], "n": 10, "micro_f1": [50.0, 80.0, 1.0], "lo": 1.0, "hi": 2.0}
    )
    rows = inputs.of_answers(shares, inputs.WITHOUT)
    assert rows["variant"].tolist() == ["original", "mask"] and rows["percent"].tolist() == [80, 50]
    assert list(rows) == inputs.COLUMNS


def test_draws_add_the_luck_of_photos_to_that_of_draws():
    draws = pd.DataFrame({"variant": "mask", "n_test": 100, "n_correct": [40, 60]})
    [row] = inputs.of_draws(draws, "few", grouped=False).to_dict("records")
    # variance 200 between draws, halved; 50 * 50 / 100 of the photos; t with one degree of freedom: 12.706
    assert row["percent"] == 50 and row["lo"] == max(0, 50 - 12.706 * math.sqrt(100 + 25)) and row["hi"] == 100
    draws["n_correct"] = [50, 50]
    [row] = inputs.of_draws(draws.assign(n_test=10_000, n_correct=5000), "few", grouped=False).to_dict("records")
    assert row["hi"] - row["percent"] == pytest.approx(12.706 * 0.5, abs=0.01)
    assert inputs.of_draws(draws, "few", grouped=True)["lo"].isna().all()


def test_half_splits_have_the_interval_of_the_photos_that_one_split_judges():
    shares = pd.DataFrame({"learnt_from": ["the same input"], "variant": ["crop"], "n": [20], "micro_f1": [75.0]})
    [row] = inputs.of_halves(shares, "the same input", inputs.FROM_SAME, grouped=False).to_dict("records")
    assert (row["lo"], row["hi"]) == evaluation.wilson(15, 20)


def test_the_picture_puts_the_papers_value_beside_its_own_question_alone():
    frames = []
    for way in (inputs.WITHOUT, "with 5 photos of each species to learn from"):
        frames.append([way, "original", 10, 50.0, 25.0, 75.0])
    drawing = first_page.picture(pd.DataFrame(frames, columns=inputs.COLUMNS))
    first, second = (group["rows"][0] for group in drawing["groups"])
    assert first["x"] == (first_page.LEFT + first_page.RIGHT) / 2 and first["text"] == "50.0 % (25 to 75)"
    assert first["paper"] == pytest.approx(first_page.LEFT + 4.9 * 73.2, abs=0.1) and second["paper"] is None
    assert "Original 50.0 % (25 to 75), paper 73.2 %" in drawing["said"]
    assert first_page.picture(pd.DataFrame(columns=inputs.COLUMNS)) is None
