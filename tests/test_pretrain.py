import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fishlib import cache
from fishlib.errors import UserError
from fishlib.naming import classifier, finetune, lessons, pretrain
from fishlib.photos.manifest import scan

SMALL = {"epochs": 3, "batch": 4, "size": 64, "warmup": 1, "lr": 5e-4}
TINY = "test_efficientnet.r160_in1k"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three easy species of six blobs each, one with a single photo, one whose only file is broken."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name, colour, n in [
        ("red", (0, 0, 200), 6),
        ("マサバ", (0, 200, 0), 6),
        ("blue", (200, 0, 0), 6),
        ("one", (9, 9, 9), 1),
    ]:
        (folder / name).mkdir()
        for i in range(n):
            photo = random.integers(0, 60, (48, 72, 3)).astype(np.uint8) + np.array(colour, np.uint8)
            (folder / name / f"{i}.png").write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    (folder / "red" / "copy.png").write_bytes((folder / "red" / "0.png").read_bytes())
    (folder / "broken").mkdir()
    (folder / "broken" / "0.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # other threads change the order of sums
    yield
    torch.set_num_threads(threads)


def run(photos, out, **changes):
    options = {"backbone": TINY, "start": "none", "device": "cpu", "progress": False} | SMALL | changes
    return pretrain.pretrain(photos, out, **options)


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "own.safetensors"
    return out, run(photos, out)


def test_a_checkpoint_tells_what_it_is(photos, finished):
    out, model = finished
    visible = sorted(p.name for p in out.parent.iterdir() if not p.name.startswith("."))
    assert visible == ["own.last.safetensors", "own.photos.csv", "own.safetensors"]
    assert model.classes == sorted(["red", "マサバ", "blue", "one"])
    assert model.pretraining == "own"
    assert [e["epoch"] for e in model.history["epochs"]] == [1, 2, 3]
    assert "broken" in model.history["notes"][0]
    assert "one" in model.history["notes"][1]
    assert "copies of another: 1" in model.history["notes"][2]
    manifest = scan(photos)
    known = set(manifest[manifest.status == "ok"].sha256)
    assert model.training_hashes < known
    assert len(known) - len(model.training_hashes) == 3  # one held out of each species of six
    again = classifier.load(out, device="cpu")
    assert again.hash == model.hash
    assert again.history == model.history


def test_a_killed_training_ends_with_the_same_weights(photos, finished, tmp_path, monkeypatch):
    accuracy, calls = pretrain._accuracy, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return accuracy(*args)

    out = tmp_path / "own.safetensors"
    monkeypatch.setattr(pretrain, "_accuracy", killed)
    with pytest.raises(KeyboardInterrupt):
        run(photos, out)
    assert (tmp_path / "own.resume.pt").is_file()
    model = run(photos, out)
    assert len(calls) == 4  # epochs 1, 2 (lost), 2, 3
    assert model.hash == finished[1].hash
    assert model.history == finished[1].history
    for name in ("own.safetensors", "own.last.safetensors"):
        assert cache.file_hash(tmp_path / name) == cache.file_hash(finished[0].with_name(name))


def test_a_finished_training_is_not_repeated(photos, finished, monkeypatch):
    monkeypatch.setattr(finetune, "train_epoch", None)
    assert run(photos, finished[0]).hash == finished[1].hash
    with pytest.raises(UserError, match=r"own\.safetensors is there, from other photos or settings"):
        run(photos, finished[0], lr=1e-3)


def test_a_state_of_another_training_is_refused(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "save", lambda *a: None)
    monkeypatch.setattr(classifier, "load", lambda *a, load=classifier.load, **k: load("none", TINY, "cpu"))
    run(photos, tmp_path / "own.safetensors", epochs=1)
    state = tmp_path / "own.resume.pt"
    state.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"own\.resume\.pt is no state"):
        run(photos, tmp_path / "own.safetensors")


def test_a_state_with_a_flipped_bit_is_refused(photos, tmp_path, monkeypatch):
    def killed(training):
        keep(training)
        raise KeyboardInterrupt

    keep = pretrain._keep
    monkeypatch.setattr(pretrain, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "own.safetensors")
    state = tmp_path / "own.resume.pt"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)
    with pytest.raises(UserError, match=r"own\.resume\.pt is no state of a training; delete it"):
        run(photos, tmp_path / "own.safetensors")


def test_every_file_of_the_folder_has_a_row(photos, finished):
    rows = pd.read_csv(finished[0].with_suffix(".photos.csv"), keep_default_na=False).set_index("photo_id")
    assert set(rows.index) == set(scan(photos).photo_id)
    assert rows.status.value_counts().to_dict() == {"train": 16, "held_out": 3, "copy": 1, "unreadable": 1}
    assert rows.reason["broken/0.jpg"] and rows.status["one/0.png"] == "train"


def test_photos_that_change_meanwhile_are_rows_and_the_training_goes_on(photos, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    accuracy = pretrain._accuracy

    def then_changed(training, batches):
        answer = accuracy(training, batches)
        first, second = training.train[training.train.species == "red"].path[:2]
        (folder / first).write_bytes((photos / "blue" / "0.png").read_bytes())
        (folder / second).unlink(missing_ok=True)
        (folder / training.test.path.iloc[0]).unlink(missing_ok=True)
        return answer

    monkeypatch.setattr(pretrain, "_accuracy", then_changed)
    model = run(folder, tmp_path / "own.safetensors")
    assert len(model.history["epochs"]) == 3 and len(model.history["changed"]) == 3
    rows = pd.read_csv(tmp_path / "own.photos.csv")
    assert rows[rows.status == "changed"].reason.str.contains("changed since|No such file").sum() == 3


def test_a_folder_that_vanishes_stops_the_training_and_it_goes_on_once_it_is_back(
    photos, finished, tmp_path, monkeypatch
):
    folder, away = tmp_path / "photos", tmp_path / "away"
    shutil.copytree(photos, folder)
    keep = pretrain._keep

    def then_gone(training):
        keep(training)
        folder.rename(away)

    monkeypatch.setattr(pretrain, "_keep", then_gone)
    with pytest.raises(UserError, match=r"Not one of .* photos .* can be read any more.*goes on"):
        run(folder, tmp_path / "own.safetensors")
    away.rename(folder)
    monkeypatch.setattr(pretrain, "_keep", keep)
    assert run(folder, tmp_path / "own.safetensors").hash == finished[1].hash


@contextmanager
def no_file_larger_than(limit: int):
    """What a full disk is to a writer: the system refuses to let a file grow."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("what", ["own.last.safetensors", "own.resume.pt"])
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(photos, finished, tmp_path, what):
    checkpoint = finished[0].stat().st_size
    limit = checkpoint // 2 if what.endswith("safetensors") else checkpoint + 1000  # the state has three times as much
    out = tmp_path / "own.safetensors"
    with pytest.raises(UserError, match=f"{what} cannot be written .*make room") as error, no_file_larger_than(limit):
        run(photos, out)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob(".tmp-*"))
    assert run(photos, out).hash == finished[1].hash


def test_two_trainings_into_one_file_do_not_mix(photos, finished, tmp_path):
    out = tmp_path / "own.safetensors"
    code = "import sys, time; from fishlib.files import locks\n"
    code += (
        "with locks.held(sys.argv[1], 'the first', file='own.safetensors'): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=r"own\.safetensors is being written by the first \(process"):
            run(photos, out)
        assert run(photos, tmp_path / "other.safetensors", epochs=1).classes  # another file is free
        other.kill()
    assert run(photos, out).hash == finished[1].hash


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"balanced": True}, {"mixed": True}])
def test_options_train(photos, tmp_path, changes):
    model = run(photos, tmp_path / "own.safetensors", epochs=1, **changes)
    assert np.isfinite(model.history["epochs"][0]["loss"])


def test_learns_what_is_easy_from_a_checkpoint(photos, finished, tmp_path):
    model = run(photos, tmp_path / "own.safetensors", start=str(finished[0]), epochs=6)
    assert model.history["epochs"][-1]["loss"] < finished[1].history["epochs"][0]["loss"]
    assert max(e["held_out_accuracy"] for e in model.history["epochs"]) == 1
    assert model.name == TINY


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"speed": 3}, "has no setting speed"),
        ({"out": "x.pth"}, "does not end in .safetensors"),
        ({"start": "absent.safetensors"}, "absent.safetensors is missing"),
        ({"backbone": "nonsense"}, "knows no backbone"),
    ],
)
def test_bad_settings_are_one_sentence(photos, tmp_path, changes, message):
    changes = dict(changes)
    with pytest.raises(UserError, match=message):
        run(photos, tmp_path / changes.pop("out", "x.safetensors"), **changes)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.floats(0.05, 0.95), st.integers(0, 9))
def test_no_photo_and_no_species_is_lost_in_a_split(counts, share, seed):
    rows = [(f"s{s}", f"{s}-{i}") for s, n in enumerate(counts) for i in range(n)]
    manifest = pd.DataFrame(rows, columns=["species", "sha256"]).assign(status="ok")
    if max(counts) == 1:
        with pytest.raises(UserError, match="two species"):
            lessons.split(manifest, share, seed)
        return
    train, test, notes = lessons.split(manifest, share, seed)
    assert sorted([*train.sha256, *test.sha256]) == sorted(manifest.sha256)
    assert set(train.species) == set(manifest.species)
    for s, n in enumerate(counts):
        assert (n > 1) == (f"s{s}" in set(test.species))
        assert (n == 1) == any(f"s{s}" in note for note in notes)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 99))
def test_augmented_views(height, width, seed):
    image = np.full((height, width, 3), 100, np.uint8)
    views = [lessons.augment(image, np.random.default_rng(seed), pretrain.PRESET | {"size": 32}) for _ in range(2)]
    assert views[0].shape == (32, 32, 3)
    assert views[0].dtype == np.uint8
    np.testing.assert_array_equal(*views)
    assert 75 <= views[0].min() <= views[0].max() <= 125  # a grey photo changes in brightness alone
