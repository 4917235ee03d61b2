import copy

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor, sam_model_registry
from small_models import SIDE, small_sam

from fishlib.errors import NotRun, UserError
from fishlib.removal.segmenters import common, sam

BOXES = np.float32([[10, 12, 90, 60], [0, 0, 120, 80], [40, 30, 44, 33]])


def photo(seed, h=80, w=120):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


@pytest.fixture(scope="module")
def models():
    """(as the package builds it, prepared)"""
    plain = small_sam()
    return plain, sam.prepare(copy.deepcopy(plain))


@pytest.mark.parametrize("block", [1 << 21, 64 * 9, 9 * 9 * 7, 1])  # many heads at once, some queries, one
def test_block_attention_is_the_packages(models, monkeypatch, block):
    monkeypatch.setattr(sam, "BIAS_BLOCK", block)
    x = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(models[1].image_encoder(x), models[0].image_encoder(x), atol=1e-5, rtol=1e-4)


def test_relative_positions_matter_in_that_comparison(models):
    changed = copy.deepcopy(models[1])
    changed.image_encoder.inner.blocks[1].attn.rel_pos_h.data += torch.randn(15, 16)
    x = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        assert (changed.image_encoder(x) - models[0].image_encoder(x)).abs().max() > 1e-2


def test_masks_and_logits_are_sam_predictors(models):
    predictor, image = SamPredictor(models[0]), photo(0)
    predictor.set_image(image)
    [seen] = sam.encode(models[1], [image])
    logits, ious = sam.decode(models[1], seen, BOXES)
    assert logits.shape == (3, 3, 32, 32) and ious.shape == (3, 3)
    for i, box in enumerate(BOXES):
        masks, scores, low = predictor.predict(box=box, multimask_output=True, return_logits=True)
        np.testing.assert_allclose(logits[i], low, atol=1e-4)
        np.testing.assert_allclose(ious[i], scores, atol=1e-4)
        np.testing.assert_allclose(sam.upscale(models[1], seen, logits[i]), masks, atol=1e-4)
        single, score, _ = predictor.predict(box=box, multimask_output=False, return_logits=True)
        one, iou = sam.decode(models[1], seen, box, multimask=False)
        np.testing.assert_allclose(sam.upscale(models[1], seen, one[0]), single, atol=1e-4)
        np.testing.assert_allclose(iou[0], score, atol=1e-4)


def test_photos_together_or_one_by_one(models):
    images = [photo(0), photo(1), photo(2, 50, 50)]
    for together, image in zip(sam.encode(models[1], images), images, strict=True):
        [alone] = sam.encode(models[1], [image])
        assert together.photo_size == image.shape[:2] and together.input_size == alone.input_size
        torch.testing.assert_close(together.features, alone.features, atol=1e-5, rtol=1e-4)


def test_boxes_in_one_call_and_in_turns(models, monkeypatch):
    [seen] = sam.encode(models[1], [photo(0)])
    once = sam.decode(models[1], seen, BOXES)
    monkeypatch.setattr(sam, "PROMPTS_AT_ONCE", 2)
    for a, b in zip(once, sam.decode(models[1], seen, BOXES), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_bf16_stays_close_and_answers_in_fp32(models):
    half = sam.prepare(copy.deepcopy(models[0]), bf16=True)
    [a], [b] = sam.encode(half, [photo(0)]), sam.encode(models[1], [photo(0)])
    assert a.features.dtype == torch.float32 and not torch.equal(a.features, b.features)
    assert (a.features - b.features).norm() < 0.03 * b.features.norm()
    SamPredictor(half).set_image(photo(0))  # the package's own predictor takes the prepared model too


def test_red_arrives_as_red(models):
    image, seen = np.zeros((80, 120, 3), np.uint8), []
    image[..., 0] = 255
    hook = models[1].image_encoder.inner.patch_embed.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    sam.encode(models[1], [image])
    hook.remove()
    expected = (np.array([255, 0, 0]) - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    np.testing.assert_allclose(seen[0][0, :, 40, 40], expected, rtol=1e-4)


@pytest.mark.parametrize("h, w", [(1, 1), (3, 700), (900, 20)])
def test_odd_sizes(models, h, w):
    [seen] = sam.encode(models[1], [photo(0, h, w)])
    logits, _ = sam.decode(models[1], seen, [0, 0, w, h])
    assert sam.upscale(models[1], seen, logits[0]).shape == (3, h, w)
    small = sam.uncovered(models[1], seen, logits[0])
    assert small.shape[0] == 3 and max(small.shape) == 32 and min(small.shape) >= 1


def test_a_checkpoint_is_read_as_data_and_checked(tmp_path, monkeypatch):
    wide = small_sam()
    wide.image_encoder.patch_embed.proj.weight = torch.nn.Parameter(torch.zeros(768, 3, 16, 16))
    monkeypatch.setitem(sam_model_registry, "vit_b", small_sam)
    torch.save(wide.state_dict(), tmp_path / "wrong.pth")
    with pytest.raises(UserError, match=r"wrong\.pth lacks weights"):
        sam.load(str(tmp_path / "wrong.pth"))
    torch.save(small_sam().state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match="holds no Segment Anything"):
        sam.load(str(tmp_path / "other.pth"))
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match=r"cut\.pth is no readable file of plain weights"):
        sam.load(str(tmp_path / "cut.pth"))
    with pytest.raises(NotRun, match=r"sam_vit_h_4b8939\.pth"):
        monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
        sam.load("vit_h")


@pytest.mark.parametrize(
    "dtype, units, bf16",
    [("auto", True, True), ("auto", False, False), ("fp32", True, False), ("bf16", False, True)],
)
def test_number_format(monkeypatch, dtype, units, bf16):
    monkeypatch.setattr(common, "has_bf16", lambda device: units)
    assert common.wants_bf16(dtype, "cpu") is bf16
    assert common.wants_bf16(dtype, "cpu", "zoo") is (dtype == "bf16")
    with pytest.raises(UserError, match="fp16"):
        common.wants_bf16("fp16", "cpu")
