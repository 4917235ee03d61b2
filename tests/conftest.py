"""A small study on disk: three species of coloured ellipses, with true masks, and a profile of small settings."""

import cv2
import numpy as np
import pytest
import yaml

from fishlib import masks
from fishlib.study import open_study

SPECIES = {"Thunnus_albacares": (200, 180, 60), "マサバ": (60, 140, 200), "<b>odd & name": (180, 80, 90)}


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
