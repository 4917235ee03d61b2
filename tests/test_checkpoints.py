"""Checkpoint files as people have them: wrapped, prefixed, with buffers, of another program, damaged."""

import json
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from fakes import NARROW_SWIN, SWIN_T, hugging_face_swin, narrow, swin_t, swin_t_state
from safetensors.torch import save_file

from fishlib.errors import UserError
from fishlib.naming import checkpoints, classifier

TINY = "test_efficientnet"


@pytest.fixture
def narrow_swin(monkeypatch):
    narrow(monkeypatch)


@pytest.fixture
def whole():
    """A timm model with its last layer, as other people's training leaves it."""
    torch.manual_seed(0)
    return classifier.create(TINY, num_classes=3).eval()


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, 224, 224, 3), np.uint8)


# --- Swin-T as it is published: timm's names, with 17 buffers
def test_the_published_swin_t_answers_as_timm_itself_loads_it(tmp_path, monkeypatch):
    file = swin_t(tmp_path / "model.safetensors")
    timms = timm.create_model(SWIN_T, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, **NARROW_SWIN).eval()
    narrow(monkeypatch)
    ours = classifier.load(file, SWIN_T, "cpu")
    assert ours.notes == []
    with torch.inference_mode():
        expected = timms(classifier.normalise(ours, picture())).numpy()
    answers = classifier.logits(ours, classifier.features(ours, picture()))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(answers, expected, atol=4e-7, rtol=0)


def test_the_published_swin_t_is_the_imagenet_of_the_paper(tmp_path, monkeypatch, narrow_swin):
    file = swin_t(tmp_path / "model.safetensors")
    monkeypatch.setattr(checkpoints, "imagenet_file", lambda backbone, offline: file)
    monkeypatch.setattr(classifier, "imagenet_file", lambda backbone, offline: file)
    model = classifier.load("imagenet", SWIN_T, "cpu")
    assert model.pretraining == "imagenet" and model.dim == 8 * NARROW_SWIN["embed_dim"]


def lightning(state):
    """A module that keeps the network as `net`, with its loss beside it and its options above."""
    inner = {f"net.{name}": value for name, value in state.items()}
    return {"epoch": 3, "state_dict": inner | {"criterion.weight": torch.ones(3)}, "hyper_parameters": {"lr": 0.1}}


def averaged(state):
    """torch.optim.swa_utils.AveragedModel of a DataParallel."""
    inner = {f"module.module.{name}": value for name, value in state.items()}
    return inner | {"n_averaged": torch.tensor(4)}


WRAPPED = {
    "plain": lambda state: state,
    "ema": lambda state: {"state_dict": wrong(state), "state_dict_ema": state},
    "data parallel": lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
    "compiled, data parallel": lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
    "data parallel, compiled": lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
    "lightning": lightning,
    "backbone and head": lambda state: {f"model.backbone.{name}": value for name, value in state.items()},
    "averaged": averaged,
    "teacher and student": lambda state: (
        {f"student.{name}": value for name, value in wrong(state).items()}
        | {f"teacher.backbone.{name}": value for name, value in state.items()}
    ),
}


def wrong(state):
    return {name: torch.zeros_like(value) for name, value in state.items()}


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("buffers", [True, False])
def test_wrapped_checkpoints_with_and_without_buffers_are_the_plain_one(tmp_path, narrow_swin, wrap, buffers):
    state = swin_t_state(classes=3)
    plain = {name: value for name, value in state.items() if not name.endswith(("attn_mask", "position_index"))}
    torch.save(plain, tmp_path / "plain.pth")
    torch.save(WRAPPED[wrap](state if buffers else plain), tmp_path / "wrapped.pth")
    wanted = classifier.load(tmp_path / "plain.pth", SWIN_T, "cpu")
    assert classifier.load(tmp_path / "wrapped.pth", SWIN_T, "cpu").hash == wanted.hash


def test_what_lies_beside_the_network_is_left_out_and_named(whole, tmp_path):
    beside = {"n_averaged": torch.tensor(4), "centre": torch.ones(3)}
    torch.save({f"module.{k}": v for k, v in whole.state_dict().items()} | beside, tmp_path / "swa.pth")
    [note] = classifier.load(tmp_path / "swa.pth", TINY, "cpu").notes
    assert "n_averaged, centre (2 in all)" in note


def test_a_part_of_the_network_too_many_is_never_left_out_in_silence(whole, tmp_path):
    torch.save(whole.state_dict() | {"blocks.9.weight": torch.ones(3)}, tmp_path / "deeper.pth")
    with pytest.raises(UserError, match=r"deeper\.pth does not hold .*it has blocks\.9\.weight besides.*timm backbone"):
        classifier.load(tmp_path / "deeper.pth", TINY, "cpu")


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda state: state.pop("conv_stem.weight"), "it lacks conv_stem.weight"),
        (lambda state: state.update({"bn1.bias": torch.ones(2)}), "bn1.bias is 2, not 24"),
        (lambda state: state.update({"classifier.weight": torch.ones(3, 7)}), "its last layer is 3 x 7"),
    ],
)
def test_the_first_thing_that_does_not_fit_is_named(whole, tmp_path, change, why):
    state = whole.state_dict()
    change(state)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match=rf"does not hold the weights of {TINY} \({why}\)"):
        classifier.load(tmp_path / "other.pth", TINY, "cpu")


def test_prefixed_names_of_another_network_are_one_sentence(whole, tmp_path, narrow_swin):
    """timm's filter for Swin asks the model for layers by their names."""
    state = {f"encoder.layers.9.{k}.relative_position_bias_table": v for k, v in whole.state_dict().items()}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not hold the weights of swin_tiny"):
        classifier.load(tmp_path / "other.pth", SWIN_T, "cpu")


def test_weights_that_are_no_numbers_are_refused(whole, tmp_path):
    state = whole.state_dict()
    state["classifier.bias"] = torch.tensor([0, float("nan"), 0])
    torch.save(state, tmp_path / "diverged.pth")
    with pytest.raises(UserError, match=r"diverged\.pth holds weights that are no numbers"):
        classifier.load(tmp_path / "diverged.pth", TINY, "cpu")


@pytest.mark.parametrize("name", [".", "model.safetensors"])
def test_hugging_faces_own_models_are_one_clear_sentence(tmp_path, narrow_swin, name):
    folder = hugging_face_swin(tmp_path)
    with pytest.raises(UserError, match=r"Hugging Face's transformers.*not read"):
        classifier.load(folder / name, SWIN_T, "cpu")


def test_a_folder_is_called_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"is a folder; a classifier is none"):
        checkpoints.existing(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"is a folder, give the file model\.safetensors in it"):
        checkpoints.existing(tmp_path)


# --- what a file says of itself
@pytest.mark.parametrize(
    "facts, said",
    [
        ("5", "no object"),
        ("[" * 100_000, "cannot be read"),
        ('{"backbone": 5}', "backbone = 5"),
        ('{"classes": "cod"}', "classes = cod"),
        ('{"classes": ["cod", 5]}', "classes ="),
        ('{"mean": [0, 1]}', "three numbers"),
        ('{"std": [0, 1, 1]}', "three numbers"),
        ('{"mean": ["a", 1, 1]}', "three numbers"),
        ('{"history": [1]}', "history ="),
        ('{"training_hashes": {"a": 1}}', "training_hashes ="),
    ],
)
def test_facts_of_another_kind_are_one_sentence(whole, tmp_path, facts, said):
    file = tmp_path / "odd.safetensors"
    save_file(whole.state_dict(), file, {"fishlib": facts})
    for read in (checkpoints.told, lambda f: checkpoints.describe(f, TINY), lambda f: classifier.load(f, TINY, "cpu")):
        with pytest.raises(UserError, match=said) as error:
            read(file)
        assert "odd.safetensors" in str(error.value) and "\n" not in str(error.value)


def test_a_class_list_beside_a_file_without_one_is_read(whole, tmp_path):
    save_file(whole.state_dict(), tmp_path / "a.safetensors", {"fishlib": json.dumps({"backbone": TINY})})
    (tmp_path / "a.classes.csv").write_text("name\nx\ny\nz\n")
    assert classifier.load(tmp_path / "a.safetensors").classes == ["x", "y", "z"]
    assert checkpoints.classes(tmp_path / "a.safetensors") == ["x", "y", "z"]


FLIPS = """
import sys, random, torch
from pathlib import Path
from fishlib.errors import UserError
from fishlib.naming import checkpoints, classifier
import resource
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # what asks for more is refused by the system
for name in ("a.safetensors", "a.pth", "old.pth"):
    good = (folder / name).read_bytes()
    for seed in range(int(sys.argv[2])):
        drawn, data = random.Random(seed), bytearray(good)
        near = min(len(data), 6000) if seed % 3 else len(data)  # what describes the tensors lies at either end
        for _ in range(1 + seed % 4):
            place = drawn.randrange(near)
            data[place if seed % 2 else -1 - place] ^= 1 << drawn.randrange(8)
        bad = folder / f"bad{Path(name).suffix}"
        bad.unlink(missing_ok=True)
        bad.write_bytes(data)
        for read in (checkpoints.classes, lambda f: classifier.load(f, "test_efficientnet", "cpu")):
            try:
                read(bad)
            except UserError as error:
                assert "bad" in str(error) and "\\n" not in str(error), (name, seed, str(error))
            except BaseException as error:
                print(name, seed, repr(error)[:300], flush=True)
                raise
print("all")
"""


def test_flipped_bits_are_a_sentence_or_do_no_harm(whole, tmp_path):
    state = whole.state_dict()
    facts = {"backbone": TINY, "classes": ["a", "b", "c"]}
    save_file(state, tmp_path / "a.safetensors", {"fishlib": json.dumps(facts)})
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    torch.save({"state_dict": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    command = [sys.executable, "-c", FLIPS, str(tmp_path), "12"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.stdout.endswith("all\n"), said.stdout[-500:] + said.stderr[-500:]
