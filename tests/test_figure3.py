import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fishlib.show import canvas, figure3, palette

FACTS = {"drawn": True, "method": "grabcut", "classifier": "some network, trained: only the new last layer"}
INPUTS = ("original", "mask", "crop", "crop_mask")
pytestmark = pytest.mark.usefixtures("strict_figures")


def transfer(pretrainings=("none", "imagenet", "specimen"), variants=("original", "mask"), trials=2):
    rows = [
        (p, v, k, t, 10.0 * i + 5 * k + t + (v == "mask"))
        for i, p in enumerate(pretrainings)
        for v in variants
        for k in (1, 3)
        for t in range(trials)
    ]
    return pd.DataFrame(rows, columns=["pretraining", "variant", "k", "trial", "micro_f1"])


def differences(frame):
    rows = [
        (p, v, k, 1.0, -1.0, 3.0)
        for p in frame.pretraining.unique()
        for v in frame.variant.unique()
        for k in frame.k.unique()
        if v != "original"
    ]
    return pd.DataFrame(rows, columns=["pretraining", "variant", "k", "mean", "lo", "hi"])


def texts(fig):
    fig.draw_without_rendering()
    return [t.get_text() for t in fig.findobj(mpl.text.Text)]


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_the_papers_colours_and_line_styles():
    found = lines(figure3.lines(transfer(variants=INPUTS), FACTS).axes[0])
    assert len(found) == 6  # Crop stands in the panels
    for pretraining, colour in {"none": "#d55e00", "imagenet": "#0072b2", "specimen": "#009e73"}.items():
        for variant, style in {"original": "--", "mask": ":"}.items():
            line = found[f"{pretraining} {variant}"]
            assert (to_hex(line.get_color()), line.get_linestyle()) == (colour, style)


def test_means_and_a_band_of_one_sd():
    fig = figure3.lines(transfer(("imagenet",), ("original",), trials=3))
    [line] = fig.axes[0].lines
    assert line.get_xydata().tolist() == [[1, 6], [3, 16]]
    [band] = fig.axes[0].collections
    assert band.get_datalim(fig.axes[0].transData).intervaly.tolist() == [5, 17]
    assert fig.axes[0].get_xlabel().startswith("K") and "%" in fig.axes[0].get_ylabel()


def test_drawn_fish_masks_draws_and_what_was_trained_are_named():
    said = texts(figure3.lines(transfer(), FACTS))
    said = " ".join(said).replace("\n", " ")
    for words in ("DRAWN", "masks: GrabCut", "2 draws", "only the new last layer", "None", "ImageNet", "Mask"):
        assert words in said
    assert not any("DRAWN" in t for t in texts(figure3.lines(transfer(), {"drawn": False})))


def test_an_unknown_pretraining_one_draw_and_a_missing_combination():
    frame = transfer(("kelp", "none"), trials=1)
    frame = frame[~((frame["pretraining"] == "kelp") & (frame["variant"] == "mask"))]
    found = lines(figure3.lines(frame).axes[0])
    assert found["none mask"].get_color() != found["kelp original"].get_color()
    assert len(found["kelp original"].get_xdata()) == 2


def test_a_run_of_crops_alone_still_has_lines():
    assert len(figure3.lines(transfer(("none",), ("crop", "crop_mask"))).axes[0].lines) == 2


def test_panels_show_every_input_of_each_pretraining_on_one_scale():
    fig = figure3.panels(transfer(variants=INPUTS), FACTS)
    assert [ax.get_title() for ax in fig.axes] == ["None", "ImageNet", "Specimens (drawn)"]
    assert len({ax.get_ylim() for ax in fig.axes}) == 1
    for ax in fig.axes:
        assert set(lines(ax)) == {"Original", "Mask", "Crop", "Crop & Mask"}
        assert len({(to_hex(x.get_color()), x.get_linestyle(), x.get_marker()) for x in ax.lines}) == 4


def test_paired_shows_each_draws_difference_its_interval_and_zero():
    frame = transfer(variants=INPUTS, trials=4)
    fig = figure3.paired(frame, differences(frame), FACTS)
    assert [ax.get_title() for ax in fig.axes] == ["Mask", "Crop", "Crop & Mask"]
    dots = [line for line in fig.axes[0].lines if line.get_alpha() == 0.3]
    assert [d.get_ydata().tolist() for d in dots] == [[1.0] * 8] * 3
    for ax in fig.axes:
        assert any(list(line.get_ydata()) == [0, 0] for line in ax.lines)
        ends = [np.array(c.get_segments())[:, :, 1] for c in ax.collections]
        assert all((e == [-1, 3]).all() for e in ends) and len(ends) == 3


def test_without_a_second_input_there_is_nothing_to_pair():
    frame = transfer(variants=("original",))
    assert texts(figure3.paired(frame, differences(frame), FACTS))


def test_chance_is_drawn_and_named_where_the_counts_tell_the_species():
    """With 4 species each K takes 4 photos more from those that are judged."""
    frame = transfer()
    frame["n_test"] = 40 - 4 * frame["k"]
    assert figure3.species_in(frame) == 4
    for fig in (figure3.lines(frame), figure3.panels(frame)):
        said = [text.get_text() for text in fig.axes[-1].get_legend().get_texts()]
        assert "chance (1 of 4 species)" in said
        assert [25, 25] in [list(line.get_ydata()) for line in fig.axes[-1].lines]
    assert figure3.species_in(frame[frame["k"] == 1]) is None


def test_more_networks_have_colours_that_any_reader_tells_apart_and_four_panels_a_row():
    frame = transfer(("none", "imagenet", *(f"net {i}" for i in range(8))))
    base = [canvas.RED, canvas.BLUE, canvas.GREEN, canvas.ORANGE, canvas.PURPLE, canvas.SKY, canvas.BLACK]
    fig = figure3.lines(frame)
    colours = list(dict.fromkeys(to_hex(line.get_color()) for line in fig.axes[0].lines))
    assert len(colours) == 10 and palette.nearest(colours) >= palette.nearest(base) > 15
    assert palette.nearest(["#ff0000", "#ff0008"]) < 5

    panels = figure3.panels(frame).axes
    assert len(panels) == 10
    rows = {round(ax.get_subplotspec().rowspan.start) for ax in panels}
    assert rows == {0, 1, 2}
