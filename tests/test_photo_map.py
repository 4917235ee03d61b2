"""The map of the photos: places by PCA of cached features, points as SVG and as a figure, clicks by hand."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import NASTY, ODD

from fishlib.files.frames import read_frame, write_frame
from fishlib.naming import inference, plane
from fishlib.photos import manifest as manifests
from fishlib.removal import segmenting
from fishlib.show import cases, photo_map
from fishlib.show.widgets import FailureExplorer
from fishlib.show.widgets.explorer import MAP

PLACES = {
    "マサバ/1.png": (0.0, 0.0),
    "マサバ/2.png": (1.0, 0.0),
    f"{ODD}/{NASTY}.png": (0.0, 1.0),
    f"{ODD}/4.png": (1, 1),
}


@pytest.fixture
def placed(made):
    """The run of `made` with a place for four of its photos; the fifth has none."""
    rows = [[photo_id, "original", x, y, 0.6] for photo_id, (x, y) in PLACES.items()]
    rows += [["NA/5.png", "original", None, None, 0.6]]
    rows += [[photo_id, "crop_mask", y, x, 0.5] for photo_id, (x, y) in PLACES.items()]
    write_frame(pd.DataFrame(rows, columns=plane.COLUMNS), made.out / plane.FILE)
    return made


def test_the_longest_axis_comes_first_and_shares_add_up():
    random = np.random.default_rng(0)
    values = random.normal(size=(50, 1)) * [[3.0, 1.0, 0.0]] + random.normal(size=(50, 3)) * 0.01
    places, share = plane.principal(values)
    assert places.shape == (50, 2) and share > 0.99
    assert places[:, 0].std() > 20 * places[:, 1].std()
    assert np.array_equal(places, plane.principal(values)[0])  # the same bits twice


@pytest.mark.parametrize("values", [np.ones((5, 4)), np.zeros((3, 1))])
def test_photos_that_do_not_differ_lie_at_one_place(values):
    places, share = plane.principal(values)
    assert share == 0 and not places.any()


def test_one_dimension_is_a_line():
    places, share = plane.principal(np.array([[0.0], [1.0], [2.0]]))
    assert share == pytest.approx(1) and not places[:, 1].any()


def test_every_photo_of_the_manifest_has_a_row_and_no_network_runs(tiny_study):
    rows = manifests.scan(tiny_study.photos)
    rows.loc[0, "status"] = "excluded"
    manifests.write_manifest(tiny_study, rows)
    found = segmenting.run(tiny_study, "truth", rows)
    inference.run(tiny_study, rows, found)
    record = tiny_study.out / "stages" / "features-none.json"
    before = json.loads(record.read_text())["computed"]
    frame = plane.run(tiny_study, rows, found)
    assert json.loads(record.read_text())["computed"] == before
    assert len(frame) == 4 * len(rows) and frame.x.isna().sum() == 4
    kept = read_frame(tiny_study.out / plane.FILE, plane.COLUMNS)
    assert kept.photo_id.tolist() == frame.photo_id.tolist()
    first = (tiny_study.out / plane.FILE).read_bytes()
    plane.run(tiny_study, rows, found)
    assert (tiny_study.out / plane.FILE).read_bytes() == first


def test_points_are_those_with_a_place_and_say_what_became_of_them(placed):
    rows, said = photo_map.points(placed, cases.table(placed))
    assert set(rows.photo_id) == set(PLACES) and "60 % of the spread" in said
    errors = rows.set_index("photo_id").error
    assert errors["マサバ/1.png"] == "right" and errors["マサバ/2.png"] == "wrong, badly cut"
    other, said = photo_map.points(placed, cases.table(placed, variant="crop_mask_red"), "crop_mask_red")
    assert other.set_index("photo_id").x["マサバ/2.png"] == 0 and "Crop & Mask" in said
    none, said = photo_map.points(placed, cases.table(placed, variant="mask"), "mask")
    assert none.empty and "notebook 03" in said


def test_places_that_are_none_are_left_out(placed):
    rows = read_frame(placed.out / plane.FILE)
    rows.loc[0, "x"], rows.loc[1, "y"], rows["share"] = "inf", "<b>", "much"
    write_frame(rows, placed.out / plane.FILE)
    shown, said = photo_map.points(placed, cases.table(placed))
    assert set(shown.photo_id) == set(list(PLACES)[2:]) and said.endswith("(its two longest axes)")
    assert "<b>" not in photo_map.svg(placed, shown, said, "species", "ja")


def test_names_on_the_map_are_text(placed):
    rows, said = photo_map.points(placed, cases.table(placed))
    for coloured_by in photo_map.COLOURED_BY:
        html = photo_map.svg(placed, rows, said, coloured_by, "ja")
        assert "<b>" not in html and "<img" not in html and html.count("data-i=") == 4
        assert "&lt;b&gt;odd" in html


def test_a_species_has_one_mark_whether_shown_or_named(placed):
    rows, _ = photo_map.points(placed, cases.table(placed))
    _, shown, _ = photo_map.marks(rows, "species", str)
    _, named, texts = photo_map.marks(rows, "answer", str)
    assert shown["マサバ"] == named["マサバ"] and texts["マサバ"] == "マサバ (2)"
    many = photo_map.of_species({f"species {i}" for i in range(56)})
    assert len({(mark.colour, mark.path, mark.turned) for mark in many.values()}) == 57


def test_a_box_on_the_map_gives_the_grid_and_no_other_filter(placed):
    explorer = FailureExplorer(placed)
    explorer.true.value = ODD
    explorer.overview.value = MAP
    assert explorer.matrix.layout.display == "none" and explorer.map.layout.display is None
    order = explorer.map.rows.photo_id.tolist()
    wanted = {"マサバ/1.png", f"{ODD}/4.png"}
    explorer.map.field.value = "1:" + ",".join(str(order.index(photo_id)) for photo_id in wanted)
    assert set(explorer.rows.photo_id) == wanted and "2 photos, of the points on the map" in explorer.count.value
    assert len(re.findall("data-i", explorer.map.faded.value)) == 2  # those stay bright
    drawn = explorer.map.drawn.value
    explorer.true.value = ODD  # filters go on from there
    assert (
        explorer.rows.photo_id.tolist() == [f"{ODD}/4.png"] and len(re.findall("data-i", explorer.map.faded.value)) == 1
    )
    explorer.reset()
    assert len(explorer.rows) == 5 and explorer.map.faded.value == "" and explorer.map.drawn.value == drawn
    explorer.map.colour.value = "error"
    assert explorer.map.drawn.value != drawn


@pytest.mark.parametrize("text", ["", "1:", "x", "2:-1,999", "3:<script>,1e9"])
def test_what_else_a_browser_may_send_means_nothing(placed, text):
    explorer = FailureExplorer(placed)
    explorer.overview.value = MAP
    before = explorer.rows.photo_id.tolist()
    explorer.map.field.value = text
    assert explorer.rows.photo_id.tolist() == before


def test_a_run_without_places_says_so(made):
    explorer = FailureExplorer(made)
    explorer.overview.value = MAP
    assert "No map: notebook 03" in explorer.map.drawn.value and photo_map.publish(made) is None


def test_the_figure_has_a_legend_for_each_colouring(placed, strict_figures):
    fig = photo_map.publish(placed)
    assert (placed.out / "figures" / "map.png").stat().st_size > 5_000
    titles = [ax.get_legend().get_title().get_text() for ax in fig.axes]
    assert titles == ["species (photos)", "named (photos)"]
    texts = [text.get_text() for text in fig.axes[1].get_legend().get_texts()]
    assert "right (2)" in texts
