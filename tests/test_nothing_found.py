"""A study in which the method finds no fish in any photo: every photo is judged as it is, and every table says so."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from fishlib.files.frames import write_frame
from fishlib.opening import open_study
from fishlib.photos.manifest import scan_photos, write_manifest
from fishlib.removal import segmenters, segmenting
from fishlib.show import views

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture(scope="module", params=[segmenters.MASK_REJECTED, segmenters.NO_DETECTION])
def empty(request, tiny_photos, tiny_profile, tmp_path_factory):
    """Parameters of the notebooks for a study all of whose masks are black, or all of whose photos showed no fish."""
    root = tmp_path_factory.mktemp("empty")
    for file in (tiny_photos / "masks").rglob("*.png"):
        black = root / "masks" / file.relative_to(tiny_photos / "masks")
        black.parent.mkdir(parents=True, exist_ok=True)
        black.write_bytes(cv2.imencode(".png", np.zeros((64, 96), np.uint8))[1].tobytes())
    profile = root / "tiny.yaml"
    profile.write_text(yaml.safe_dump({**yaml.safe_load(tiny_profile.read_text(encoding="utf-8")), "name": "empty"}))
    given = {
        "out": str(root / "run"),
        "profile": str(profile),
        "photos": str(tiny_photos / "photos"),
        "masks": str(root / "masks"),
        "method": "truth",
        "device": "cpu",
    }
    study = open_study(**given)
    manifest = scan_photos(study)
    write_manifest(study, manifest)
    found = segmenting.run(study, "truth", manifest)
    assert set(found.status) == {segmenters.MASK_REJECTED}
    found["status"] = request.param
    write_frame(found, study.out / "segments" / "truth" / "index.csv")
    return study, given, found


def run_notebook(name: str, given: dict) -> dict:
    """The names that the notebook's cells leave behind, run one after the other in this process."""
    cells = json.loads(next(NOTEBOOKS.glob(f"{name}_*.ipynb")).read_text(encoding="utf-8"))["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), name, "exec"), names)  # noqa: S102
        if "parameters" in cell["metadata"].get("tags", []):
            names |= given
    return names


def test_the_notebooks_run_and_say_so(empty, monkeypatch, capsys):
    study, given, found = empty
    monkeypatch.setattr(segmenting, "run", lambda *_: found)
    names = run_notebook("03", given)
    assert names["parts"] is None and not list((study.out / "figures").glob("pipeline*"))
    table = pd.read_csv(study.out / "tables" / "table2.csv").iloc[-1]
    assert table.n > 0 and table.original == table.crop == table["mask"] == table.crop_mask

    names = run_notebook("04", given)
    assert len(names["transfer"]) and (names["differences"]["mean"] == 0).all()
    assert (study.out / "figures" / "figure3.svg").is_file()


def test_the_views_of_it_are_pages(empty):
    study, _, _ = empty
    assert "<figure" in views.failure_grid(study)
