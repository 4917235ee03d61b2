"""The mask inside the network: planted feature maps whose answer is known, and networks of real classes."""

import numpy as np
import pytest
import torch

from fishlib.beyond import fusions, inside
from fishlib.errors import UserError
from fishlib.naming import maps, sweep
from fishlib.naming.namer import Classifier, features
from fishlib.naming.networks import create, width
from fishlib.photos import composite, manifest, masks
from fishlib.photos.composite import CROP_MASK, ORIGINAL
from fishlib.profiles import load
from fishlib.removal import segmenting

SETTINGS = load("demo").composite.model_copy(update={"size": 64})


class Planted(torch.nn.Module):
    """A network whose last map is the picture in blocks of 16 pixels: what a place answers is known."""

    averages = True

    def __init__(self):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def feature_map(self, x):
        return torch.nn.functional.avg_pool2d(x, 16).permute(0, 2, 3, 1)

    def features_of(self, vector):
        return vector

    def forward(self, x):
        return x.mean(dim=(2, 3))


def namer(model, dim):
    return Classifier(model=model.eval(), name="made", pretraining="none", mean=(0,) * 3, std=(1 / 255,) * 3, dim=dim)


def photo(mask, fish, ground):
    """uint8 (H, W, 3): one grey where the mask is, another elsewhere."""
    return np.where(mask[..., None], np.uint8([fish] * 3), np.uint8([ground] * 3))


EVEN = [("squash", 64, 64), ("squash", 64, 192), ("squash", 160, 48), ("letterbox", 64, 128), ("letterbox", 256, 128)]


@pytest.mark.parametrize("fit,height,wide", EVEN)  # edges of mask and frame fall on edges of the map's places
@pytest.mark.parametrize("variant", [ORIGINAL, CROP_MASK])
def test_pooled_under_the_mask_a_planted_map_is_the_fish_alone(fit, height, wide, variant):
    settings = SETTINGS.model_copy(update={"fit": fit})
    mask = np.zeros((height, wide), bool)
    mask[: height // 2, : wide // 2] = True
    box = np.float32([0, 0, wide // 2, height // 2])
    [plain, masked] = asked(Planted(), photo(mask, 200, 40), mask, box, variant, settings)
    assert masked == pytest.approx([200] * 3)
    framed = 1 if fit == "squash" else 0.5  # the rest of a letterbox is black
    seen = 80 if variant == ORIGINAL else 200
    assert plain == pytest.approx([seen * framed] * 3)


@pytest.mark.parametrize("height,wide", [(100, 37), (45, 91)])
def test_on_photos_of_any_size_the_mask_lies_where_the_fish_does(height, wide):
    mask = np.zeros((height, wide), bool)
    mask[height // 3 : height // 2, wide // 4 : wide // 2] = True
    box = np.float32([wide // 4, height // 3, wide // 2, height // 2])
    share = inside.share_of(mask, box, ORIGINAL, (height, wide), SETTINGS)
    shown = composite.compose(photo(mask, 255, 0), mask, box, ORIGINAL, 64, "squash")
    np.testing.assert_allclose(share * 255, shown[..., 0])
    assert (inside.share_of(mask, box, CROP_MASK, (height, wide), SETTINGS) == 1).all()


def asked(model, image, mask, box, variant, settings):
    """(plain, masked) features of one photo of the size it is."""
    shown = composite.compose(image, mask, box, variant, settings.size, settings.fit, settings.crop_margin)
    share = inside.share_of(mask, box, variant, image.shape[:2], settings)
    return inside.ask(namer(model, 3), shown[None, None], share[None, None])[0, 0]


def test_a_mask_of_a_quarter_of_a_place_counts_a_quarter():
    share = np.zeros((64, 64), np.float32)
    share[:16, :16] = 1
    share[16:24, 16:24] = 1
    weights = inside.weigh(share, 4, 4)
    assert weights[0, 0] == 1 and weights[1, 1] == 0.25 and weights.sum() == 1.25
    assert inside.weigh(np.eye(6, dtype=np.float32), 2, 3).shape == (2, 3)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224", "test_vit"])
def test_under_a_full_or_an_empty_mask_it_is_plain_pooling(name):
    model = create(name, num_classes=0)
    made = namer(model, width(model))
    side = 160 if name == "test_vit" else 224
    pictures = np.random.default_rng(0).integers(0, 256, (2, 1, side, side, 3), np.uint8)
    for share in (1.0, 0.0):
        shares = np.full((2, 1, side, side), share, np.float32)
        answer = inside.ask(made, pictures, shares)[:, 0]  # (B, 2, D)
        plain, masked = answer[:, 0], answer[:, 1]
        np.testing.assert_allclose(masked, plain, rtol=1e-5, atol=1e-6)
        if maps.averages(made):
            np.testing.assert_allclose(plain, features(made, pictures[:, 0]), rtol=1e-3, atol=1e-4)


def test_what_is_pooled_hangs_on_the_mask(tiny_study):
    photos, found = scanned(tiny_study)
    before = inside.compute(tiny_study, photos, found, [ORIGINAL], "none")
    assert set(before) == {"original_plain", "original_inside"}
    assert np.abs(before["original_plain"] - before["original_inside"]).max() > 0

    masks.write_mask(np.ones((64, 96), bool), tiny_study.out / "segments" / "truth" / found["mask_file"].iloc[0])
    after = inside.compute(tiny_study, photos, found, [ORIGINAL], "none")
    changed = (before["original_inside"] != after["original_inside"]).any(axis=1)
    assert changed.tolist() == [True] + [False] * (len(photos) - 1)
    np.testing.assert_allclose(after["original_inside"][0], after["original_plain"][0], rtol=1e-5, atol=1e-6)


def test_inputs_and_fusions_are_ranked_on_the_draws_of_figure_3(tiny_study):
    photos, found = scanned(tiny_study)
    frame, _ = fusions.run(tiny_study, photos, found, "none")
    assert list(frame) == fusions.RANKED
    names = {"original", "crop", "mask", "crop_mask", "original_inside", "crop_mask_inside"}
    names |= {fusions.name_of(fusion) for fusion in tiny_study.profile.beyond.fusions}
    for _, rows in frame.groupby("k"):
        assert set(rows["input"]) == names
        assert rows["percent"].is_monotonic_decreasing
        assert rows["best"].iloc[0]
        own = rows[rows["input"] == rows["against"]]
        assert own["difference"].isna().all() and len(own) == 1
        others = rows[rows["input"] != rows["against"]]
        expected = others["percent"] - own["percent"].iloc[0]
        np.testing.assert_allclose(others["difference"], expected, atol=1e-9)
    figure3, _, _ = sweep.run(tiny_study, photos, found)
    of_figure = figure3.groupby(["variant", "k"])["micro_f1"].mean()
    for row in frame[frame["input"].isin(["original", "mask"])].itertuples():
        assert row.percent == pytest.approx(of_figure[row.input, row.k])


def test_the_weight_is_that_under_which_the_left_out_photos_are_likeliest():
    truth = np.array([[0, 1], [0, 1], [0, 1]])
    sure = np.array([[[0.9, 0.1], [0.1, 0.9]]])
    wrong = sure[:, ::-1]
    never = np.full((1, 2, 2), np.nan)
    first = np.concatenate([sure, wrong, sure])
    second = np.concatenate([wrong, sure, sure])
    assert fusions.chosen(first, second, truth).tolist() == [1, 0, 0.5]
    partly = sure.copy()
    partly[0, 1] = never[0, 1]
    assert fusions.chosen(partly, wrong, truth[:1]).tolist() == [1]


def test_every_input_has_a_name_in_words():
    demo = load("demo").beyond
    said = [fusions.label(fusions.name_of(fusion)) for fusion in demo.fusions]
    assert said[0] == "Mean of features: Original, pooled under the mask + Crop & Mask, pooled under the mask"
    assert fusions.label("original_plain") == "Original, mean of the tokens"


def test_a_fusion_of_what_there_is_not_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("based_on: demo\nname: mine\nbeyond: {inside: []}\n", encoding="utf-8")
    with pytest.raises(UserError, match="'original_inside' is no input, choose from original, crop, mask, crop_mask"):
        load(path)


def scanned(study):
    photos = manifest.scan(study.photos)
    manifest.write_manifest(study, photos)
    return photos, segmenting.run(study, study.method, photos)
