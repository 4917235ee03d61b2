"""SAM 2.1 and EdgeTAM in SAM's place, beside transformers' own pipeline, on tiny models of the real classes."""

import json

import cv2
import numpy as np
import pytest
import torch
import transformers
from small_models import SAM2_SIDE, bert_folder, small_sam2

from fishlib.errors import NotRun, UserError
from fishlib.photos import masks
from fishlib.removal import segmenters
from fishlib.removal.segmenters import gdino, gdino_sam, gdino_sam2, sam2

pytestmark = pytest.mark.skipif(
    not hasattr(transformers, "Sam2ImageProcessor"), reason="this transformers has no SAM 2 as it is published"
)
KINDS = ["sam2", "sam2_video", "edgetam"]
BOXES = np.float32([[3, 4, 30, 20], [0, 0, 61, 37], [40, 30, 44, 33]])


def photo(seed=0, h=37, w=61):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: small_sam2(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def models(folders):
    return {kind: sam2.load(str(folder), dtype="fp32") for kind, folder in folders.items()}


def plain(folder, image, boxes):
    """The pipeline of transformers' documentation: logits (n, 3, H, W), scores (n, 3)."""
    import transformers
    from PIL import Image

    kind = json.loads((folder / "config.json").read_text())["model_type"]
    model_class = transformers.EdgeTamModel if kind == "edgetam" else transformers.Sam2Model
    model = model_class.from_pretrained(folder).eval()
    processor = transformers.Sam2Processor.from_pretrained(folder)
    inputs = processor(images=Image.fromarray(image), input_boxes=[boxes.tolist()], return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs, multimask_output=True)
    [logits] = processor.post_process_masks(out.pred_masks, inputs["original_sizes"], binarize=False)
    return logits.numpy(), out.iou_scores[0].numpy()


@pytest.mark.parametrize("size", [(37, 61), (61, 37), (3, 50)])  # an array 3 high could pass for its channels
@pytest.mark.parametrize("kind", KINDS)
def test_masks_and_scores_are_the_plain_pipelines(folders, models, kind, size):
    image = photo(1, *size)
    boxes = np.clip(BOXES, 0, [size[1], size[0]] * 2)
    logits, scores = plain(folders[kind], image, boxes)
    [seen] = sam2.encode(models[kind], [image])
    ours, ious = sam2.decode(models[kind], seen, boxes)
    assert logits.std() > 0.05  # random weights that answer the same everywhere would show nothing
    np.testing.assert_allclose(ious, scores, atol=1e-5)
    for number in range(len(boxes)):
        full = sam2.upscale(models[kind], seen, ours[number])
        assert full.shape == (3, *size)
        np.testing.assert_allclose(full, logits[number], atol=1e-4)


def test_another_photo_another_box_another_answer(models):
    [a], [b] = sam2.encode(models["sam2"], [photo(1)]), sam2.encode(models["sam2"], [photo(2)])
    first = sam2.decode(models["sam2"], a, BOXES[:1])[0]
    assert (first - sam2.decode(models["sam2"], b, BOXES[:1])[0]).abs().max() > 1e-2
    assert (first - sam2.decode(models["sam2"], a, BOXES[2:])[0]).abs().max() > 1e-2


def test_boxes_in_one_call_and_in_turns(models, monkeypatch):
    [seen] = sam2.encode(models["sam2"], [photo()])
    once = sam2.decode(models["sam2"], seen, BOXES)
    monkeypatch.setattr(sam2, "PROMPTS_AT_ONCE", 2)
    for a, b in zip(once, sam2.decode(models["sam2"], seen, BOXES), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_what_the_decoder_lights_up_lights_up_in_the_photo():
    """One cell of the stretched square, planted: its place and its proportions in a photo that is no square."""
    seen = sam2.Encoded([], photo_size=(30, 120))
    logits = torch.full((1, 16, 16), -5.0)
    logits[0, 4:8, 8:12] = 5.0  # rows 1/4 to 1/2, columns 1/2 to 3/4
    [full] = sam2.upscale(None, seen, logits) > 0
    assert full.shape == (30, 120)
    expected = np.zeros((30, 120), bool)
    expected[8:15, 60:90] = True  # 30 / 4 = 7.5: row 7 is half of another cell
    assert masks.iou(full, expected) > 0.9
    [small] = sam2.uncovered(None, seen, logits) > 0
    assert small.shape == (4, 16) and small[1, 8:12].all() and small.sum() == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", [0, 2], ids=["red", "blue"])
def test_colours_arrive_unswapped(models, kind, channel):
    image, seen = np.full((20, 30, 3), 20, np.uint8), []
    image[..., channel] = 250
    hook = models[kind].model.vision_encoder.backbone.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    sam2.encode(models[kind], [image])
    hook.remove()
    assert seen[0].shape == (1, 3, SAM2_SIDE, SAM2_SIDE)
    expected = (np.eye(3)[channel] * 230 + 20) / 255
    expected = (expected - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(seen[0][0, :, 30, 30], expected, rtol=1e-4)


def test_bf16_stays_close_and_answers_in_fp32(folders, models):
    half = sam2.load(str(folders["sam2"]), dtype="bf16")
    [a], [b] = sam2.encode(half, [photo()]), sam2.encode(models["sam2"], [photo()])
    for ours, plain_ones in zip(a.features, b.features, strict=True):
        assert ours.dtype == torch.float32 and not torch.equal(ours, plain_ones)
        assert (ours - plain_ones).norm() < 0.05 * plain_ones.norm()


def test_a_folder_of_another_model_is_named(tmp_path, folders):
    with pytest.raises(NotRun, match=r"holds a model of type 'bert', no SAM 2 or EdgeTAM"):
        sam2.load(str(bert_folder(tmp_path)))
    (tmp_path / "config.json").write_text('{"model_type": "sam2"}', encoding="utf-8")
    with pytest.raises(NotRun, match=r"SAM 2 of transformers|lacks"):  # the weights are those of BERT
        sam2.load(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(NotRun, match=r"config\.json"):
        sam2.load(str(tmp_path))
    file = tmp_path / "vocab.txt"
    with pytest.raises(NotRun, match="a folder of transformers is needed"):
        sam2.load(str(file))


def test_a_folder_that_lacks_weights_is_no_model(tmp_path):
    from safetensors.torch import load_file, save_file

    small_sam2(tmp_path)
    file = tmp_path / "model.safetensors"
    state = {name: value for name, value in load_file(file).items() if "iou_token" not in name}
    save_file(state, file, {"format": "pt"})
    with pytest.raises(NotRun, match="lacks 1 weights of SAM 2"):
        sam2.load(str(tmp_path))
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(NotRun, match="is no SAM 2 of transformers"):
        sam2.load(str(tmp_path))


def test_no_code_of_a_folder_runs(tmp_path):
    small_sam2(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Sam2Model", "AutoConfig": "evil.Sam2Config"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    sam2.load(str(tmp_path))
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def found(monkeypatch):
    """The detector finds one box: (box, score)."""
    box = np.float32([10, 8, 50, 30])
    monkeypatch.setattr(gdino, "load", lambda *_: "detector")
    monkeypatch.setattr(gdino, "detect", lambda *_, **__: [(box[None], np.float32([0.7]), ["fish"])])
    return box


def test_the_method_is_the_proposal_with_another_decoder(found, folders, monkeypatch):
    """An ellipse planted in the decoder's square comes out of the whole method, chosen and cleaned."""
    y, x = np.mgrid[:64, :64] + 0.5
    square = torch.from_numpy(np.where(((y - 33) / 17) ** 2 + ((x - 31) / 20) ** 2 <= 1, 5.0, -5.0)).float()

    def decode(model, seen, boxes, multimask=True):
        none = torch.full_like(square, -5.0)
        return torch.stack([square, none, none]).repeat(len(boxes), 1, 1, 1), torch.tensor(
            [[0.9, 0.8, 0.7]] * len(boxes)
        )

    monkeypatch.setattr(sam2, "decode", decode)
    method = segmenters.build("gdino-sam2", {"gdino": "zoo", "sam2": str(folders["sam2"])})
    [cut] = method.segment([photo()], ["a"])
    expected = cv2.resize((square.numpy() > 0).astype(np.uint8), (61, 37), interpolation=cv2.INTER_NEAREST) > 0
    assert cut.status == "ok" and cut.mask.shape == (37, 61) and masks.iou(cut.mask, expected) > 0.85
    np.testing.assert_array_equal(cut.box, found)
    assert cut.score == pytest.approx(0.7) and cut.detail["size"] == [37, 61]
    assert len(cut.detail["candidates"]) == 15 and set(cut.detail["steps"]) >= {"all steps", gdino_sam.NONE}


def test_the_real_decoder_runs_through_the_method(found, folders):
    for kind in KINDS:
        method = segmenters.build("gdino-sam2", {"gdino": "zoo", "sam2": str(folders[kind])})
        [cut] = method.segment([photo()], ["a"])
        assert cut.status in ("ok", "mask_rejected") and len(cut.detail["candidates"]) == 15


def test_keys_options_and_labels(folders, tmp_path, monkeypatch):
    options = {"gdino": "zoo", "sam2": str(folders["sam2"])}
    keys = [
        json.dumps(segmenters.build("gdino-sam2", options | more).key, sort_keys=True)
        for more in ({}, {"seed": 1}, {"dtype": "bf16"}, {"sam2": str(folders["sam2_video"])})
    ]
    assert len(set(keys)) == 4 and str(folders["sam2"]) not in keys[0]
    assert segmenters.label("gdino-sam2", {}) == "GDINO-SAM 2"
    assert segmenters.label("gdino-sam2", options) == "GDINO-SAM 2 (stand-in)"
    with pytest.raises(UserError, match="no option 'sam'"):
        segmenters.build("gdino-sam2", {"sam": "vit_b"})
    with pytest.raises(UserError, match="zoo has no model 'sam2'"):
        segmenters.build("gdino-sam2", {"gdino": "zoo", "sam2": "zoo"})
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(NotRun, match=r"fishlib weights fetch groundingdino_swint_ogc sam2_hiera_large bert"):
        segmenters.build("gdino-sam2", {})


def test_the_defaults_follow_the_proposal():
    same = set(gdino_sam.DEFAULTS) - {"sam", "gdino"}
    assert {name: gdino_sam2.DEFAULTS[name] for name in same} == {name: gdino_sam.DEFAULTS[name] for name in same}
