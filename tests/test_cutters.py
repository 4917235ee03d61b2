"""Every class of cutter, tiny and of random weights, through the commands; and what an odd one does to the others."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from small_models import small_onnx, small_sam2, small_sam3

import fishlib
from fishlib import opening, phantom, run
from fishlib.errors import NotRun
from fishlib.photos import manifest, masks
from fishlib.removal.segmenters import Segmentation, answers

SPECIES = "Thunnus_albacares"
BROKEN = "def fish(photo):\n    return 1 / 0\n"
RED = {"gain": 1 / 4.9, "offset": 2.1 / 4.9}  # of a prepared photo: 0 for black, near 1 for full red


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """What of a profile's `segmenters` names tiny checkpoints of every cutter that has none in the package."""
    root = tmp_path_factory.mktemp("models")
    folders = {name: root / name for name in ("sam2", "sam2_video", "edgetam", "sam3", "sam3_video")}
    for name, folder in folders.items():
        folder.mkdir()
        make = small_sam3 if name.startswith("sam3") else small_sam2
        make(folder, name)
    return {
        "gdino-sam2": [{"gdino": "zoo", "sam2": str(folders[name])} for name in ("sam2", "sam2_video", "edgetam")],
        "sam3": [{"sam3": str(folders[name]), "threshold": 0.0} for name in ("sam3", "sam3_video")],
        "rembg": [{"model": small_onnx(root / "u2net.onnx", **RED)}],
    }


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Folder of photos/ and masks/: two drawn pictures of one species, 320 px."""
    root = tmp_path_factory.mktemp("few")
    for number in range(2):
        drawn = phantom.draw(SPECIES, 0, number, side=320)
        folder = root / "photos" / SPECIES
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.photo).save(folder / f"{number}.png")
        masks.write_mask(drawn.body | drawn.fins, root / "masks" / SPECIES / f"{number}.png")
    return root


def test_reproduce_runs_every_cutter_and_goes_on_without_one_that_stops(models, few, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    profile = tmp_path / "all.yaml"
    chosen = {method: options[0] for method, options in models.items()}
    changes = {"based_on": "demo", "name": "all", "compare": [*chosen, "gdino-sam"], "segmenters": chosen}
    profile.write_text(yaml.safe_dump(changes), encoding="utf-8")
    given = {
        "out": str(tmp_path / "run"),
        "profile": str(profile),
        "photos": str(few / "photos"),
        "masks": str(few / "masks"),
        "method": f"{tmp_path / 'broken.py'}:fish",
        "device": "cpu",
        "offline": True,
    }
    study = opening.start(**given)
    manifest.write_manifest(study, manifest.scan_photos(study))
    run.reproduce(only="02", **given)

    out = study.out
    table = pd.read_csv(out / "tables" / "table1.csv").iloc[-1]
    for method in ("gdino_sam2", "sam3", "rembg", "gdino_sam"):
        assert table[f"{method}_count"] in (0, 1, 2), method
    assert table["broken.fish"] == "not run"
    notes = json.loads((out / "notes" / "segments.json").read_text(encoding="utf-8"))
    [note] = [note for note in notes if "broken.fish" in note]
    assert "stopped at Thunnus_albacares/0.png: ZeroDivisionError" in note and "broken.py, line 2" in note
    [page] = (out / "report").rglob("02*.html")
    shown = page.read_text(encoding="utf-8")
    assert "ZeroDivisionError" in shown and "GDINO-SAM 2 (stand-in)" in shown


@pytest.mark.parametrize("method", ["gdino-sam2", "sam3", "rembg"])
def test_cut_knows_every_cutter(models, few, tmp_path, method):
    for number, params in enumerate(models[method]):
        out = tmp_path / str(number)
        counts = fishlib.cut(few / "photos", out, method, params=params, device="cpu", offline=True)
        assert counts["photos"] == counts["new"] == 2
        index = pd.read_csv(out / "index.csv")
        assert set(index["status"]) <= {"ok", "no_detection", "mask_rejected"}
        for row in index[index["status"] == "ok"].itertuples():
            assert masks.read_mask(out / row.mask).any()


class Odd:
    """A method that answers what it was told to."""

    key = {"method": "odd"}  # noqa: RUF012

    def __init__(self, answer):
        self.answer = answer

    def segment(self, images, photo_ids):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


PHOTO = np.zeros((20, 30, 3), np.uint8)
FULL = np.ones((20, 30), bool)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (RuntimeError("shapes\n  differ"), r"odd stopped at a/1.png: RuntimeError: shapes differ \(test_cutters.py"),
        (None, "does not answer with a list of one"),
        ([], "does not answer with a list of one"),
        ([Segmentation(FULL)] * 2, "does not answer with a list of one"),
        ([FULL], "a ndarray, which is no Segmentation"),
        ([Segmentation(FULL[:, :7])], r"the mask bool \(20, 7\), where booleans \(20, 30\)"),
        ([Segmentation(FULL.astype(np.uint8))], r"the mask uint8 \(20, 30\)"),
        ([Segmentation(None)], "the mask NoneType"),
        ([Segmentation(~FULL)], "an empty mask and the status ok"),
        ([Segmentation(FULL, status="maybe")], "the status 'maybe'"),
        ([Segmentation(FULL, np.float32([1, 2, 3]))], "four numbers are needed"),
        ([Segmentation(FULL, np.float32([1, 2, 3, np.nan]))], "four numbers are needed"),
    ],
)
def test_an_answer_that_is_none_is_named(answer, said):
    with pytest.raises(NotRun, match=said):
        answers.ask("odd", Odd(answer), PHOTO, "a/1.png")


def test_a_good_answer_is_given_as_it_is():
    found = Segmentation(FULL, np.float32([0, 0, 30, 20]))
    assert answers.ask("odd", Odd([found]), PHOTO, "a/1.png") is found
    nothing = Segmentation(status="no_detection", reason="nothing there")
    assert answers.ask("odd", Odd([nothing]), PHOTO, "a/1.png") is nothing
