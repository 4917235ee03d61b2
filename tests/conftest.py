"""What several test files share: a small study on disk (three species of coloured ellipses, with true masks, and a
profile of small settings), a finished run of it with bad files among the photos, and a browser."""

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from fishlib.files.frames import write_frame
from fishlib.opening import open_study
from fishlib.photos import masks
from fishlib.photos.manifest import COLUMNS

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread a worker and its kernels: more would stand in each other's way
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ODD = "<b>odd & name"
NASTY = """7 "🐟" <img src=x onerror=alert(1)> '鮪'"""  # a file's name, all of it text
SPECIES = {"Thunnus_albacares": (200, 180, 60), "マサバ": (60, 140, 200), ODD: (180, 80, 90)}
LONELY, LONELY_FILE = '"><img src=x onerror=alert(1)> 🐟', 'it\'s "one" <i>鯖🐟.png'
BAD = {
    "zero": lambda good: b"",
    "text": lambda good: b"this is no photo\n",
    "truncated": lambda good: good[: len(good) // 2],
    "noise": lambda good: bytes(range(256)) * 20,
}


@pytest.fixture(scope="session")
def tiny_photos(tmp_path_factory):
    """Folder with photos/ and masks/: seven pictures of each of three species, 96 x 64."""
    root = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(0)
    for name, colour in SPECIES.items():
        for i in range(7):
            photo = random.integers(0, 120, (64, 96, 3), np.uint8)
            mask = np.zeros((64, 96), np.uint8)
            centre = int(random.integers(40, 56)), int(random.integers(26, 38))
            cv2.ellipse(mask, centre, (30, 12), float(random.uniform(-20, 20)), 0, 360, 255, -1)
            photo[mask > 0] = np.clip(np.array(colour) + random.normal(0, 12, (int((mask > 0).sum()), 3)), 0, 255)
            folder = root / "photos" / name
            folder.mkdir(parents=True, exist_ok=True)
            ok, data = cv2.imencode(".png", photo[..., ::-1])
            assert ok
            (folder / f"{i}.png").write_bytes(data.tobytes())
            masks.write_mask(mask > 0, root / "masks" / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def tiny_profile(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "tiny.yaml"
    changes = {
        "based_on": "demo",
        "name": "tiny",
        "method": "grabcut",
        "compare": ["gdino-sam", "grabcut"],
        "composite": {"size": 64, "backgrounds": ["black", "red"], "dilations": [0, 1]},
        "backbone": "mobilenetv3_small_050",
        "pretrainings": ["none"],
        "transfer": {"shots": [1, 2], "trials": 2, "epochs": 5},
        "block": 4,
    }
    path.write_text(yaml.safe_dump(changes), encoding="utf-8")
    return path


@pytest.fixture
def tiny_study(tiny_photos, tiny_profile, tmp_path):
    return open_study(
        out=str(tmp_path / "run"),
        profile=str(tiny_profile),
        photos=str(tiny_photos / "photos"),
        masks=str(tiny_photos / "masks"),
        method="truth",
        device="cpu",
    )


@pytest.fixture(scope="session")
def messy(tiny_photos, tmp_path_factory):
    """The tiny photos with three of each bad file among them, a species of one photo with
    names that would like to be HTML, and bad masks."""
    root = tmp_path_factory.mktemp("messy")
    shutil.copytree(tiny_photos, root, dirs_exist_ok=True)
    species = sorted(p for p in (root / "photos").iterdir() if p.is_dir())
    good = next(species[0].glob("*.png")).read_bytes()
    listed = set()
    for name, spoil in BAD.items():
        for i, folder in enumerate(species):
            path = folder / f"bad_{name}_{i}.jpg"
            path.write_bytes(spoil(good))
            listed.add(f"{folder.name}/{path.name}")
    (root / "photos" / LONELY).mkdir()
    shutil.copyfile(next(species[0].glob("*.png")), root / "photos" / LONELY / LONELY_FILE)
    for folder in species:
        small, black = np.full((10, 10), 255, np.uint8), np.zeros((64, 96), np.uint8)
        for name, mask in ((f"{0}.png", small), (f"{1}.png", black)):
            (root / "masks" / folder.name / name).write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    return root, listed


@pytest.fixture(scope="session")
def done(messy, tiny_profile, tmp_path_factory):
    """(run folder, parameters) of a finished run of every notebook: the slow fixture, shared; copy it to change it."""
    from fishlib import run

    root, _ = messy
    out = tmp_path_factory.mktemp("runs") / "small"
    given = {
        "profile": str(tiny_profile), "photos": str(root / "photos"), "masks": str(root / "masks"),
        "method": None, "classifier": None, "offline": True, "device": "cpu",
    }  # fmt: skip
    assert run.reproduce(out=str(out), **given).is_file()
    return out, given


@pytest.fixture
def made(tmp_path, tiny_profile):
    """A run folder with six photos of three species as the stages leave it, and its study."""
    photos = {
        "マサバ/1.png": ("ok", "good", 0.95, {"original": ("マサバ", 0.9), "mask": (ODD, 0.6)}),
        "マサバ/2.png": ("ok", "part only", 0.4, {"original": (ODD, 0.7), "mask": ("マサバ", 0.8)}),
        f"{ODD}/{NASTY}.png": ("ok", "extra region", 0.5, {"original": ("マサバ", 0.99), "mask": ("マサバ", 0.5)}),
        f"{ODD}/4.png": ("no_detection", "missed", 0.0, {"original": (ODD, 0.8), "mask": (ODD, 0.8)}),
        "NA/5.png": ("ok", "fin lost", 0.9, {}),  # trained the head: not asked
        "NA/6.png": ("excluded", "", None, {}),
    }
    manifest, index, scores, answers = [], [], [], []
    mask = np.zeros((40, 60), bool)
    mask[10:30, 15:45] = True
    out = tmp_path / "run"
    for i, (photo_id, (status, kind, iou, named)) in enumerate(photos.items()):
        species = photo_id.split("/")[0]
        path = tmp_path / "photos" / photo_id
        path.parent.mkdir(parents=True, exist_ok=True)
        data = cv2.imencode(".png", np.full((40, 60, 3), 40 * i, np.uint8))[1].tobytes()
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        manifest.append([photo_id, species, photo_id, sha256, 60, 40, "excluded" if kind == "" else "ok", ""])
        row = {"photo_id": photo_id, "species": species, "status": status, "reason": ""}
        if status == "ok":
            masks.write_mask(mask, out / "segments" / "grabcut" / f"{i}.png")
            row |= {"x0": 15, "y0": 10, "x1": 45, "y1": 30, "mask_file": f"{i}.png"}
        index.append(row)
        if iou is not None:
            scores.append({"photo_id": photo_id, "method": "grabcut", "iou": iou, "kind": kind})
        for variant, (answer, share) in named.items():
            top5 = json.dumps([[answer, share], ["NA", 0.01]], ensure_ascii=False)
            right = int(answer == species)
            answers.append([photo_id, species, variant, status, answer, share, top5, right, 1])
    why = {
        "candidates": [{"rle": masks.to_rle(m), "total": t} for m, t in ((mask, 0.2), (~mask, 0.9), (mask, 0.5))],
        "chosen": 2,
        "why": "ahead in <i>share</i>",
    }
    (out / "segments" / "grabcut" / "why" / "マサバ").mkdir(parents=True)
    (out / "segments" / "grabcut" / "why" / "マサバ" / "1.json").write_text(json.dumps(why), encoding="utf-8")
    write_frame(pd.DataFrame(manifest, columns=COLUMNS), out / "manifest.csv")
    columns = ["photo_id", "species", "status", "reason", "x0", "y0", "x1", "y1", "mask_file"]
    write_frame(pd.DataFrame(index, columns=columns), out / "segments" / "grabcut" / "index.csv")
    write_frame(pd.DataFrame(scores), out / "scores.csv")
    names = ["photo_id", "species", "variant", "status", "predicted", "confidence", "top5", "correct", "counted"]
    write_frame(pd.DataFrame(answers, columns=names), out / "predictions.csv")
    given = {"profile": str(tiny_profile), "photos": str(tmp_path / "photos"), "method": "grabcut"}
    opened = open_study(out=str(out), **given)
    (out / "run.json").write_text(json.dumps({"parameters": given | {"out": "elsewhere"}}), encoding="utf-8")
    return opened


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium through Playwright's sync API. Scope module, since Playwright keeps an event loop running
    and papermill, in the next module, would find it in its way."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e .[browser]")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(names)} is on the PATH")
    quiet = ["background-networking", "component-update", "sync", "quic", "gpu"]
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]  # root has no sandbox
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=flags)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def artifacts():
    """Folder for screenshots a person may want to look at after the tests."""
    folder = Path(__file__).parents[1] / "runs" / "test-artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def strict_figures():
    """Warnings (a missing glyph, a layout that does not fit) fail a test; no figure may stay open."""
    from matplotlib import pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert plt.get_fignums() == []
