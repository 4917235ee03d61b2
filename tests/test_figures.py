import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from fishlib import figures, tables

NASTY = r'<b>"x"|&_%$\frac'
FACTS = {"drawn": True, "method": "grabcut"}


@pytest.fixture(autouse=True)
def strict():
    """Warnings (a missing glyph, a layout that does not fit) fail a test; no figure may stay open."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert plt.get_fignums() == []


def transfer(pretrainings=("none", "imagenet", "specimen"), variants=("original", "mask"), trials=2):
    rows = [
        (p, v, k, t, 10.0 * i + 5 * k + t + (v == "mask"))
        for i, p in enumerate(pretrainings)
        for v in variants
        for k in (1, 3)
        for t in range(trials)
    ]
    return pd.DataFrame(rows, columns=["pretraining", "variant", "k", "trial", "micro_f1"])


def predictions():
    rows = [("Thunnus_albacares", "Thunnus_albacares"), ("Thunnus_albacares", NASTY), (NASTY, NASTY)]
    frame = pd.DataFrame(rows, columns=["species", "predicted"])
    return frame.assign(photo_id=[f"{i}.jpg" for i in range(3)], counted=1, correct=[1, 0, 1])


def texts(fig):
    fig.draw_without_rendering()
    return [t.get_text() for t in fig.findobj(mpl.text.Text)]


def lines(fig):
    return {line.get_label(): line for line in fig.axes[0].lines}


def test_figure3_has_the_papers_colours_and_line_styles():
    frame = transfer(variants=("original", "mask", "crop", "crop_mask"))
    found = lines(figures.figure3(frame, FACTS))
    assert len(found) == 12
    for pretraining, colour in {"none": "#d55e00", "imagenet": "#0072b2", "specimen": "#009e73"}.items():
        for variant, style in {"original": "--", "mask": ":", "crop": "-.", "crop_mask": "-"}.items():
            line = found[f"{pretraining} {variant}"]
            assert (to_hex(line.get_color()), line.get_linestyle()) == (colour, style)


def test_figure3_shows_means_and_a_band_of_one_sd():
    fig = figures.figure3(transfer(("imagenet",), ("original",), trials=3))
    [line] = fig.axes[0].lines
    assert line.get_xydata().tolist() == [[1, 6], [3, 16]]
    [band] = fig.axes[0].collections
    assert band.get_datalim(fig.axes[0].transData).intervaly.tolist() == [5, 17]
    assert fig.axes[0].get_xlabel().startswith("K") and "%" in fig.axes[0].get_ylabel()


def test_figure3_names_drawn_fish_masks_and_draws():
    said = texts(figures.figure3(transfer(), FACTS))
    assert any("DRAWN" in t and "masks: GrabCut" in t and "2 draws" in t for t in said)
    assert {"None", "ImageNet", "Specimens (drawn)", "Original", "Mask"} <= {*said}
    assert not any("DRAWN" in t for t in texts(figures.figure3(transfer(), {"drawn": False})))


def test_figure3_takes_an_unknown_pretraining_one_draw_and_a_missing_combination():
    frame = transfer(("kelp", "none"), trials=1)
    frame = frame[~((frame["pretraining"] == "kelp") & (frame["variant"] == "mask"))]
    found = lines(figures.figure3(frame))
    assert found["none mask"].get_color() != found["kelp original"].get_color()
    assert len(found["kelp original"].get_xdata()) == 2


def test_paired_shows_each_draws_difference_and_zero():
    fig = figures.paired(transfer(trials=4), FACTS)
    dots = [line for line in fig.axes[0].lines if line.get_alpha() == 0.35]
    assert [d.get_ydata().tolist() for d in dots] == [[1.0] * 8] * 3
    assert any(list(line.get_ydata()) == [0, 0] for line in fig.axes[0].lines)


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
    fig = figures.species_sheet([PHOTO] * 3, ["a.jpg", NASTY, "c.jpg (excluded)"], "キハダ", FACTS)
    assert [ax.get_title() for ax in fig.axes if ax.images] == ["a.jpg", NASTY, "c.jpg (excluded)"]
    assert "no photos left" in texts(figures.species_sheet([], [], "no photos left"))


def test_failure_grid_draws_the_outlines_there_are():
    kinds = {"part only": FISH, "missed": None, "not scored": FISH & ~FISH}
    items = [{"photo": PHOTO, "mask": m, "label": NASTY, "kind": k, "iou": 0.25} for k, m in kinds.items()]
    fig = figures.failure_grid(items, FACTS)
    assert [len(ax.collections) for ax in fig.axes[:3]] == [1, 0, 0]
    assert fig.axes[0].get_title() == f"{NASTY}\npart only, IoU 0.25"


def test_pipeline_shows_every_step():
    parts = {"photo": PHOTO, "box": np.array([5, 10, 30, 20], np.float32), "mask": FISH}
    parts["variants"] = dict.fromkeys(("Crop", "Mask", "Crop & Mask"), np.zeros((224, 224, 3), np.uint8))
    parts["top5"] = [["Thunnus_albacares", 0.75], [NASTY, 0.25]]
    fig = figures.pipeline(**parts, candidates=[FISH, ~FISH], facts=FACTS)
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
    assert "candidate masks" not in texts(figures.pipeline(**nothing, candidates=[]))


def test_saved_bytes_are_the_same_twice(tmp_path):
    for folder in ("one", "two"):
        paths = figures.save(figures.figure3(transfer(), FACTS), tmp_path / folder / "figure3")
        assert [p.name for p in paths] == ["figure3.svg", "figure3.png"]
    for name in ("figure3.svg", "figure3.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len([*(tmp_path / "one").iterdir()]) == 2
