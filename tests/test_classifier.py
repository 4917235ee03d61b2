import argparse
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_sample_image

from fishlib.errors import NotRun, UserError
from fishlib.naming import checkpoints, classifier
from fishlib.photos.composite import to_square

TINY = "test_efficientnet.r160_in1k"
NAMES = ["Thunnus_albacares", "cod", "マサバ"]


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def whole():
    """A timm model with its last layer, as other people's training leaves it."""
    torch.manual_seed(0)
    return classifier.create(TINY, num_classes=3).eval()


@pytest.fixture(scope="module")
def imagenet():
    return classifier.load("imagenet", device="cpu")


# ImageNet's index: daisy, bee; bell cote, boathouse, monastery, palace, castle
@pytest.mark.parametrize("photo, seen", [("flower.jpg", {985, 309}), ("china.jpg", {442, 449, 663, 698, 483})])
def test_imagenet_weights_name_a_known_picture(imagenet, photo, seen):
    image = to_square(load_sample_image(photo))
    order = np.argsort(-classifier.logits(imagenet, classifier.features(imagenet, image[None]))[0])
    assert order[0] in seen
    assert seen & set(order[1:5].tolist())


def test_a_photo_alone_and_in_a_batch(imagenet):
    images = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    together = classifier.features(imagenet, images)
    alone = np.concatenate([classifier.features(imagenet, image[None]) for image in images])
    assert together.shape == (3, imagenet.dim) == (3, 1280)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)
    answers = [classifier.logits(imagenet, f).argmax(1) for f in (together, alone)]
    np.testing.assert_array_equal(*answers)
    assert np.array_equal(
        classifier.features(imagenet, images, batch=2)[2], classifier.features(imagenet, images[2:])[0]
    )


def test_bf16_gives_the_same_answers(imagenet):
    images = np.stack(
        [to_square(load_sample_image(name)[::-1, ::d]) for name in ("flower.jpg", "china.jpg") for d in (1, -1)]
    )
    full, half = (
        classifier.logits(imagenet, classifier.features(imagenet, images, dtype=d)) for d in ("float32", "bfloat16")
    )
    assert not np.array_equal(full, half)
    np.testing.assert_array_equal(full.argmax(1), half.argmax(1))


def test_features_and_head_are_the_whole_model(whole, pictures, tmp_path):
    torch.save(whole.state_dict(), tmp_path / "model.pth")
    model = classifier.load(tmp_path / "model.pth", TINY, "cpu")
    mean, std = (np.array(v, np.float32) for v in (model.mean, model.std))
    x = torch.from_numpy(((pictures / np.float32(255) - mean) / std).transpose(0, 3, 1, 2))
    with torch.inference_mode():
        expected = whole(x).numpy()
    found = classifier.logits(model, classifier.features(model, pictures))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    half = classifier.features(model, pictures, dtype="bfloat16")
    np.testing.assert_allclose(half, classifier.features(model, pictures), atol=0.1)


@pytest.mark.parametrize("images", [np.zeros((1, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8)])
def test_features_refuse_other_arrays(whole, images, tmp_path):
    torch.save(whole.state_dict(), tmp_path / "model.pth")
    with pytest.raises(ValueError, match="uint8"):
        classifier.features(classifier.load(tmp_path / "model.pth", TINY, "cpu"), images)


def test_random_weights_repeat_with_their_seed():
    first, same, other = (classifier.load("none", TINY, "cpu", seed=s) for s in (0, 0, 1))
    assert first.hash == same.hash != other.hash
    assert first.pretraining == "none"
    with pytest.raises(UserError, match="no output layer"):
        classifier.logits(first, np.zeros((1, first.dim), np.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_saved_and_loaded_is_the_same(whole, tmp_path, dtype):
    torch.save(whole.state_dict(), tmp_path / "model.pth")
    (tmp_path / "model.pth.classes.json").write_text(json.dumps({"classes": NAMES, "mean": [0.1, 0.2, 0.3]}))
    model = classifier.load(tmp_path / "model.pth", TINY, "cpu")
    model.training_hashes, model.history = {"ab", "cd"}, {"epochs": [{"accuracy": 0.5}]}
    classifier.save(model, tmp_path / "saved.safetensors", dtype)
    back = classifier.load(tmp_path / "saved.safetensors", device="cpu")
    for name in ("name", "pretraining", "mean", "std", "classes", "training_hashes", "history", "dim"):
        assert getattr(back, name) == getattr(model, name), name
    assert back.mean == (0.1, 0.2, 0.3)
    assert (back.hash == model.hash) == (dtype == torch.float32)
    torch.testing.assert_close(back.head, model.head, rtol=1e-3, atol=1e-3)
    whole.load_state_dict(checkpoints.read(tmp_path / "saved.safetensors")[0])  # timm's own names


def test_identity_follows_what_is_loaded(whole, tmp_path):
    path = tmp_path / "model.pth"
    torch.save(whole.state_dict(), path)
    plain = classifier.identity(path, TINY)
    assert plain == classifier.identity(path, TINY) != classifier.identity("none", TINY)
    assert classifier.identity("none", TINY, 0) != classifier.identity("none", TINY, 1)
    (tmp_path / "model.classes.json").write_text(json.dumps({"classes": NAMES, "mean": [0, 0, 0]}))
    assert classifier.identity(path, TINY) != plain


@pytest.mark.parametrize("wrap", ["plain", "ema", "parallel", "timm"])
def test_state_dicts_of_other_programs(whole, tmp_path, wrap):
    wanted = whole.state_dict()
    other = {k: torch.zeros_like(v) for k, v in wanted.items()}
    content = {
        "plain": wanted,
        "ema": {"state_dict": other, "state_dict_ema": wanted},
        "parallel": {"model": {f"module.{k}": v for k, v in wanted.items()}, "epoch": 3},
        "timm": {"arch": TINY, "state_dict": wanted, "args": argparse.Namespace(lr=0.1)},
    }[wrap]
    torch.save(content, tmp_path / "model.pth")
    (tmp_path / "model.classes.csv").write_text("index,name\n0,Thunnus_albacares\n1,cod\n2,マサバ\n", encoding="utf-8")
    model = classifier.load(tmp_path / "model.pth", TINY, "cpu")
    assert model.classes == NAMES
    torch.testing.assert_close(model.head[0], wanted["classifier.weight"])


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_bad_checkpoints_are_one_sentence(whole, tmp_path, capsys):
    good = tmp_path / "good.pth"
    torch.save(whole.state_dict(), good)
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.safetensors").write_text("hello")
    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ["absent.pth", "empty.pth", "text.safetensors", "evil.pth", "list.pth"]:
        with pytest.raises(UserError, match=name) as error:
            classifier.load(tmp_path / name, TINY, "cpu")
        assert "\n" not in str(error.value)
    assert "run" not in capsys.readouterr().out
    with pytest.raises(UserError, match="does not hold the weights of tf_efficientnet_lite0"):
        classifier.load(good, device="cpu")
    (tmp_path / "two.csv").write_text("name\na\nb\n")
    with pytest.raises(UserError, match="3 outputs, its list 2"):
        classifier.load(good, TINY, "cpu", classes_file=tmp_path / "two.csv")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match=r"bad\.json is no readable JSON file"):
        classifier.load(good, TINY, "cpu", classes_file=tmp_path / "bad.json")


ODD = {
    "sparse": lambda value: value.to_sparse(),
    "quantised": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    "without data": lambda value: value.to("meta"),
    "complex": lambda value: value.to(torch.complex64),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["conv_stem.weight", "classifier.weight", "classifier.bias"])
def test_tensors_that_are_no_plain_numbers_are_named(whole, tmp_path, kind, name):
    state = whole.state_dict()
    torch.save(state | {name: ODD[kind](state[name])}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=rf"odd\.pth holds {name} as no plain numbers .*{kind}.*; save"):
        classifier.load(tmp_path / "odd.pth", TINY, "cpu")


@pytest.mark.parametrize("name", ["two\nlines", "x" * 5000])
def test_a_strangers_names_do_not_stretch_a_sentence(whole, tmp_path, name):
    torch.save(whole.state_dict() | {name: torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match="does not hold the weights") as error:
        classifier.load(tmp_path / "odd.pth", TINY, "cpu")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    with pytest.raises(UserError, match="timm knows no backbone") as error:
        classifier.create(name)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("backbone", ["swin_tiny", "hf-hub:timm/resnet18"])
def test_unknown_backbones(backbone):
    with pytest.raises(UserError, match="knows no backbone"):
        classifier.load("none", backbone, "cpu")


def test_missing_imagenet_weights_are_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(NotRun, match="swin"):
        classifier.load("imagenet", checkpoints.SWIN_T, "cpu")
    with pytest.raises(NotRun, match="resnet18"):
        classifier.load("imagenet", "resnet18", "cpu")


def test_device():
    assert classifier.choose_device("auto") in ("cpu", "cuda")
    with pytest.raises(UserError, match="'cuda:99'"):
        classifier.choose_device("cuda:99")


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(9)), elements=st.floats(-50, 50, width=32)),
    st.permutations(range(9)).flatmap(lambda p: st.integers(1, 9).map(lambda n: p[:n])),
)
def test_masked_outputs_answer_the_same_before_and_after_softmax(values, indices):
    winner, share = classifier.predict(classifier.masked_logits(values, indices))
    whole = np.exp(values.astype(float) - values.max(1, keepdims=True).astype(float))
    whole /= whole.sum(1, keepdims=True)
    after = whole[:, indices]
    rows = np.arange(len(values))
    np.testing.assert_array_equal(values[:, indices][rows, winner], values[:, indices].max(1))
    np.testing.assert_allclose(after[rows, winner], after.max(1), rtol=1e-12)
    np.testing.assert_allclose(share, after.max(1) / after.sum(1), rtol=1e-6)


def test_species_are_found_under_any_of_their_names(tmp_path):
    classes = ["cod", "Katsuwonus pelamis", "キハダ", "Chub Mackerel", "Thunnus mebachi"]
    found = classifier.match_classes(["マサバ", "Thunnus_albacares", "カツオ", "COD"], classes)
    assert found == {"マサバ": 3, "Thunnus_albacares": 2, "カツオ": 1, "COD": 0}
    assert list(found) == ["マサバ", "Thunnus_albacares", "カツオ", "COD"]
    assert classifier.match_classes(["Euthynnus pelamis", "ｷﾊﾀﾞ"], classes) == {
        "Euthynnus pelamis": 1,
        "ｷﾊﾀﾞ": 2,
    }
    own = tmp_path / "own.csv"
    own.write_text("synonym,accepted\nThunnus mebachi,Thunnus obesus\n", encoding="utf-8")
    assert classifier.match_classes(["メバチ"], classes, own) == {"メバチ": 4}


def test_unknown_species_are_all_named_with_near_misses(tmp_path):
    with pytest.raises(UserError, match=r"Katsuwonus pelamys.*mean Katsuwonus pelamis.*; ghost") as error:
        classifier.match_classes(["cod", "Katsuwonus pelamys", "ghost"], ["cod", "Katsuwonus pelamis"])
    assert "cod;" not in str(error.value)
    with pytest.raises(UserError, match=r"more than once: スマ \(Euthynnus affinis, kawakawa\)"):
        classifier.match_classes(["スマ"], ["Euthynnus affinis", "kawakawa"])
    with pytest.raises(UserError, match="no class list"):
        classifier.match_classes(["cod"], None)
    with pytest.raises(UserError, match=r"absent\.csv is no synonyms table"):
        classifier.match_classes(["cod"], ["cod"], tmp_path / "absent.csv")


def test_every_synonym_leads_to_one_of_the_17():
    from fishlib.photos import matching, species

    table = matching._synonyms(matching.SYNONYMS)
    assert table
    for synonym, accepted in table.items():
        assert species.find(accepted), accepted
        assert not species.find(synonym), synonym


def test_swins_original_key_names(tmp_path):
    torch.manual_seed(0)
    wanted = classifier.create(checkpoints.SWIN_T, num_classes=3).state_dict()
    original = {}
    for (
        name,
        value,
    ) in wanted.items():  # the authors put a stage's downsampling at its end, timm at the next's start
        for stage in (1, 2, 3):
            name = name.replace(f"layers.{stage}.downsample", f"layers.{stage - 1}.downsample.")
        original[name.replace("downsample..", "downsample.").replace("head.fc", "head")] = value
    torch.save({"model": original}, tmp_path / "swin.pth")
    model = classifier.load(tmp_path / "swin.pth", checkpoints.SWIN_T, "cpu")
    assert model.dim == 768
    torch.testing.assert_close(model.head[0], wanted["head.fc.weight"])
    for name, value in model.model.state_dict().items():
        torch.testing.assert_close(value, wanted[name])
