"""A method of one's own: named by the user it runs, named by a profile or a run folder it does not."""

import json
import subprocess
import sys

import numpy as np
import pytest
import yaml

import fishlib
from fishlib import opening
from fishlib.errors import UserError
from fishlib.removal import segmenters
from fishlib.removal.segmenters import own

BRIGHT = """import pathlib
pathlib.Path({mark!r}).touch()

def bright(photo):
    return photo[..., 0] > 128
"""


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch):
    monkeypatch.setattr(own, "NAMED", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("ownmethod"):
            del sys.modules[name]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """(folder with a file of a method, the file that is there once it was imported)."""
    mark = tmp_path / "ran"
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "ownmethod.py").write_text(BRIGHT.format(mark=str(mark)), encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(folder)
    return folder, mark


PHOTO = np.zeros((40, 60, 3), np.uint8)
PHOTO[10:30, 20:50] = 200


@pytest.mark.parametrize("said", ["ownmethod:bright", "ownmethod.py:bright", "{here}/ownmethod.py:bright"])
def test_module_and_function_on_the_command_line_find_the_file_in_the_current_folder(written, said):
    name = own.named(said.format(here=written[0]))
    assert name == "ownmethod.bright"
    [found] = segmenters.build(name).segment([PHOTO], ["1.png"])
    assert found.mask.sum() == 600 and found.box.tolist() == [20, 10, 50, 30]


def test_another_process_in_another_folder_finds_the_same_file(written, tmp_path, monkeypatch):
    said = own.absolute("ownmethod:bright")
    monkeypatch.chdir(tmp_path)
    assert own.named(said) == "ownmethod.bright"
    assert own.absolute("gdino-sam") == "gdino-sam" and own.absolute(None) is None


def test_an_installed_package_offers_a_method_by_its_entry_point(tmp_path, monkeypatch):
    site = tmp_path / "site"
    folder = site / "ownmethod_kit-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ownmethod-kit\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{own.GROUP}]\nbright-kit = ownmethod_kit:bright\n")
    (site / "ownmethod_kit.py").write_text(BRIGHT.format(mark=str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(str(site))
    assert own.named("bright-kit") == "bright-kit"
    assert segmenters.build("bright-kit").segment([PHOTO], ["1.png"])[0].mask.sum() == 600


@pytest.mark.parametrize("method", ["ownmethod:bright", "ownmethod.bright", "{here}/ownmethod.py:bright", "bright-kit"])
def test_a_profile_never_runs_one(written, tmp_path, tiny_photos, method):
    here, mark = written
    method = method.format(here=here)
    profile = tmp_path / "stranger.yaml"
    changes = {"based_on": "demo", "name": "stranger", "method": method, "compare": [method]}
    profile.write_text(yaml.safe_dump(changes), encoding="utf-8")
    with pytest.raises(UserError, match=r"[Uu]nknown method|cannot be the name"):
        study = opening.open_study(
            out=str(tmp_path / "run"), profile=str(profile), photos=str(tiny_photos / "photos"), device="cpu"
        )
        segmenters.build(study.method)
    assert not mark.exists() and not own.NAMED


@pytest.mark.parametrize("answer", [np.zeros((3, 3), bool), np.zeros((40, 60)), "fish"])
def test_an_answer_that_is_no_mask_is_said_in_a_sentence(answer):
    with pytest.raises(UserError, match=r"<lambda>|lambda answered .* booleans, \(40, 60\)"):
        own.of(lambda photo: answer).segment([PHOTO], ["1.png"])


def test_a_method_that_fails_says_where(written):
    folder, _ = written
    (folder / "ownmethod_bad.py").write_text("def wrong(photo):\n    return 1 / 0\n")
    name = own.named("ownmethod_bad:wrong")
    with pytest.raises(UserError, match=r"stopped at 1.png: ZeroDivisionError: .*ownmethod_bad.py, line 2"):
        segmenters.build(name).segment([PHOTO], ["1.png"])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("ownmethod:dark", "no function 'dark'"),
        ("ownmethod_none:bright", "no module 'ownmethod_none'"),
        ("none.py:bright", "none.py is missing"),
    ],
)
def test_a_wrong_name_is_a_sentence(written, said, why):
    with pytest.raises(UserError, match=why):
        own.named(said)


def test_nothing_found_is_a_row_and_an_edited_file_is_another_method(written):
    nothing = own.of(lambda photo: None).segment([PHOTO], ["1.png"])[0]
    assert (nothing.status, nothing.mask) == ("no_detection", None)
    first = segmenters.build(own.named("ownmethod:bright")).key
    code = "import fishlib; from fishlib.removal.segmenters import own; own.named('ownmethod:bright');"
    code += "print(own.NAMED['ownmethod.bright'].key['source'])"

    def key() -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert key() == first["source"]
    with (written[0] / "ownmethod.py").open("a") as file:
        file.write("# edited\n")
    assert key() != first["source"]


def test_cut_takes_one_from_a_script(written, tmp_path):
    from fishlib.photos import masks

    masks.write_mask(PHOTO[..., 0] > 0, tmp_path / "photos" / "1.png")
    assert fishlib.cut([tmp_path / "photos"], tmp_path / "out", "ownmethod:bright")["ok"] == 1
    assert fishlib.cut([tmp_path / "photos"], tmp_path / "other", lambda photo: photo[..., 0] > 128)["ok"] == 1


@pytest.mark.parametrize("method", ["ownmethod:bright", "ownmethod.bright", "{here}/ownmethod.py:bright"])
def test_a_run_folder_never_runs_one(written, tiny_study, method):
    here, mark = written
    file = tiny_study.out / "made_with.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["method"] = method.format(here=here)
    file.write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(UserError, match=r"[Uu]nknown method|cannot be the name"):
        opening.open_study(out=str(tiny_study.out), device="cpu")
    assert not mark.exists() and not own.NAMED


def test_a_notebook_names_one_by_its_parameter(written, tiny_photos, tiny_profile, tmp_path):
    given = {"profile": str(tiny_profile), "photos": str(tiny_photos / "photos"), "device": "cpu"}
    study = opening.open_study(out="run", method="ownmethod:bright", **given)
    assert study.method == "ownmethod.bright" and study.out == written[0] / "run"  # the current folder's
    assert segmenters.build(study.method).function(PHOTO).sum() == 600
    assert opening.open_study(out="run", method="ownmethod:bright", device="cpu").method == "ownmethod.bright"
