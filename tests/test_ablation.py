import numpy as np
import pandas as pd
import pytest

from fishlib.photos import masks
from fishlib.photos.manifest import scan_photos
from fishlib.removal import ablation, reviews, scoring, segmenters, segmenting
from fishlib.removal.segmenters import Segmentation, adjust
from fishlib.show import ablation_table, pictures

STEPS = ("all steps", "no morphology", "none")


def rle(mask):
    return masks.to_rle(mask)


class Steps:
    """Cuts the true ellipse, then less of it a step left out; finds nothing in the first photo of each species."""

    def __init__(self, root):
        self.key, self.root = {"method": "steps"}, root

    def segment(self, images, photo_ids):
        if photo_ids[0].endswith("/0.png"):
            return [Segmentation(status="no_detection", reason="nothing there")]
        true = masks.read_mask(self.root / photo_ids[0])
        half = true & (np.arange(true.shape[1]) < 48)
        detail = {"steps": dict(zip(STEPS, (rle(true), rle(half), None), strict=True)), "size": list(true.shape)}
        candidate = dict.fromkeys([*adjust.WEIGHTS, "stability", "total"], 0.5) | {"box": 0, "rle": rle(half)}
        box = masks.box_of(true).tolist()
        detail |= {"candidates": [candidate], "boxes": [box], "tried": [[box, box]], "chosen": 0, "why": "the only one"}
        return [Segmentation(true, masks.box_of(true), 0.5, detail=detail)]


@pytest.fixture
def frames(tiny_study, monkeypatch):
    manifest = scan_photos(tiny_study)
    truth = segmenting.run(tiny_study, "truth", manifest)
    monkeypatch.setattr(segmenters, "build", lambda *a, **k: Steps(tiny_study.masks))
    return {"truth": truth, "gdino-sam": segmenting.run(tiny_study, "gdino-sam", manifest)}


def test_summary_pairs_every_step_with_none():
    ious = pd.DataFrame({"all steps": [0.9, 0.8, 0.7], "none": [0.8, 0.7, 0.6]}, index=["a", "b", "c"])
    first, last = ablation.summary(ious, 0.8).to_dict("records")
    assert (first["n"], first["mean_iou"], first["well_cut"], first["difference"]) == (3, 0.8, 66.7, 0.1)
    assert first["lo"] == first["hi"] == 0.1 and (last["difference"], last["lo"]) == (0, 0)


def test_every_counted_photo_has_its_iou_after_each_step(tiny_study, frames):
    ious = ablation.ious(tiny_study, frames["gdino-sam"], frames["truth"])
    assert list(ious) == list(STEPS) and set(ious.index) == set(frames["truth"].photo_id)
    found = ~ious.index.str.endswith("/0.png")
    assert (ious[found]["all steps"] == 1).all() and ious[found]["no morphology"].between(0.3, 0.7).all()
    assert (ious[~found] == 0).all(axis=None) and (ious["none"] == 0).all()


def test_the_table_is_kept_and_says_what_it_is_about(tiny_study, frames):
    text = ablation_table.publish(tiny_study, frames)
    kept = pd.read_csv(tiny_study.out / "tables" / "ablation.csv")
    assert kept.steps.tolist() == list(STEPS) and kept.n.eq(21).all() and kept.well_cut[0] == 85.7
    assert text == (tiny_study.out / "tables" / "ablation.md").read_text(encoding="utf-8")
    assert "stand-in" in text and "| all steps | 21 |" in text and "DRAWN" not in text


@pytest.mark.parametrize("kept", [["truth"], ["gdino-sam"], []])
def test_no_truth_or_no_method_is_said(tiny_study, frames, kept):
    assert ablation_table.publish(tiny_study, {k: frames[k] for k in kept}).startswith("No ablation")


def test_masks_from_elsewhere_have_no_steps(tiny_study, frames):
    imported = frames["gdino-sam"].iloc[:1]
    assert "come from elsewhere" in ablation_table.publish(tiny_study, {**frames, "gdino-sam": imported})


def test_why_this_mask_can_be_drawn_of_any_photo(tiny_study, frames):
    frame = frames["gdino-sam"]
    photo_id = frame[frame.status == "ok"].photo_id.iloc[3]
    seen = ablation_table.explained(tiny_study, frame, photo_id)
    fig = pictures.why_mask(**seen)
    said = [ax.get_title() for ax in fig.axes]
    assert photo_id in fig.get_suptitle() and "the only one" in fig.get_suptitle()
    assert "1 box found, 1 more tried" in said[0].replace("\n", " ") and "CHOSEN" in said[1]
    assert ablation_table.explained(tiny_study, frame.iloc[:1]) is None
    assert len(pictures.why_mask(**seen | {"mask": None}).axes) == 3


def test_candidates_that_look_alike_are_shown_once():
    wide, thin = np.zeros((2, 10, 40), bool)
    wide[2:8], thin[2:8, :20] = True, True
    near = wide.copy()
    near[2, 0] = False
    candidates = [{"rle": rle(m), "total": t} for m, t in ((thin, 0.9), (wide, 0.7), (near, 0.8), (wide, 0.6))]
    shown = pictures.distinct(candidates, first=1)
    assert [(c["total"], n) for c, n in shown] == [(0.7, 3), (0.9, 1)]


def test_verdicts_count_where_no_truth_is(tiny_study, frames):
    ok = frames["gdino-sam"][frames["gdino-sam"].status == "ok"].photo_id
    rows = [(ok.iloc[0], "gdino-sam", "Ann", "bad"), (ok.iloc[1], "gdino-sam", "Ann", "good")]
    pd.DataFrame(rows, columns=reviews.COLUMNS).to_csv(tiny_study.out / reviews.FILE, index=False)
    alone = scoring.score(tiny_study, {"gdino-sam": frames["gdino-sam"]}).set_index("photo_id").well_cut
    assert alone[ok.iloc[0]] == 0 and alone[ok.iloc[1]] == 1 and alone.isna().sum() == len(alone) - 2
    scored = scoring.score(tiny_study, frames).set_index("photo_id").well_cut
    assert scored[ok.iloc[0]] == 1  # the true mask goes first
