"""How sure a name is, as people read it: sentences, tables and figures of halves made up by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from fishlib.beyond import coverage, sureness, unknown
from fishlib.beyond.kshots import COLUMNS, FIXED, LEFT_OUT, Shots
from fishlib.naming.heads import ADAM, SIMPLE_SHOT
from fishlib.show import sure

pytestmark = pytest.mark.usefixtures("strict_figures")


@pytest.fixture
def found():
    """100 judged photos of two species: the 40 surest right, of the rest every other; nothing promised for 99 %."""
    confidence = np.linspace(1.0, 0.21, 100)
    right = np.array([1] * 40 + [0, 1] * 30)
    photos = pd.DataFrame({"variant": "crop", "half": sureness.JUDGED, "confidence": confidence, "correct": right})
    photos["species"] = ["cod", "ling"] * 50
    promises = pd.DataFrame(
        [coverage.held(confidence, right, at, promise) for promise, at in ((95, confidence[39]), (99, math.inf))]
    ).assign(variant="crop")
    inputs = pd.DataFrame([["crop", 1, 100, 70.0, 0.5, 20.0, 4.0]], columns=sureness.INPUT_COLUMNS)
    named = ["cod"] * 50 + ["ling"] * 50
    of_species = coverage.by_species(named, confidence, right, confidence[39])
    areas = pd.DataFrame([["cod", 50, 50, 0.912, 0.8, 0.7]], columns=unknown.COLUMNS)
    return sureness.Sure("crop", photos, inputs, promises, of_species, areas, [])


def test_the_promise_is_said_with_what_the_other_half_says_of_it(found):
    chosen, for_95, for_99 = sure.promise(found).splitlines()
    assert "**Crop**" in chosen
    assert "check **60 %** of the photos (50 to 69)" in for_95 and "40 of 40 are right, 100.0 % (91 to 100)" in for_95
    assert for_95.endswith("The promise is kept there.")
    assert for_99 == "- For 99 %: check **all**; it takes 99 sure answers without an error."


@pytest.mark.parametrize(
    ("right", "of", "says"),
    [
        (19, 20, "kept there"),
        (37, 40, "within the interval"),
        (20, 40, "not kept there"),
        (0, 0, "Nothing of that half was so sure"),
    ],
)
def test_a_promise_that_is_not_kept_is_called_so(found, right, of, says):
    confidence = np.array([0.9] * of + [0.1] * 10)
    correct = np.array([1] * right + [0] * (of - right) + [0] * 10)
    row = coverage.held(confidence, correct, 0.5, 95)
    assert says in sure.promise(found._replace(promises=pd.DataFrame([row]).assign(variant="crop")))


def test_tables_name_what_is_to_check(found):
    [row] = sure.inputs(found).to_dict("records")
    assert row["input"] == "Crop" and row["check % for 95 %"] == "60 (50 to 69)" and row["ECE with it"] == "4.0"
    by_name = sure.species(found).set_index("named as")
    assert by_name.index.tolist() == ["ling", "cod"]  # the most to check first
    assert by_name["to check"].tolist() == [50, 10] and by_name.loc["ling", "rest right %"] == "–"
    assert sure.left_out(found).loc[0, "largest output"] == 0.91


def test_figures_draw_promise_and_error(found):
    figure = sure.figure(found)
    reliability, curve = figure.axes
    assert "ECE" in reliability.get_title() and len(reliability.patches) == 8  # a bar a bin with photos
    labels = [text.get_text() for text in curve.get_legend().get_texts()]
    assert labels[:2] == ["these photos", "99 % promised: check all"]
    assert labels[2] == "chance (1 of 2 species)" and labels[3].startswith("95 % promised: check ")
    assert all(handle.get_visible() for handle in curve.get_legend().legend_handles)
    assert "photos" in [text.get_text() for text in reliability.texts]  # what the numbers over the bars are

    rows = []
    for head in (ADAM, SIMPLE_SHOT):
        for k in (1, 3):
            source = LEFT_OUT if k == 3 else FIXED
            rows.append([head, "crop", k, 2, 22 - 4 * k, 50.0 + k, 1.0, 0.5, source, 20.0, 20.0 if k == 1 else 5.0])
    right, error = sure.shots(Shots(pd.DataFrame(rows, columns=COLUMNS), "none", "crop", 2)).axes
    assert len(right.lines) == 3 and len(error.lines) == 4
    assert right.lines[-1].get_label() == "chance (1 of 4 species)" and set(right.lines[-1].get_ydata()) == {25}
    assert right.get_legend().handlelength > 3  # a dash is seen as one
    assert [line.get_ydata().tolist() for line in error.lines[:2]] == [[20, 20], [5]]
