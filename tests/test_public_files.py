"""Public checkpoint files as they are published, reduced: read whole, and without a word on the screen."""

import fakes
import numpy as np
import pytest
import torch
from PIL import Image

from fishlib.removal.segmenters import gdino, sam, sam_clip
from fishlib.zoo.quiet import quiet


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return fakes.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return fakes.clip(tmp_path_factory.mktemp("clip"))


def test_bert_is_read_by_its_old_names_and_says_nothing(bert, capfd):
    kept = fakes.published_bert(bert)
    capfd.readouterr()

    tokenizer, model = gdino.read_bert(bert)
    said = capfd.readouterr()

    assert (said.out, said.err) == ("", "")
    assert tokenizer.convert_ids_to_tokens(tokenizer("Fish. a bird")["input_ids"]) == [
        "[CLS]", "fish", ".", "a", "bird", "[SEP]",
    ]  # fmt: skip
    for name, values in model.state_dict().items():
        assert name in kept and torch.equal(values, kept[name]), name


def test_clip_is_read_by_its_old_settings_and_says_nothing(clip, capfd):
    kept = torch.load(clip / "pytorch_model.bin", weights_only=True)
    capfd.readouterr()

    model, processor = sam_clip.read_clip(clip)
    tokens = processor(text=["a fish", "fish"], return_tensors="pt", padding=True)
    pixels = processor(images=[Image.new("RGB", (90, 60))], return_tensors="pt")
    with torch.no_grad():
        words = sam_clip.features_of(model.get_text_features(**tokens))
        seen = sam_clip.features_of(model.get_image_features(**pixels))
    said = capfd.readouterr()

    assert (said.out, said.err) == ("", "")
    assert words.shape == (2, 8) and seen.shape == (1, 8)
    torch.testing.assert_close(words.norm(dim=-1), torch.ones(2))
    for name, values in model.state_dict().items():
        assert name not in kept or torch.equal(values, kept[name]), name


def test_clip_sees_pictures_as_pillow_shrinks_them(clip):
    """Torchvision's bicubic, which newer releases of transformers would take, differs by up to a grey level or more."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8))
    _, processor = sam_clip.read_clip(clip)
    pixels = processor(images=[picture], return_tensors="pt")["pixel_values"][0]

    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    deviation = np.array([0.26862954, 0.26130258, 0.27577711])
    shrunk = np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(pixels.numpy().transpose(1, 2, 0), (shrunk - mean) / deviation, atol=1e-5)


def test_sam_vit_b_as_published_is_read_whole(tmp_path):
    with quiet():
        model = sam.load(str(fakes.sam_vit_b(tmp_path / "sam_vit_b_01ec64.pth")))
    assert model.image_encoder.img_size == 1024
    assert not any(values.any() for values in model.parameters())
