import json

import numpy as np
import pytest
import torch
from small_models import small_sam

from fishlib import zoo
from fishlib.errors import NotRun, UserError
from fishlib.photos import masks
from fishlib.removal.segmenters import checkpoints, gdino, gdino_sam, sam

H, W = 80, 120


def ellipse(y=40, x=60, ry=12, rx=35, h=H, w=W):
    ys, xs = np.mgrid[:h, :w]
    return ((ys + 0.5 - y) / ry) ** 2 + ((xs + 0.5 - x) / rx) ** 2 <= 1


FISH, FISH_BOX = ellipse(), np.float32([25, 28, 95, 52])


@pytest.fixture
def cut(monkeypatch):
    """cut(boxes, confidence, masks of the answers, predicted IoU, **options), detector and decoder faked.

    The photo goes through a real small encoder; masks are on the photo's grid, put on SAM's by shrinking.
    """
    monkeypatch.setattr(checkpoints, "fingerprint", lambda path, name: name)
    monkeypatch.setattr(gdino, "load", lambda *_: "detector")
    monkeypatch.setattr(sam, "load", lambda *_: sam.prepare(small_sam()))
    calls = []

    def run(boxes, confidence, answers, ious=(0.9, 0.8, 0.7), photo=None, **options):
        boxes = np.float32(boxes).reshape(-1, 4)

        def detect(model, images, caption, **limits):
            return [(boxes, np.float32(confidence), ["fish"] * len(boxes))]

        def decode(model, seen, prompts, multimask=True):
            calls.append(len(prompts))
            square = np.zeros((len(answers), W, W), np.float32) - 5
            square[:, :H] = np.where(answers, 5.0, -5.0)
            return torch.from_numpy(square).repeat(len(prompts), 1, 1, 1), torch.tensor(
                [ious[: len(answers)]] * len(prompts)
            )

        monkeypatch.setattr(gdino, "detect", detect)
        monkeypatch.setattr(sam, "decode", decode)
        photo = np.zeros((H, W, 3), np.uint8) if photo is None else photo
        [found] = gdino_sam.build({"dtype": "fp32", **options}).segment([photo], ["a/1.jpg"])
        return found, calls

    return run


def test_the_fish_is_cut_with_all_boxes_in_one_call(cut):
    found, calls = cut([FISH_BOX, [0, 0, 20, 20]], [0.8, 0.4], [FISH, ellipse(ry=6, rx=8), ~FISH], jitters=4)
    assert found.status == "ok" and calls == [10]
    assert found.mask.shape == (H, W) and found.mask.dtype == bool and masks.iou(found.mask, FISH) > 0.9
    np.testing.assert_array_equal(found.box, FISH_BOX)
    assert found.score == pytest.approx(0.8)


def test_why_this_mask_is_kept_for_every_candidate(cut):
    found, _ = cut([FISH_BOX], [0.8], [FISH, ellipse(ry=6, rx=8), ~FISH], jitters=2)
    kept = json.loads(json.dumps(found.detail))
    assert len(kept["candidates"]) == 9 and "of 9 candidates" in kept["why"]
    assert set(kept["candidates"][0]) == {
        "box",
        "rle",
        "total",
        "iou",
        "stability",
        "centre",
        "agreement",
        "share",
        "detector",
    }
    chosen = kept["candidates"][kept["chosen"]]
    assert chosen["total"] == max(c["total"] for c in kept["candidates"])
    assert masks.iou(masks.resize_mask(masks.from_rle(chosen["rle"]), (H, W)), FISH) > 0.9
    assert np.shape(kept["tried"]) == (1, 3, 4)
    np.testing.assert_allclose(kept["tried"][0][0], FISH_BOX)


def test_no_box_is_no_detection(cut):
    found, calls = cut([], [], [FISH])
    assert (found.status, found.mask, found.box) == ("no_detection", None, None) and "0.35" in found.reason
    assert np.isnan(found.score) and not calls


@pytest.mark.parametrize(
    "answer, fault",
    [(FISH & False, "vanished"), (FISH | True, "frame"), (ellipse(12, 100, 8, 8), "disagrees")],
)
def test_an_unusable_mask_is_rejected_and_the_box_kept(cut, answer, fault):
    found, _ = cut([FISH_BOX], [0.8], [answer])
    assert found.status == "mask_rejected" and fault in found.reason and found.mask is None
    np.testing.assert_array_equal(found.box, FISH_BOX)


def test_a_photo_without_a_box_is_looked_at_mirrored(cut, monkeypatch):
    photo, asked = np.zeros((H, W, 3), np.uint8), []
    photo[:, :40] = 200

    def detect(model, images, caption, box_threshold, **_):
        asked.append((images[0][0, 0, 0], box_threshold))
        found = [[W - 95, 28, W - 25, 52]] if images[0][0, 0, 0] == 0 else []
        return [(np.float32(found).reshape(-1, 4), np.float32([0.6] * len(found)), ["fish"] * len(found))]

    cut(FISH_BOX, [0.8], [FISH])  # fakes the decoder
    monkeypatch.setattr(gdino, "detect", detect)
    [found] = gdino_sam.build({"dtype": "fp32"}).segment([photo], ["a"])
    assert found.box.tolist() == FISH_BOX.tolist() and found.score == pytest.approx(0.6)
    assert asked == [(200, 0.35), (0, 0.5)] and found.detail["mirrored"]
    [found] = gdino_sam.build({"dtype": "fp32", "mirrored": 0.0}).segment([photo], ["a"])
    assert found.status == "no_detection" and len(asked) == 3


def test_only_the_stand_in_looks_twice(tmp_path):
    (tmp_path / "own.pth").write_bytes(b"")
    own = {"gdino": str(tmp_path / "own.pth"), "bert": str(tmp_path)}
    assert gdino_sam.build({}).options["mirrored"] == 0.5 and gdino_sam.build(own).options["mirrored"] == 0


def test_the_ablation_switches(cut):
    part, spots = ellipse(ry=8, rx=20), FISH.copy()
    spots[36:44, 58:62], spots[4:10, 4:10] = False, True  # a hole and another piece
    answers, ious = [spots, part, part], (0.8, 0.95, 0.7)
    found, _ = cut([FISH_BOX], [0.8], answers, ious, choose=False, morphology=False, jitters=0)
    assert masks.iou(found.mask, part) > 0.99 and "SAM's best" in found.detail["why"]
    assert len(found.detail["candidates"]) == 3
    rough, _ = cut([FISH_BOX], [0.8], [spots] * 3, morphology=False)
    clean, _ = cut([FISH_BOX], [0.8], [spots] * 3, opening=0.05, closing=0.05, hole=0.05)
    assert rough.mask[6:8, 6:8].all() and not rough.mask[39:41, 59:61].any()
    assert clean.mask[36:44, 58:62].all() and not clean.mask[:12, :12].any()


def test_every_step_of_the_ablation_is_kept_from_one_look(cut):
    part, spots = ellipse(ry=8, rx=20), FISH.copy()
    spots[4:10, 4:10] = True  # another piece
    answers, ious = [spots, part, part], (0.9, 0.95, 0.7)
    found, calls = cut([FISH_BOX], [0.8], answers, ious, jitters=2)
    kept = {name: masks.from_rle(rle) for name, rle in found.detail["steps"].items()}
    assert calls == [3] and len(kept) == 5 and {m.shape for m in kept.values()} == {(H, W)}
    np.testing.assert_array_equal(kept["all steps"], found.mask)
    none = kept[gdino_sam.NONE]
    alone, _ = cut([FISH_BOX], [0.8], answers, ious, jitters=0, choose=False, morphology=False)
    np.testing.assert_array_equal(none, alone.mask)
    rough, _ = cut([FISH_BOX], [0.8], answers, ious, jitters=2, morphology=False)
    np.testing.assert_array_equal(kept["no morphology"], rough.mask)
    unprocessed, _ = cut([FISH_BOX], [0.8], answers, ious, jitters=0)
    np.testing.assert_array_equal(kept["no box processing"], unprocessed.mask)
    unchosen, _ = cut([FISH_BOX], [0.8], answers, ious, jitters=2, choose=False)
    np.testing.assert_array_equal(kept["no choice"], unchosen.mask)


def test_a_step_whose_mask_is_unusable_keeps_none(cut):
    found, _ = cut([FISH_BOX], [0.8], [ellipse(12, 100, 8, 8)], jitters=0)  # beside its box
    steps = dict(found.detail["steps"])
    assert masks.from_rle(steps.pop(gdino_sam.NONE)).any() and set(steps.values()) == {None}


def test_sams_best_is_of_the_best_box_as_it_is(cut):
    found, _ = cut([FISH_BOX, [0, 0, 20, 20]], [0.8, 0.4], [FISH, FISH, FISH], (0.5, 0.6, 0.4), choose=False)
    assert found.detail["chosen"] == 1


def test_the_same_photo_gives_the_same_boxes_and_another_seed_others(cut):
    tried = [cut([FISH_BOX], [0.8], [FISH], seed=seed)[0].detail["tried"] for seed in (0, 0, 1)]
    assert tried[0] == tried[1] != tried[2]


@pytest.mark.parametrize(
    "photo",
    [np.zeros((H, W), np.uint8), np.zeros((H, W, 4), np.uint8), np.zeros((W, H, 3), np.uint8).swapaxes(0, 1)],
)
def test_grey_alpha_and_views(cut, photo):
    assert cut([FISH_BOX], [0.8], [FISH], photo=photo)[0].status == "ok"


def test_models_are_loaded_at_the_first_photo_only(monkeypatch):
    monkeypatch.setattr(checkpoints, "fingerprint", lambda path, name: name)
    monkeypatch.setattr(gdino, "load", lambda *_: pytest.fail("loaded"))
    assert gdino_sam.build({}).segment([], []) == []


def test_the_key_follows_what_changes_the_result(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "sha256", lambda name: name)
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_bytes(name.encode())
    keys = [
        json.dumps(gdino_sam.build(options).key, sort_keys=True)
        for options in ({}, {"seed": 1}, {"box_threshold": 0.3}, {"dtype": "fp32"}, {"dtype": "bf16"},
                        {"sam": str(tmp_path / "a.safetensors")}, {"sam": str(tmp_path / "b.safetensors")})
    ]  # fmt: skip
    assert len(set(keys)) == 7  # "auto" is fp32 for the zoo, but with the quicker attention
    assert json.dumps(gdino_sam.build({}).key, sort_keys=True) == keys[0]


@pytest.mark.parametrize("options, message", [
    ({"box_treshold": 0.3}, "no option 'box_treshold'"),
    ({"box_threshold": "high"}, "a float is needed"),
    ({"choose": 1}, "a bool is needed"),
    ({"jitters": True}, "a int is needed"),
    ({"prompt": " . "}, "nothing to look for"),
    ({"dtype": "fp8"}, "dtype is 'fp8'"),
])  # fmt: skip
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(UserError, match=message):
        gdino_sam.build(options)


def test_a_missing_checkpoint_is_known_before_any_photo(monkeypatch, tmp_path):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(NotRun, match=r"sam_vit_b_01ec64\.pth"):
        gdino_sam.build({"sam": "vit_b"})
    with pytest.raises(NotRun, match=r"groundingdino_swint_ogc\.pth"):
        gdino_sam.build({"gdino": "swint_ogc"})
