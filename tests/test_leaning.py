"""What people read and see of backgrounds and of masks inside the network, and what is said where none can be asked."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fishlib.beyond import fusions, reliance, stage
from fishlib.beyond.reliance import GAP, RIGHT, Reliance
from fishlib.errors import UserError
from fishlib.photos.manifest import scan_photos, write_manifest
from fishlib.show import leaning, report

NAN = float("nan")


@pytest.fixture
def found():
    """Four species, two of them with rows of their own; originals lean on backgrounds, Mask does not."""
    gap = [
        ("original", "", 40, 70.0, 50.0, 20.0, 12.0, 28.0),
        ("original", "マサバ", 10, 70.0, 50.0, 20.0, NAN, NAN),
        ("mask", "", 40, 60.0, 61.0, -1.0, -6.0, 4.0),
        ("mask", "マサバ", 10, 60.0, 61.0, -1.0, -8.0, 6.0),
    ]
    right = [("original", "original", name, 10, 70.0, 60.0, 80.0) for name in ("", "a", "b", "c", "マサバ")]
    right += [("original", "mixed_rand", "", 10, 50.0, 40.0, 60.0)]
    controls = [
        ("silhouette", "silhouette", "", 40, 72.0, 60.0, 84.0),
        ("background", "background", "", 40, 24, 10, 40),
    ]
    frames = (pd.DataFrame(rows, columns=names) for rows, names in ((right, RIGHT), (gap, GAP), (controls, RIGHT)))
    return Reliance(*frames, [])


def test_a_gap_is_told_by_its_interval(found):
    first, second = leaning.gaps_said(found).splitlines()
    assert first == (
        "- Head on originals: BG-Gap +20.0 points, 95 % interval 12.0 to 28.0. Backgrounds help it to name the species."
    )
    assert second.endswith("No leaning on backgrounds is shown.")
    assert leaning.gaps_said(found._replace(gap=found.gap.iloc[:0])).startswith("- BG-Gap needs photos with a donor")


def test_outline_and_fill_are_told_against_chance(found):
    said = leaning.controls_said(found)
    assert "the outline alone 72.0 % (95 % interval 60.0 to 84.0)" in said
    assert said.endswith("chance 25.0 %.")


def test_gaps_by_species_have_their_photos_and_say_where_there_is_no_interval(found):
    table = leaning.gaps(found)
    assert table["species"].tolist() == ["all", "マサバ"] and table["photos"].tolist() == [40, 10]
    assert table["head on originals"].tolist() == ["+20.0 (12.0 to 28.0)", "+20.0 (no interval)"]


def test_every_figure_draws_chance_and_names_its_rows(found):
    for fig in (leaning.backgrounds(found), leaning.controls(found)):
        texts = [text.get_text() for ax in fig.axes for text in ax.get_yticklabels()]
        assert any(text in texts for text in ("Original", "silhouette alone"))
        labels = [label for ax in fig.axes for label in ax.get_legend_handles_labels()[1]]
        assert "chance (25.0 %)" in labels


def ranked(**differences):
    """Rows of one K; the best single input is Mask."""
    rows = [("x", 5, "mask", 80.0, 75.0, 85.0, True, "mask", NAN, NAN, NAN, NAN, 25.0)]
    for name, (points, p) in differences.items():
        best = points > -5
        rows.append(("x", 5, name, 80 + points, 75, 85, best, "mask", points, points - 2, points + 2, p, 25.0))
    return pd.DataFrame(rows, columns=fusions.RANKED).sort_values("percent", ascending=False, ignore_index=True)


def test_a_fusion_that_gains_is_named_and_one_that_may_be_luck_is_not_praised():
    gains = fusions.said(ranked(mask_inside=(6.0, 0.001), original=(-9.0, 0.01)))
    assert gains.endswith("better by more than luck: Mask, pooled under the mask (+6.0 (4.0 to 8.0) points).")
    luck = fusions.said(ranked(mask_inside=(1.0, 0.4), original=(-9.0, 0.01)))
    assert "no fusion is better by more than luck" in luck and luck.endswith(
        "from the best: Mask, pooled under the mask."
    )
    assert fusions.said(ranked(original=(-9.0, 0.01))).endswith("the profile asks for no other.")


def test_the_ranking_says_what_is_worse_and_its_figure_has_chance():
    frame = ranked(mask_inside=(1.0, 0.4), original=(-9.0, 0.01))
    table = leaning.ranking(frame)
    assert table["input"].tolist() == ["Mask, pooled under the mask", "Mask", "Original"]
    assert table["told from the best?"].tolist() == ["no", "no", "yes, worse"]
    [ax] = leaning.ranked(frame).axes
    assert "chance (25.0 %)" in ax.get_legend_handles_labels()[1]


def test_a_run_has_its_tables_and_figures_of_backgrounds_and_fusions(done):
    out, _ = done
    for name in (*reliance.NAMES.values(), reliance.DONORS, fusions.NAME):
        assert len(pd.read_csv(out / name)), name
    for name in ("backgrounds", "controls", "fusions"):
        assert (out / "figures" / f"{name}.png").is_file() and (out / "report" / "figures" / f"{name}.png").is_file()


def test_a_second_look_computes_nothing(done, monkeypatch):
    """Neither a network nor a head is asked again."""
    out, _ = done
    study = report.look(out)
    from fishlib.naming import classifier, transfer

    monkeypatch.setattr(classifier, "load", pytest.fail)
    monkeypatch.setattr(transfer, "train_heads", pytest.fail)
    first = pd.read_csv(out / fusions.NAME)
    answer, _ = stage.leaning(study)
    frame, _ = stage.inside(study)
    assert answer is not None
    assert np.allclose(frame["percent"], first["percent"])


def test_what_cannot_be_asked_is_a_sentence(tiny_study, monkeypatch):
    study = replace(tiny_study, method="grabcut", masks=None)
    write_manifest(study, scan_photos(study))
    answer, notes = stage.leaning(replace(study, masks=study.out / "nothing", method="truth"))
    assert answer is None and notes[0].startswith("What the naming leans on, left out: ")

    assert stage.inside(study)[1] == ["Figure 3 is not there, so nothing can stand beside its inputs; run notebook 04."]
    (study.out / "tables").mkdir()
    (study.out / "tables" / "figure3.csv").touch()

    def no_map(*_):
        raise UserError("This network has no last feature map.")

    monkeypatch.setattr(fusions, "run", no_map)
    monkeypatch.setattr(stage.segmenting, "run", lambda *_: None)
    assert stage.inside(study) == (
        None,
        ["The mask inside the network, left out: This network has no last feature map."],
    )
