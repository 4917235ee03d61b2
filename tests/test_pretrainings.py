"""Figure 3's colours, each with a backbone of its own: the profile of docs/models.md as pasted, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from fakes import SWIN_T
from safetensors.torch import save_file

from fishlib import profiles
from fishlib.beyond import namer
from fishlib.errors import UserError
from fishlib.naming import checkpoints, classifier, features, needs, sweep
from fishlib.opening import open_study
from fishlib.photos import manifest as manifests
from fishlib.photos.composite import ORIGINAL
from fishlib.removal import segmenting
from fishlib.show import captions, figure3

DOCS = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
[PASTED] = re.findall(r"^```yaml\n(.*?)^```$", DOCS, re.S | re.M)
DINO, CONVNEXT = "vit_small_patch14_dinov2", "convnext_tiny"
QUICK = {
    "compare": ["grabcut"],
    "transfer": {"shots": [1, 2], "trials": 2, "epochs": 5, "variants": ["original", "mask"]},
}


def random_state(backbone: str, **options) -> dict:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(backbone, num_classes=0, **options).state_dict()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights under the names of docs/models.md; DINOv2's with positions of 518 pixels, as it is published."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(random_state(SWIN_T), folder / "model.safetensors")
    torch.save(random_state(DINO, img_size=518), folder / "dinov2_vits14.pth")
    save_file(random_state(CONVNEXT), folder / "convnext_tiny.safetensors")
    return folder


@pytest.fixture
def ready(tiny_photos, tmp_path, weights, monkeypatch):
    """(study, manifest, segments) of the profile of docs/models.md, in the folder where its files lie."""
    monkeypatch.chdir(weights)
    monkeypatch.setattr(checkpoints, "imagenet_file", lambda backbone, offline=True: weights / "model.safetensors")
    monkeypatch.setattr(classifier, "imagenet_file", checkpoints.imagenet_file)
    profile = tmp_path / "own.yaml"
    profile.write_text(yaml.safe_dump(yaml.safe_load(PASTED) | QUICK, sort_keys=False), encoding="utf-8")
    given = {"photos": str(tiny_photos / "photos"), "masks": str(tiny_photos / "masks"), "method": "truth"}
    study = open_study(out=str(tmp_path / "run"), profile=str(profile), device="cpu", **given)
    manifest = manifests.scan_photos(study)
    found = segmenting.run(study, "truth", manifest)
    manifests.write_manifest(study, manifest)
    return study, manifest, found


def test_three_networks_give_figure_3(ready):
    study, manifest, found = ready
    labels = list(yaml.safe_load(PASTED)["pretrainings"])
    frame, _, notes = sweep.run(study, manifest, found)
    assert not [note for note in notes if "did not run" in note]
    assert list(dict.fromkeys(frame.pretraining)) == labels and len(frame) == 3 * 2 * 2 * 2
    assert all(name in captions.trained(study)["classifier"] for name in (SWIN_T, DINO, CONVNEXT))
    fig = figure3.panels(frame, captions.trained(study))
    fig.draw_without_rendering()
    assert [ax.get_title() for ax in fig.axes] == labels


def test_features_of_another_size_are_timms_own(ready, weights):
    study, manifest, found = ready
    source = checkpoints.pretrainings(study)["DINOv2"]
    values = features.compute(study, manifest, found, [ORIGINAL], source)[ORIGINAL.name]

    network = timm.create_model(DINO, img_size=224, num_classes=0).eval()
    state = torch.load(weights / "dinov2_vits14.pth", weights_only=True)
    network.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(state, network))
    row = found.set_index("photo_id").loc[manifest.photo_id.iloc[0]]
    picture = features.picture(study, manifest.iloc[0], row, [ORIGINAL])[ORIGINAL] / 255
    mean, std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
    x = torch.tensor(((picture - mean) / std).astype(np.float32)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = network(x)[0].numpy()
    np.testing.assert_allclose(values[0], expected, rtol=1e-3, atol=1e-4)


def test_labels_of_two_backbones_and_one_file_keep_apart(tmp_path):
    values = {"a": {"backbone": "resnet18", "weights": "none"}, "b": {"backbone": "resnet34", "weights": "none"}}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"based_on": "demo", "pretrainings": values}), encoding="utf-8")
    sources = checkpoints.of_profile(profiles.load(path))
    assert sources == {"a": "resnet18@none", "b": "resnet34@none"}
    assert checkpoints.identity(sources["a"]) != checkpoints.identity(sources["b"])
    assert checkpoints.describe(sources["a"]) == "resnet18 (random weights)"


def test_a_file_of_such_a_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("me@home.pth").write_bytes(b"")
    assert checkpoints.parted("me@home.pth", "resnet18") == ("resnet18", "me@home.pth")
    assert checkpoints.parted("/a@b/c.pth", "resnet18") == ("resnet18", "/a@b/c.pth")


def test_the_public_weights_of_any_label_are_fetched(tmp_path):
    path = tmp_path / "own.yaml"
    own = {"based_on": "demo", "method": "grabcut", "compare": []}
    networks = {"mine": {"backbone": SWIN_T, "weights": "imagenet"}}
    path.write_text(yaml.safe_dump(own | {"pretrainings": networks}), encoding="utf-8")
    assert needs.of(profiles.load(path)).names == ["swin_t"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "pretrainings: .*at least 1"),
        ([], "pretrainings: .*at least 1"),
        ("imagenet", "takes a list of weights, or label"),
        ({"<b>": "none"}, "may hold letters"),
        ({"a": {"backbone": "resnet18"}}, "pretrainings.a.weights: field required"),
        ({"a": {"backbone": "../x", "weights": "none"}}, "pretrainings.a.backbone"),
        ({"a": ["none"]}, "pretrainings.a"),
    ],
)
def test_what_no_pretraining_is_is_one_sentence(tmp_path, value, says):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"based_on": "demo", "pretrainings": value}), encoding="utf-8")
    with pytest.raises(UserError, match=says):
        profiles.load(path)


def test_patches_that_leave_a_rest_and_unknown_backbones_name_what_fits():
    with pytest.raises(UserError, match="choose 98"):
        classifier.load(f"{DINO}@none", device="cpu", side=96)
    with pytest.raises(UserError, match=r"timm knows no backbone 'resnet81'.*resnet18"):
        classifier.load("resnet81@none", device="cpu")


def test_a_run_keeps_a_network_without_its_folder(tmp_path):
    settings = namer.Settings("original", ["a", "b"], f"resnet18@{tmp_path}/mine.pth", 1.0, {}, 0.0)
    namer.keep(tmp_path, settings, None)
    assert json.loads((tmp_path / namer.FILE).read_text())["source"] == "resnet18@mine.pth"
