"""A red and a blue picture, from the file to what the first layer of every model is given."""

import warnings
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fishlib.naming import classifier
from fishlib.photos import decode
from fishlib.removal import segmenters

METHODS = {
    "grounding dino": ("gdino-sam", {"box_threshold": 0.0}, lambda m: m.detector.backbone[0].features),
    "sam": ("gdino-sam", {"box_threshold": 0.0}, lambda m: m.segment_anything.image_encoder.inner),
    "clip": ("sam-clip", {"pred_iou_thresh": -9.0, "stability_score_thresh": 0.0}, lambda m: m.clip[0].vision_model),
}


def picture(folder, channel):
    """A picture of one primary colour on disk, decoded by the project: uint8 (96, 128, 3) RGB."""
    bgr = np.full((96, 128, 3), 20, np.uint8)
    bgr[..., 2 - channel] = 250  # OpenCV writes BGR
    cv2.imwrite(str(folder / "picture.png"), bgr)
    return decode.decode(folder / "picture.png")


def strongest(x) -> int:
    """The channel that is highest in (B, 3, h, w), its values normalised or not."""
    return int(np.asarray(x, np.float32).max((0, 2, 3)).argmax())


@pytest.mark.parametrize("channel", [0, 2], ids=["red", "blue"])
@pytest.mark.parametrize("model", METHODS)
def test_colours_arrive_unswapped(model, channel, tmp_path):
    method, options, first = METHODS[model]
    segmenter, seen = segmenters.build(method, options, "cpu"), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first(segmenter).register_forward_pre_hook(
            lambda _, x, named: seen.append((*x, *named.values())[0]), with_kwargs=True
        )
        segmenter.segment([picture(tmp_path, channel)], ["picture"])
    assert seen and {strongest(x) for x in seen} == {channel}


@pytest.mark.parametrize("channel", [0, 2], ids=["red", "blue"])
def test_colours_arrive_unswapped_in_detic(channel, tmp_path):
    segmenter, seen = segmenters.build("detic"), []
    real = segmenter.session

    def run(names, inputs):
        seen.extend(inputs.values())
        return real.run(names, inputs)

    segmenter.session = SimpleNamespace(run=run, get_inputs=real.get_inputs)
    segmenter.segment([picture(tmp_path, channel)], ["picture"])
    assert [strongest(x) for x in seen] == [channel] and seen[0].max() == 250


@pytest.mark.parametrize("channel", [0, 2], ids=["red", "blue"])
def test_colours_arrive_unswapped_in_the_classifier(channel, tmp_path):
    model, seen = classifier.load("none", "mobilenetv3_small_050", "cpu"), []
    model.model.conv_stem.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    classifier.features(model, picture(tmp_path, channel)[None])
    assert [strongest(x) for x in seen] == [channel]
