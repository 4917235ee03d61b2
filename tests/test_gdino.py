import copy
import types
import warnings

import numpy as np
import pytest
import torch
from fakes import grounding_dino
from PIL import Image
from small_models import bert_folder, small_gdino

from fishlib.errors import NotRun, UserError
from fishlib.removal.segmenters import common, gdino, gdino_fast
from fishlib.zoo.quiet import quiet

with quiet():
    from groundingdino.models.GroundingDINO.fuse_modules import BiMultiHeadAttention
    from groundingdino.util import inference


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return bert_folder(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def plain(bert):
    return small_gdino(bert)


@pytest.fixture(scope="module")
def model(plain):
    return gdino.prepare(copy.deepcopy(plain))


def photo(seed=0, h=12, w=240):
    """Long and narrow, so that the package's 1333 px limit keeps the test small (67 x 1333)."""
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


def package(model, image, tmp_path, box_threshold=0.0):
    """The package's own way from a file: boxes XYXY in pixels and scores, best first."""
    Image.fromarray(image).save(tmp_path / "photo.png")
    _, pixels = inference.load_image(str(tmp_path / "photo.png"))
    with quiet():
        boxes, scores, phrases = inference.predict(model, pixels, "Fish", box_threshold, 0.25, device="cpu")
    order = scores.argsort(descending=True, stable=True)
    h, w = image.shape[:2]
    corners = inference.box_convert(boxes, "cxcywh", "xyxy") * torch.tensor([w, h, w, h])
    return corners[order].numpy(), scores[order].numpy(), [phrases[i] for i in order]


@pytest.mark.parametrize(
    "text, caption",
    [("Fish", "fish."), (" FISH . ", "fish ."), ("fish.", "fish."), ("Bird. Fish", "bird. fish.")],
)
def test_prompt_gate(text, caption):
    assert common.prompt(text) == caption == common.prompt(caption)


@pytest.mark.parametrize("text", ["", " . ", "??"])
def test_a_prompt_without_a_word_is_refused(text):
    with pytest.raises(UserError, match="nothing to look for"):
        common.prompt(text)


@pytest.mark.parametrize("h, w", [(480, 640), (640, 480), (64, 640), (7, 5), (1500, 2000)])
def test_input_is_the_packages(h, w, tmp_path):
    image = photo(1, h, w)
    Image.fromarray(image).save(tmp_path / "photo.png")
    torch.testing.assert_close(
        gdino.to_input(object(), image), inference.load_image(str(tmp_path / "photo.png"))[1], atol=0, rtol=0
    )


def test_a_model_with_its_own_size_gets_the_photo_as_it_is():
    assert gdino.to_input(types.SimpleNamespace(image_side=320), photo(1, 48, 64)).shape == (3, 48, 64)


def test_boxes_are_the_packages(plain, model, tmp_path):
    image = photo()
    boxes, scores, phrases = package(plain, image, tmp_path)
    [(ours, confidence, words)] = gdino.detect(model, [image], "Fish", 0.0)
    assert len(ours) == 30 and np.ptp(scores) > 0.01
    np.testing.assert_allclose(confidence, scores, atol=1e-5)
    h, w = image.shape[:2]
    np.testing.assert_allclose(ours, np.clip(boxes, 0, [w, h, w, h]), atol=1e-3)
    assert words == phrases
    middle = float(np.sort(scores)[-8:-6].mean())
    assert (
        len(gdino.detect(model, [image], "Fish", middle)[0][0]) == 7 == len(package(plain, image, tmp_path, middle)[0])
    )


def test_the_prompt_is_heard(model):
    [(_, fish, _)], [(_, bird, _)] = (
        gdino.detect(model, [photo()], "fish", 0.0),
        gdino.detect(model, [photo()], "bird", 0.0),
    )
    assert np.abs(fish - bird).max() > 1e-3


def test_together_or_one_by_one(model):
    images = [photo(0), photo(1), photo(2, 11, 240)]
    for (boxes, scores, _), image in zip(gdino.detect(model, images, "Fish", 0.0), images, strict=True):
        [(alone, confidence, _)] = gdino.detect(model, [image], "Fish", 0.0)
        np.testing.assert_allclose(scores, confidence, atol=1e-4)
        np.testing.assert_allclose(boxes, alone, atol=1e-2)


def test_text_is_encoded_once_a_run(plain):
    model, calls = gdino.prepare(copy.deepcopy(plain)), []
    model.bert.bert.register_forward_pre_hook(lambda *_: calls.append(1))
    for seed in range(2):
        gdino.detect(model, [photo(seed)], "Fish", 0.0)
    assert len(calls) == 1
    gdino.detect(model, [photo(0)], "bird", 0.0)
    assert len(calls) == 2
    assert gdino.prepare(model).bert is model.bert  # preparing twice does not wrap twice


def test_overlapping_boxes_and_surplus_are_dropped(model):
    class Stub(torch.nn.Linear):
        tokenizer = model.tokenizer

        def forward(self, x, captions):
            logits = torch.full((1, 4, 256), -9.0)
            logits[0, :, 1] = torch.tensor([0.2, 2.0, 1.9, -3.0])
            return {
                "pred_logits": logits,
                "pred_boxes": torch.tensor(
                    [
                        [
                            [0.2, 0.2, 0.2, 0.2],
                            [0.5, 0.5, 0.4, 0.4],
                            [0.5, 0.5, 0.41, 0.4],
                            [0.8, 0.8, 0.1, 0.6],
                        ]
                    ]
                ),
            }

    def run(**limits):
        return gdino.detect(Stub(1, 1), [photo(0, 100, 200)], "fish", **limits)[0]

    boxes, scores, phrases = run(box_threshold=0.5, nms_iou=0.8)
    np.testing.assert_allclose(boxes, [[60, 30, 140, 70], [20, 10, 60, 30]], atol=1e-3)
    assert scores[0] > scores[1] > 0.5 and phrases == ["fish", "fish"] and boxes.dtype == np.float32
    assert len(run(box_threshold=0.5, nms_iou=1.0)[0]) == 3 and len(run(box_threshold=0.5, max_boxes=1)[0]) == 1
    nothing = run(box_threshold=0.95)
    assert nothing[0].shape == (0, 4) and len(nothing[1]) == 0
    edge = run(box_threshold=0.0)[0]
    assert (edge >= 0).all() and (edge <= [200, 100, 200, 100]).all()


def test_red_arrives_as_red(model):
    image, seen = np.zeros((12, 240, 3), np.uint8), []
    image[..., 0] = 255
    hook = model.backbone[0].patch_embed.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    gdino.detect(model, [image], "Fish", 0.0)
    hook.remove()
    expected = (np.array([1, 0, 0]) - gdino.MEAN) / gdino.STD
    np.testing.assert_allclose(seen[0][0, :, 30, 600], expected, rtol=1e-4)


def test_lean_fusion_is_the_packages_attention():
    torch.manual_seed(0)
    attention = BiMultiHeadAttention(12, 10, 32, 4).eval()
    for values in attention.parameters():
        torch.nn.init.normal_(values, std=0.4)
    lean = copy.deepcopy(attention)
    lean.__class__ = gdino_fast.LeanFusion
    image, text = torch.randn(2, 7, 12), torch.randn(2, 3, 10)
    no_image, no_text = torch.zeros(2, 7, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.bool)
    no_image[1, 5:] = no_text[0, 2] = True
    for masks in ((None, None), (no_image, no_text)):
        for a, b in zip(lean(image, text, *masks), attention(image, text, *masks), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("photos, shapes", [(1, [[4, 6], [2, 3]]), (2, [[7, 5]]), (2, [[1, 9], [3, 1], [1, 1]])])
def test_gathered_is_the_packages_sampling(photos, shapes):
    torch.manual_seed(0)
    shapes = torch.tensor(shapes)
    value = torch.randn(photos, int(shapes.prod(1).sum()), 3, 8)
    locations = torch.rand(photos, 11, 3, len(shapes), 4, 2) * 1.6 - 0.3  # some outside
    weights = torch.rand(photos, 11, 3, len(shapes), 4)
    expected = gdino_fast.deformable.multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
    torch.testing.assert_close(gdino_fast.gathered(value, shapes, locations, weights), expected, atol=1e-5, rtol=1e-4)


def test_lean_attention_changes_nothing_that_shows(plain, model):
    lean = gdino.prepare(copy.deepcopy(plain), lean=True)
    [(boxes, a, _)], [(others, b, _)] = (gdino.detect(m, [photo()], "Fish", 0.0) for m in (lean, model))
    assert np.median(np.abs(a - b)) < 1e-5 and np.median(np.abs(boxes - others)) < 1e-3


def test_bf16_changes_little(plain, model):
    half = gdino.prepare(copy.deepcopy(plain), bf16=True)
    kinds = {type(m) for m in half.modules()}
    assert {gdino_fast.LeanFusion, gdino_fast.LeanDeformable} <= kinds
    [(_, a, _)], [(_, b, _)] = (
        gdino.detect(half, [photo()], "Fish", 0.0),
        gdino.detect(model, [photo()], "Fish", 0.0),
    )
    assert 0 < np.median(np.abs(a - b)) < 0.01  # a proposal at the edge of the 30 queries may be another one


def test_attention_runs_without_the_compiled_operator():
    """A module as the original repository's: it calls its autograd function, which needs `_C`."""

    class MultiScaleDeformableAttnFunction(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            raise NameError("name '_C' is not defined")

    original = gdino_fast.deformable.multi_scale_deformable_attn_pytorch
    module = types.SimpleNamespace(
        MultiScaleDeformableAttnFunction=MultiScaleDeformableAttnFunction,
        multi_scale_deformable_attn_pytorch=original,
    )
    shapes = torch.tensor([[4, 6], [2, 3]])
    value, locations, weights = (
        torch.randn(1, 30, 2, 8),
        torch.rand(1, 5, 2, 2, 4, 2),
        torch.rand(1, 5, 2, 2, 4),
    )
    arguments = (value, shapes, torch.tensor([0, 24]), locations, weights, 64)
    with pytest.raises(NameError):
        MultiScaleDeformableAttnFunction.apply(*arguments)
    gdino_fast.without_compiled_operator(module)
    expected = original(value, shapes, locations, weights)
    torch.testing.assert_close(module.MultiScaleDeformableAttnFunction.apply(*arguments), expected)
    compiled = types.SimpleNamespace(MultiScaleDeformableAttnFunction=types.SimpleNamespace(apply=1), _C=object())
    gdino_fast.without_compiled_operator(compiled)
    assert compiled.MultiScaleDeformableAttnFunction.apply == 1


class OnGpu(torch.Tensor):
    """Numbers of this machine's memory that say they lie on a GPU."""

    device = types.SimpleNamespace(type="cuda")


def test_on_a_gpu_the_packages_own_pytorch_function_answers(plain, monkeypatch):
    monkeypatch.setattr(gdino_fast, "gathered", lambda *_: pytest.fail("made for a CPU"))
    lean = gdino.prepare(copy.deepcopy(plain), lean=True)
    ours, theirs = (
        next(m for m in model.modules() if isinstance(m, gdino_fast.deformable.MultiScaleDeformableAttention))
        for model in (lean, plain)
    )
    shapes = torch.tensor([[4, 6], [2, 3], [1, 2], [1, 1]])
    words = {"spatial_shapes": shapes, "level_start_index": torch.tensor([0, 24, 30, 32])}
    words |= {"reference_points": torch.rand(1, 5, 4, 2), "value": torch.rand(1, 33, 256)}
    query = torch.rand(1, 5, 256)
    if not ours.batch_first:
        query, words["value"] = query.transpose(0, 1), words["value"].transpose(0, 1)
    with torch.no_grad():
        answer, expected = ours(query.as_subclass(OnGpu), **words), theirs(query, **words)
    assert type(ours) is gdino_fast.LeanDeformable
    torch.testing.assert_close(answer.as_subclass(torch.Tensor), expected)


def test_loads_the_published_kind_of_file_without_a_word(bert, tmp_path, monkeypatch, capfd):
    kept = grounding_dino(tmp_path / "fish.pth", bert)
    monkeypatch.setattr(gdino, "build", lambda config, folder: small_gdino(folder))
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = gdino.load(str(tmp_path / "fish.pth"), str(bert), dtype="fp32")
        gdino.detect(model, [photo()], "Fish", 0.5)
    assert capfd.readouterr() == ("", "")
    for name, values in kept.state_dict().items():
        assert torch.equal(values, model.state_dict()[name.replace("bert.", "bert.bert.")]), name


def test_the_packages_configs_build(bert, capsys):
    assert gdino.build(gdino.CONFIGS[96], bert).num_queries == 900
    assert capsys.readouterr() == ("", "")


def test_missing_and_wrong_files_are_named(bert, tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(NotRun, match=r"groundingdino_swint_ogc\.pth"):
        gdino.load("swint_ogc")
    torch.save({"model": {"other": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth holds no Grounding DINO"):
        gdino.load(str(tmp_path / "other.pth"), str(bert))
    torch.save({"model": {"backbone.0.patch_embed.proj.weight": torch.zeros(96, 3, 4, 4)}}, tmp_path / "half.pth")
    monkeypatch.setattr(gdino, "build", lambda config, folder: small_gdino(folder))
    with pytest.raises(UserError, match=r"half\.pth lacks"):
        gdino.load(str(tmp_path / "half.pth"), str(bert))
