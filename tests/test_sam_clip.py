import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_models import small_sam

from fishlib import phantom
from fishlib.errors import UserError
from fishlib.photos import masks
from fishlib.removal.segmenters import checkpoints, sam, sam_clip

LABELS = ["red thing", "green thing", "blue thing"]


class Words(dict):
    def to(self, device):
        return self


class ColourClip(torch.nn.Module):
    """CLIP's interface; a crop's feature is its mean colour, a label's the colour it begins with."""

    device = "cpu"

    def __init__(self):
        super().__init__()
        self.logit_scale, self.batches, self.texts = torch.nn.Parameter(torch.tensor(1.0)), [], []

    def get_text_features(self, texts):
        self.texts += texts
        return torch.tensor(
            [[text.split()[-2] == colour for colour in ("red", "green", "blue")] for text in texts]
        ).float()

    def get_image_features(self, pixels):
        self.batches.append(len(pixels))
        return pixels.mean((1, 2)) + 1e-3


def processor(text=None, images=None, return_tensors="pt", padding=False):
    if text is not None:
        return Words(texts=text)
    colours = [np.asarray(image, np.float32).mean((0, 1), keepdims=True) / 255 for image in images]
    return Words(pixels=torch.from_numpy(np.stack(colours)))


def square(y, x, side=20):
    mask = np.zeros((60, 90), bool)
    mask[y : y + side, x : x + side] = True
    return mask


RED, RED_TOO, BLUE = square(5, 5), square(35, 60), square(20, 35)


@pytest.fixture
def cut(monkeypatch):
    monkeypatch.setattr(checkpoints, "fingerprint", lambda path, name: name)

    def run(found, side=128, **options):
        method = sam_clip.build({"labels": LABELS, **options})
        photo = np.zeros((60, 90, 3), np.uint8)
        photo[RED | RED_TOO], photo[BLUE] = (250, 0, 0), (0, 0, 250)
        records = [{"segmentation": m, "area": m.sum(), "predicted_iou": 0.9, "stability_score": 0.95} for m in found]
        encoder = SimpleNamespace(img_size=side)
        predictor = SimpleNamespace(model=SimpleNamespace(image_encoder=encoder))

        def generate(image):
            return [r | {"segmentation": masks.resize_mask(r["segmentation"], image.shape[:2])} for r in records]

        method.generator = SimpleNamespace(predictor=predictor, generate=generate)
        method.clip = (ColourClip(), processor)
        return method.segment([photo], ["a"])[0], method.clip[0]

    return run


def test_the_union_of_what_is_named_like_the_first_label(cut):
    found, clip = cut([RED, BLUE, RED_TOO])
    np.testing.assert_array_equal(found.mask, RED | RED_TOO)
    np.testing.assert_array_equal(found.box, [5, 5, 80, 55])
    assert found.status == "ok" and found.score > 0.8
    kept = json.loads(json.dumps(found.detail))["candidates"]
    assert [c["label"] for c in kept] == ["red thing", "blue thing", "red thing"] and kept[1]["fish"] < 0.5
    assert clip.texts == [f"a photo of a {label}" for label in LABELS]


def test_nothing_named_fish_and_nothing_at_all(cut):
    for found in (cut([BLUE])[0], cut([])[0], cut([RED & False])[0]):
        assert found.status == "no_detection" and found.mask is None and found.box is None
        assert "masks named red thing" in found.reason


def test_masks_of_a_photo_larger_than_sams_input_come_back_at_its_own_size(cut):
    found, _ = cut([RED, BLUE], side=45)  # half the photo's long side
    assert found.mask.shape == RED.shape and masks.iou(found.mask, RED) > 0.8


def test_only_the_stand_in_has_thresholds_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "fingerprint", lambda path, name: name)
    (tmp_path / "sam.pth").write_bytes(b"")
    own, other = (sam_clip.build(given).options for given in ({}, {"sam": str(tmp_path / "sam.pth")}))
    assert [other[k] for k in sam_clip.STAND_IN] == [32, 0.88, 0.95]  # SamAutomaticMaskGenerator's signature
    assert {k: own[k] for k in sam_clip.STAND_IN} == sam_clip.STAND_IN
    assert sam_clip.build({"points_per_side": 3}).options["points_per_side"] == 3


def test_the_stand_in_cuts_drawn_fish():
    names = list(phantom.traits.load())
    drawn = [phantom.draw(names[4 * k], 900_002, k, side=320) for k in range(4)]
    found = sam_clip.build({}).segment([p.photo for p in drawn], list("abcd"))
    scores = [0 if f.mask is None else masks.iou(f.mask, p.body | p.fins) for f, p in zip(found, drawn, strict=True)]
    assert sorted(scores)[1] > 0.75  # three of four; the ground round the fish would be near 0
    assert all("8 x 8 points" in f.detail["why"] for f in found)


def test_crops_go_in_batches_and_the_threshold_counts(cut):
    assert cut([RED, BLUE, RED_TOO], batch=2)[1].batches == [2, 1]
    assert cut([RED], probability=0.95)[0].status == "no_detection"


def test_a_crop_is_the_masked_part_alone_on_a_black_square():
    photo = np.full((60, 90, 3), 200, np.uint8)
    mask = square(10, 20, 8)
    mask[12, 20:60] = True
    part = np.asarray(sam_clip.crop(photo, mask))
    assert part.shape == (40, 40, 3) and (part > 0).any(-1).sum() == mask.sum() and set(np.unique(part)) == {0, 200}


def test_red_reaches_clip_as_red(cut):
    assert cut([RED])[0].detail["candidates"][0]["fish"] > 0.8


def test_the_real_generator_and_the_real_clip(monkeypatch):
    """Random weights, the packages' own classes: whatever comes out has the right form."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    text = {
        "vocab_size": 20,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "eos_token_id": 2,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    }
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})

    def both(text=None, images=None, **_):
        from transformers import BatchFeature

        ids = torch.tensor([[1, 3 + i, 2] for i in range(len(text or ()))])
        return BatchFeature({"input_ids": ids}) if text else pictures(images=images, return_tensors="pt")

    monkeypatch.setattr(checkpoints, "fingerprint", lambda path, name: name)
    monkeypatch.setattr(sam, "load", lambda *_: sam.prepare(small_sam()))
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    loose = {"pred_iou_thresh": -9.0, "stability_score_thresh": 0.0}
    for options in ({**loose, "probability": 0.0}, {**loose, "probability": 1.0}, {"pred_iou_thresh": 9.0}):
        method = sam_clip.build({"points_per_side": 3, "dtype": "fp32", **options})
        method.clip = (clip, both)
        [found] = method.segment([photo], ["a"])
        if options.get("probability") == 0.0:
            assert found.status == "ok" and found.mask.shape == (60, 90) and len(found.detail["candidates"]) > 0
        else:
            assert found.status == "no_detection"


@pytest.mark.parametrize(
    "options, message",
    [({"labels": ["fish"]}, "at least one rival"), ({"prompt": "Fish"}, "no option 'prompt'")],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(UserError, match=message):
        sam_clip.build(options)


def test_a_folder_that_is_no_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "fingerprint", lambda path, name: name)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"is no CLIP of transformers"):
        sam_clip.build({"clip": str(tmp_path)}).clip  # noqa: B018
