"""SAM 3 beside transformers' own pipeline, on tiny models of the real classes."""

import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from small_models import SAM3_SIDE, small_sam2, small_sam3

from fishlib.errors import NotRun, UserError
from fishlib.photos import masks
from fishlib.removal import segmenters
from fishlib.removal.segmenters import sam3

pytestmark = pytest.mark.skipif(not hasattr(transformers, "Sam3Model"), reason="this transformers has no SAM 3")
KINDS = ["sam3", "sam3_video"]  # alone, and inside the video model as it is published


def photo(seed=0, h=37, w=61):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: small_sam3(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def methods(folders):
    return {
        kind: sam3.build({"sam3": str(folder), "threshold": 0.0, "dtype": "fp32"}) for kind, folder in folders.items()
    }


def plain(folder, image, threshold, mask_threshold=0.5, words="fish"):
    """The pipeline of transformers' documentation: its dictionary of scores, boxes and masks."""
    from transformers import Sam3Model, Sam3Processor

    model = Sam3Model.from_pretrained(folder).eval()
    processor = Sam3Processor.from_pretrained(folder)
    inputs = processor(images=Image.fromarray(image), text=words, return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    sizes = inputs["original_sizes"].tolist()
    [found] = processor.post_process_instance_segmentation(out, threshold, mask_threshold, sizes)
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("size", [(37, 61), (61, 37), (3, 50)])  # an array 3 high could pass for its channels
@pytest.mark.parametrize("kind", KINDS)
def test_masks_boxes_and_scores_are_the_plain_pipelines(folders, methods, kind, size):
    image = photo(1, *size)
    expected = plain(folders[kind], image, 0.0)
    found = methods[kind].ask(image)
    order = np.argsort(-expected["scores"], kind="stable")
    assert len(found.scores) == 6 and np.ptp(found.scores) > 0.01
    np.testing.assert_allclose(found.scores, expected["scores"][order], atol=1e-5)
    inside = np.clip(expected["boxes"][order], 0, [size[1], size[0]] * 2)
    np.testing.assert_allclose(found.boxes, inside, atol=1e-3)
    for number, wanted in enumerate(expected["masks"][order]):
        mask = methods[kind].mask(found, number, size)
        assert mask.shape == size and (mask == wanted.astype(bool)).mean() > 0.999
    assert 0.05 < expected["masks"].mean() < 0.95  # all or nothing would show nothing


def test_the_thresholds_are_the_plain_pipelines(folders, methods):
    scores = methods["sam3"].ask(photo(1)).scores
    between = float(scores[2] + scores[3]) / 2
    options = {"sam3": str(folders["sam3"]), "threshold": between, "mask_threshold": 0.8, "dtype": "fp32"}
    method = sam3.build(options)
    found = method.ask(photo(1))
    expected = plain(folders["sam3"], photo(1), between, 0.8)
    assert len(found.scores) == len(expected["scores"]) == 3
    best = expected["masks"][expected["scores"].argmax()]
    assert (method.mask(found, 0, (37, 61)) == best.astype(bool)).mean() > 0.999


def test_another_word_and_another_photo_give_other_answers(folders, methods):
    other = sam3.build({"sam3": str(folders["sam3"]), "prompt": "Cat", "threshold": 0.0, "dtype": "fp32"})
    a, b = methods["sam3"].ask(photo(1)), other.ask(photo(1))
    assert np.abs(a.scores - b.scores).max() > 1e-4
    np.testing.assert_allclose(
        np.sort(b.scores), np.sort(plain(folders["sam3"], photo(1), 0.0, words="cat")["scores"]), atol=1e-5
    )
    assert np.abs(a.scores - methods["sam3"].ask(photo(2)).scores).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", [0, 2], ids=["red", "blue"])
def test_colours_arrive_unswapped(methods, kind, channel):
    image, seen = np.full((20, 30, 3), 20, np.uint8), []
    image[..., channel] = 250
    backbone = methods[kind].model[0].vision_encoder.backbone
    hook = backbone.register_forward_pre_hook(
        lambda _, x, named: seen.append((*x, *named.values())[0]), with_kwargs=True
    )
    methods[kind].ask(image)
    hook.remove()
    assert seen[0].shape == (1, 3, SAM3_SIDE, SAM3_SIDE)
    expected = ((np.eye(3)[channel] * 230 + 20) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(seen[0][0, :, 30, 30], expected, rtol=1e-4)


def planted(method, boxes, scores, present=0.9):
    """The model answers with these boxes (shares of the photo) and scores, each mask an ellipse inside its box."""
    model, _ = method.model
    y, x = np.mgrid[:16, :16] / 16 + 1 / 32

    def answer(module, given, out):
        ellipses = [
            ((x - (x0 + x1) / 2) / (x1 - x0) * 2) ** 2 + ((y - (y0 + y1) / 2) / (y1 - y0) * 2) ** 2 <= 1
            for x0, y0, x1, y1 in boxes
        ]
        out.pred_masks = torch.from_numpy(np.where(ellipses, 6.0, -6.0)).float()[None]
        out.pred_boxes = torch.tensor([boxes], dtype=torch.float32)
        out.pred_logits = torch.logit(torch.tensor([scores]) / present)
        out.presence_logits = torch.logit(torch.tensor([[present]]))
        return out

    return model.register_forward_hook(answer)


CORNER, MIDDLE, SLIM = [0.0, 0.0, 0.4, 0.5], [0.25, 0.25, 0.8, 0.75], [0.6, 0.1, 0.9, 0.3]


@pytest.fixture
def cut(folders):
    """cut(boxes, scores, present, **options): what the method makes of planted answers for a photo of 60 x 120."""

    def run(boxes, scores, present=0.9, **options):
        method = sam3.build({"sam3": str(folders["sam3"]), "dtype": "fp32", **options})
        hook = planted(method, boxes, scores, present)
        [found] = method.segment([photo(0, 60, 120)], ["a/1.jpg"])
        hook.remove()
        return found

    return run


def test_the_fish_near_the_centre_is_taken_at_its_own_place(cut):
    found = cut([CORNER, MIDDLE, SLIM], [0.8, 0.75, 0.6])
    y, x = np.mgrid[:60, :120] + 0.5
    ellipse = ((x - 63) / 33) ** 2 + ((y - 30) / 15) ** 2 <= 1
    assert found.status == "ok" and found.mask.shape == (60, 120) and masks.iou(found.mask, ellipse) > 0.85
    np.testing.assert_allclose(found.box, [30, 15, 96, 45], atol=1e-3)
    assert found.score == pytest.approx(0.75)
    kept = json.loads(json.dumps(found.detail))
    assert kept["box_scores"] == [0.8, 0.75, 0.6] and kept["chosen"] == 1 and "of 3 candidates" in kept["why"]
    assert masks.from_rle(kept["candidates"][1]["rle"]).shape == (8, 16)


def test_of_two_equally_central_the_surer_is_taken(cut):
    left, right = [0.2, 0.3, 0.5, 0.7], [0.5, 0.3, 0.8, 0.7]
    assert cut([left, right], [0.6, 0.8]).box[0] == 60
    assert cut([left, right], [0.8, 0.6]).box[0] == 24


def test_nothing_above_the_threshold_is_no_detection(cut):
    found = cut([MIDDLE], [0.49])
    assert (found.status, found.mask, found.box) == ("no_detection", None, None) and "fish" in found.reason
    assert cut([MIDDLE], [0.49], threshold=0.48).status == "ok"
    assert cut([MIDDLE], [0.09], present=0.1).status == "no_detection"  # sure of the place, not that there is one


def test_an_unusable_mask_is_rejected_and_the_box_kept(cut):
    found = cut([[0.4, 0.4, 0.405, 0.405]], [0.8])
    assert found.status == "mask_rejected" and "vanished" in found.reason and found.mask is None
    np.testing.assert_allclose(found.box, [48, 24, 48.6, 24.3], atol=1e-3)


def test_bf16_stays_close(folders, methods):
    half = sam3.build({"sam3": str(folders["sam3"]), "threshold": 0.0, "dtype": "bf16"})
    a, b = half.ask(photo()), methods["sam3"].ask(photo())
    assert a.logits.dtype == torch.float32
    # random weights answer nearly alike for several queries, whose order may change
    np.testing.assert_allclose(np.sort(a.scores), np.sort(b.scores), atol=0.02)
    assert not np.array_equal(a.scores, b.scores)


@pytest.mark.parametrize(
    "image", [np.zeros((20, 30), np.uint8), np.zeros((20, 30, 4), np.uint8), np.zeros((1, 1, 3), np.uint8)]
)
def test_grey_alpha_and_tiny_photos(methods, image):
    [found] = methods["sam3"].segment([image], ["a"])
    assert found.status in ("ok", "mask_rejected", "no_detection")


def test_bad_prompts_options_and_folders(folders, tmp_path, monkeypatch):
    folder = str(folders["sam3"])
    with pytest.raises(UserError, match="nothing to look for"):
        sam3.build({"sam3": folder, "prompt": " . "})
    with pytest.raises(UserError, match="too long for SAM 3"):
        sam3.build({"sam3": folder, "prompt": "fish " * 40}).segment([photo()], ["a"])
    with pytest.raises(UserError, match="threshold is 2"):
        sam3.build({"sam3": folder, "threshold": 2.0})
    with pytest.raises(UserError, match="zoo has no model 'sam3'"):
        sam3.build({"sam3": "zoo"})
    with pytest.raises(NotRun, match="holds a model of type 'sam2', no SAM 3"):
        sam3.build({"sam3": str(small_sam2(tmp_path))}).segment([photo()], ["a"])
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(NotRun, match=r"fishlib weights fetch sam3.*gated.*accept the SAM License"):
        sam3.build({})


def test_a_release_without_sam3_is_named(folders, monkeypatch):
    monkeypatch.setattr("transformers.__version__", "4.57.6")
    monkeypatch.setattr("transformers.Sam3Model", None)
    with pytest.raises(NotRun, match=r"transformers 4\.57\.6 has no Sam3Model; install transformers 5 or newer"):
        sam3.build({"sam3": str(folders["sam3"])}).segment([photo()], ["a"])


def test_keys_and_label(folders):
    keys = [
        json.dumps(segmenters.build("sam3", {"sam3": str(folder), **more}).key, sort_keys=True)
        for folder in folders.values()
        for more in ({"dtype": "fp32"}, {"dtype": "fp32", "prompt": "cat"}, {"dtype": "bf16"})
    ]
    assert len(set(keys)) == 6 and str(folders["sam3"]) not in keys[0]
    assert segmenters.label("sam3", {}) == "SAM 3"
