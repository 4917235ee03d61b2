"""The zoo's checkpoints run through the packages' own interfaces and find drawn fish they never saw."""

import warnings

import numpy as np
import pytest
import torch

from fishlib import phantom, zoo
from fishlib.errors import UserError
from fishlib.photos import masks
from fishlib.photos.decode import working
from fishlib.removal import segmenters
from fishlib.removal.segmenters.sam_clip import features_of
from fishlib.training import data, evaluate

MB = {"gdino": 8.5, "sam": 7, "clip": 2, "detic": 6.5}


def detect(model, photo: np.ndarray, word: str = "fish") -> np.ndarray | None:
    """The best box XYXY in px of uint8 (H, W, 3) RGB, or None, by the package's predict at its demo's thresholds."""
    from groundingdino.util.inference import predict

    image = working(photo, model.image_side) / np.float32(255)
    boxes, scores, _ = predict(model, torch.from_numpy(data.normalised([image])[0]), word, 0.35, 0.25, "cpu")
    if not len(boxes):
        return None
    middle, half = boxes[scores.argmax()].numpy().reshape(2, 2) * photo.shape[1::-1] * [[1], [0.5]]
    return np.float32([*(middle - half), *(middle + half)])


@pytest.fixture(scope="module")
def models():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onnxruntime
        from segment_anything import SamPredictor

        session = onnxruntime.InferenceSession(str(zoo.path("detic")))
        return {"sam": SamPredictor(zoo.load("sam")), "gdino": zoo.load("gdino"), "detic": session}


@pytest.fixture(scope="module")
def pictures():
    """Eight drawn pictures, a seed that no training used: (photo, mask)."""
    names = list(phantom.traits.load())
    drawn = [phantom.draw(names[2 * k], 900_002, k, side=320) for k in range(8)]
    return [(p.photo, p.body | p.fins) for p in drawn]


@pytest.mark.parametrize("name", MB)
def test_files_are_small_and_of_safe_formats(name):
    file = zoo.path(name)
    assert file.stat().st_size < MB[name] * 1e6
    assert file.suffix in (".safetensors", ".onnx")


def test_an_unknown_model_is_named():
    with pytest.raises(UserError, match="'yolo'"):
        zoo.load("yolo")


def test_real_classes(models):
    from groundingdino.models.GroundingDINO.groundingdino import GroundingDINO
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam

    sam = models["sam"].model
    assert isinstance(models["gdino"], GroundingDINO) and isinstance(sam, Sam)
    assert isinstance(sam.prompt_encoder, PromptEncoder) and isinstance(sam.mask_decoder, MaskDecoder)
    assert not models["gdino"].training and not sam.training


def test_sam_cuts_fish_out_of_their_true_boxes(models, pictures):
    scores = []
    for photo, fish in pictures:
        models["sam"].set_image(photo)
        found, said, _ = models["sam"].predict(box=data.box_of(fish))
        assert found.shape == (3, *fish.shape) and said.shape == (3,)
        scores.append(masks.iou(found[said.argmax()], fish))
    assert np.mean(scores) > 0.75  # the box itself: about 0.45


def test_gdino_finds_fish_and_only_fish(models, pictures):
    found = [detect(models["gdino"], photo) for photo, _ in pictures]
    pairs = [(box, data.box_of(fish)) for box, (_, fish) in zip(found, pictures, strict=True)]
    hits = [box is not None and evaluate.box_iou(box, true) >= 0.5 for box, true in pairs]
    assert np.mean(hits) >= 0.75
    silent = [detect(models["gdino"], photo, word) is None for photo, _ in pictures for word in ("bird", "qwerty")]
    assert np.mean(silent) >= 0.9


def test_gdino_sizes_of_the_picture_hardly_matter(models, pictures):
    from groundingdino.util.inference import predict

    photo = pictures[0][0].astype(np.float32) / 255
    boxes = []
    for times in (1, 2):
        image = torch.from_numpy(data.normalised([photo.repeat(times, 0).repeat(times, 1)])[0])
        found, scores, phrases = predict(models["gdino"], image, "Fish", 0.1, 0.1, device="cpu")
        boxes.append(found[scores.argmax()])
        assert "fish" in phrases[int(scores.argmax())]
    assert torch.allclose(*boxes, atol=0.03)


def test_automatic_masks(models, pictures):
    from segment_anything import SamAutomaticMaskGenerator

    made = SamAutomaticMaskGenerator(
        models["sam"].model, points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3
    )
    found = made.generate(pictures[0][0])
    assert found and all(m["segmentation"].shape == pictures[0][1].shape for m in found)


def test_clip_tells_fish_from_ground(pictures):
    model, processor = zoo.load("clip")
    rng, crops = np.random.default_rng(0), []
    for photo, fish in pictures:
        y0, x0 = rng.integers(0, 100, 2)
        ground = np.where(fish[..., None], 0, photo)[y0 : y0 + 100, x0 : x0 + 100]
        x0, y0, x1, y1 = data.box_of(fish).astype(int)
        crops += [np.where(fish[..., None], photo, 0)[y0:y1, x0:x1], ground]
    text = processor(text=["a photo of a fish", "a photo of a stone"], return_tensors="pt", padding=True)
    images = processor(images=crops, return_tensors="pt")
    seen = features_of(model.get_image_features(**images))
    words = features_of(model.get_text_features(**text))
    fish = (seen @ words.T).argmax(1) == 0
    assert fish[::2].float().mean() > fish[1::2].float().mean() + 0.4


def test_detic_stand_in_has_its_signature_and_finds_fish(models, pictures):
    session = models["detic"]
    assert [i.name for i in session.get_inputs()] == ["img"]
    assert [o.name for o in session.get_outputs()] == ["boxes", "scores", "classes", "masks"]
    boxes, scores, classes, parts = session.run(None, {"img": np.zeros((1, 3, 200, 300), np.float32)})
    assert boxes.shape[1:] == (4,) and parts.shape == (len(scores), 28, 28) and set(classes) == {446}
    scores = []
    for photo, fish in pictures:
        [found] = segmenters.build("detic").segment([photo], [""])
        scores.append(0.0 if found.mask is None else masks.iou(found.mask, fish))
    assert np.mean(scores) > 0.5


@pytest.mark.parametrize("name", MB)
def test_cards_are_of_these_files_and_say_how_to_make_and_measure_them(name):
    card = (evaluate.CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert zoo.sha256(name) in card and "trained on drawn fish only" in card
    assert f"fishlib.training.train {name} --out" in card and "fishlib.training.evaluate --work" in card
    assert "## Limits" in card and "Held-out drawn pictures" in card


def test_a_card_says_which_targets_are_missed():
    assert evaluate.held("drawn", "gdino", evaluate.BOX, 0.97) == ">= 0.97: holds"
    assert evaluate.held("drawn", "gdino", evaluate.ALARMS, 0.04) == "<= 0.03: missed"
    assert evaluate.held("drawn", "clip", evaluate.MEAN, 0.5) == ""


def test_a_recipe_has_the_legs_it_started_from():
    first = "gdino-leg1 (batch 16, minutes 62.0, pictures 4000, rate 0.001, seconds 3721, seed 1, steps 2100)"
    second = {"started from": first, "rate": "0.0004", "seed": "2", "minutes": "13.0", "steps": "824"}
    legs = [
        "python -m fishlib.training.train gdino --out LEG1 --pictures 4000 --seed 1 --minutes 62.0"
        " --batch 16 --rate 0.001",
        "python -m fishlib.training.train gdino --out DIR --seed 2 --minutes 13.0 --rate 0.0004"
        " --start LEG1/gdino.safetensors",
    ]
    assert evaluate.recipe("gdino", second) == legs
    listed = ", ".join(f"{k} {v}" for k, v in sorted(second.items()))
    third = {"started from": f"gdino-leg2.safetensors ({listed})", "fishless": "0.5", "seed": "3"}
    assert evaluate.recipe("gdino", third) == [
        legs[0],
        legs[1].replace("DIR", "LEG2"),
        "python -m fishlib.training.train gdino --out DIR --fishless 0.5 --seed 3 --start LEG2/gdino.safetensors",
    ]
    assert evaluate.recipe("sam", {"seed": "1", "started from": "ImageNet features"}) == [
        "python -m fishlib.training.train sam --out DIR --seed 1"
    ]
