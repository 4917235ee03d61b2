import base64
import io
import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fishlib.show import canvas, figures, pictures, tables

NASTY = r'<b>"x"|&_%$\frac'
FACTS = {"drawn": True, "method": "grabcut"}
pytestmark = pytest.mark.usefixtures("strict_figures")


def predictions():
    rows = [("Thunnus_albacares", "Thunnus_albacares"), ("Thunnus_albacares", NASTY), (NASTY, NASTY)]
    frame = pd.DataFrame(rows, columns=["species", "predicted"])
    return frame.assign(photo_id=[f"{i}.jpg" for i in range(3)], counted=1, correct=[1, 0, 1])


def texts(fig):
    fig.draw_without_rendering()
    return [t.get_text() for t in fig.findobj(mpl.text.Text)]


def test_confusion_writes_counts_and_untrusted_names_as_text():
    fig = figures.confusion(predictions().assign(variant="crop_mask"), FACTS)
    said = texts(fig)
    assert "キハダ (2)" in said and f"{NASTY} (1)" in said
    assert said.count("1") == 3 and "0" not in said
    assert any("Crop & Mask" in t for t in said)


def test_counts_shows_the_usable_ones():
    manifest = pd.DataFrame({"species": ["キハダ"] * 3 + [NASTY], "status": ["ok", "excluded", "ok", "unreadable"]})
    fig = figures.counts(manifest)
    said = texts(fig)
    assert " 2" in said and " 0" in said and {"ok", "excluded", "unreadable"} <= {*said}
    assert sum(p.get_width() for p in fig.axes[0].patches) == 4


def table2():
    frame = pd.concat([predictions().assign(variant=v) for v in ("original", "crop_mask")])
    return tables.table2(frame)


def test_recall_change_leaves_out_the_total_row():
    fig = figures.recall_change(table2(), FACTS)
    assert len(fig.axes[0].get_yticks()) == 2
    assert fig.axes[0].collections[1].get_offsets().tolist() == [[50, 0], [100, 1]]


@pytest.mark.parametrize("build", [tables.table3, tables.table4])
def test_variants_bar_stands_beside_the_printed_values(build):
    table = build(predictions().assign(variant="crop_mask"))
    fig = figures.variants_bar(table, FACTS)
    assert "66.7\n(2)" in texts(fig) and texts(fig).count("not run") == len(table) - 1
    [printed] = [line for line in fig.axes[0].lines if line.get_label() == "paper (printed)"]
    assert printed.get_ydata().tolist() == table["micro_f1_paper"].tolist()


PHOTO = np.full((30, 40, 3), 90, np.uint8)
FISH = np.zeros((30, 40), bool)
FISH[10:20, 5:30] = True


def test_sheet_shows_every_photo_under_its_label():
    fig = pictures.species_sheet([PHOTO] * 3, ["a.jpg", NASTY, "c.jpg (excluded)"], "キハダ", FACTS)
    assert [ax.get_title() for ax in fig.axes if ax.images] == ["a.jpg", NASTY, "c.jpg (excluded)"]
    assert "no photos left" in texts(pictures.species_sheet([], [], "no photos left"))


def test_failure_grid_draws_the_outlines_there_are():
    kinds = {"part only": FISH, "missed": None, "not scored": FISH & ~FISH}
    items = [{"photo": PHOTO, "mask": m, "label": NASTY, "kind": k, "iou": 0.25} for k, m in kinds.items()]
    fig = pictures.failure_grid(items, FACTS)
    assert [len(ax.collections) for ax in fig.axes[:3]] == [1, 0, 0]
    assert fig.axes[0].get_title() == f"{NASTY}\npart only, IoU 0.25"


def test_pipeline_shows_every_step():
    parts = {"photo": PHOTO, "box": np.array([5, 10, 30, 20], np.float32), "mask": FISH}
    parts["variants"] = dict.fromkeys(("Crop", "Mask", "Crop & Mask"), np.zeros((224, 224, 3), np.uint8))
    parts["top5"] = [["Thunnus_albacares", 0.75], [NASTY, 0.25]]
    fig = pictures.pipeline(**parts, candidates=[FISH, ~FISH], facts=FACTS)
    said = {*texts(fig)}
    assert {
        "photo and box",
        "candidate masks",
        "adjusted mask",
        "Crop, 224 px",
        "classifier, Crop & Mask",
    } <= said
    assert {"キハダ 75 %", f"{NASTY} 25 %"} <= said
    [bars] = [ax.patches for ax in fig.axes if ax.patches]
    assert [b.get_width() for b in bars] == [75, 25]
    nothing = parts | {"box": None, "mask": None}
    assert "candidate masks" not in texts(pictures.pipeline(**nothing, candidates=[]))


def test_saved_bytes_are_the_same_twice(tmp_path):
    manifest = pd.DataFrame({"species": ["キハダ", NASTY], "status": "ok"})
    for folder in ("one", "two"):
        paths = canvas.save(figures.counts(manifest, FACTS), tmp_path / folder / "counts")
        assert [p.name for p in paths] == ["counts.svg", "counts.png"]
    for name in ("counts.svg", "counts.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len([*(tmp_path / "one").iterdir()]) == 2


DRAW = """
import sys
import pandas as pd
from fishlib.show import canvas, figures
fig = figures.counts(pd.DataFrame({"species": ["キハダ", "50 % of a_b"], "status": "ok"}))
canvas.save(fig, sys.argv[1])
data, _ = fig._repr_mimebundle_()
open(sys.argv[1] + ".shown", "w").write(data["image/png"])
"""
WILFUL = """
text.usetex: True
backend: TkAgg
font.family: serif
font.size: 31
figure.dpi: 37
savefig.dpi: 23
savefig.bbox: tight
savefig.facecolor: red
axes.facecolor: green
svg.fonttype: none
path.simplify_threshold: 1
"""


def test_a_users_matplotlibrc_changes_no_figure(tmp_path):
    for name, settings in {"plain": "", "wilful": WILFUL}.items():
        rc = tmp_path / f"{name}.rc"
        rc.write_text(settings)
        command = [sys.executable, "-c", DRAW, tmp_path / name]
        subprocess.run(command, env=os.environ | {"MATPLOTLIBRC": str(rc)}, check=True)
    for kind in ("svg", "png", "shown"):
        assert (tmp_path / f"plain.{kind}").read_bytes() == (tmp_path / f"wilful.{kind}").read_bytes(), kind


def test_a_notebook_shows_a_figure_once_with_its_title_as_text():
    data, metadata = figures.recall_change(table2(), FACTS)._repr_mimebundle_()
    assert metadata["image/png"]["alt"].startswith("Recall per species: original → Crop & Mask. DRAWN fish")
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.format == "PNG" and picture.text == {}  # nothing in it says who or what made it


def test_files_without_a_species_are_counted_beside_the_bars():
    manifest = pd.DataFrame({"species": ["キハダ", "", ""], "status": ["ok", "unreadable", "excluded"]})
    fig = figures.counts(manifest)
    assert len(fig.axes[0].get_yticks()) == 1
    assert "photos (2 more in no species' folder)" in texts(fig)


def test_the_phantoms_species_are_shown_twice_each():
    fig = pictures.phantom_species()
    titles = [ax.get_title() for ax in fig.axes if ax.images]
    assert len(titles) == 34 and titles[0] == titles[1] and "キハダ\nThunnus albacares" in titles
