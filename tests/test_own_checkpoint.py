"""A checkpoint from elsewhere through the notebooks that use it, from the command line's parameters on."""

import json

import pandas as pd
import pytest
import torch
import yaml

from fishlib import run
from fishlib.errors import UserError
from fishlib.naming import classifier

CLASSES = [
    "マグロ属の何か",
    "キハダ",
    "<b>odd & name",
    "Scomber japonicus",
    "cod",
]  # Japanese, another's own, scientific


@pytest.fixture
def given(tiny_photos, tiny_profile, tmp_path):
    """Parameters of a run: an EMA under DataParallel's prefix with a CSV beside it, letterbox from the profile."""
    torch.manual_seed(0)
    state = classifier.create("test_efficientnet", num_classes=len(CLASSES)).state_dict()
    wrong = {f"module.{k}": torch.zeros_like(v) for k, v in state.items()}
    content = {"state_dict": wrong, "state_dict_ema": {f"module.{k}": v for k, v in state.items()}}
    torch.save(content, tmp_path / "museum.pth")
    lines = ["name", *CLASSES]
    (tmp_path / "museum.classes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    profile = yaml.safe_load(tiny_profile.read_text(encoding="utf-8"))
    profile |= {"backbone": "test_efficientnet", "composite": profile["composite"] | {"fit": "letterbox"}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    return {
        "out": str(tmp_path / "run"), "profile": str(tmp_path / "own.yaml"), "offline": True, "device": "cpu",
        "photos": str(tiny_photos / "photos"), "masks": str(tiny_photos / "masks"), "method": "truth",
        "classifier": str(tmp_path / "museum.pth"),
    }  # fmt: skip


def test_a_museums_checkpoint_names_the_fish_of_scientific_and_japanese_folders(given, tmp_path):
    for number in ("01", "03"):
        run.reproduce(only=number, **given)
    predictions = pd.read_csv(tmp_path / "run" / "predictions.csv")
    folders = {"Thunnus_albacares", "マサバ", "<b>odd & name"}
    assert set(predictions.species) == folders and set(predictions.predicted) <= folders
    assert predictions.groupby("variant").photo_id.nunique().eq(21).all()  # no training: every photo is judged
    facts = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert any("museum" in name for name in facts["checkpoints"])
    (tmp_path / "museum.classes.csv").write_text("name\nキハタ\na\nb\nScomber japonica\nd\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"does not know .*Thunnus_albacares.*mean キハタ|does not know .*Scomber japonica"
    ):
        run.reproduce(only="03", **given)
