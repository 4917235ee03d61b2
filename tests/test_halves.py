"""Fair contrasts: heads that learnt from what they are asked about, and heads that never saw it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fishlib.beyond import halves
from fishlib.errors import UserError
from fishlib.scores import contrasts
from fishlib.show import luck

SPECIES = ("cod", "ling", "tuna")


def photos(each=8):
    ids = [f"{name}/{i}.jpg" for name in SPECIES for i in range(each)]
    return pd.DataFrame({"photo_id": ids, "species": [photo_id.split("/")[0] for photo_id in ids]})


@pytest.fixture
def asked(tiny_study, monkeypatch):
    """Ask about photos whose features tell the species, but are another code in every input but Original."""
    frame = photos()
    codes = 10 * np.eye(3, dtype=np.float32)[[SPECIES.index(name) for name in frame["species"]]]

    def compute(study, photos, found, variants, source):
        return {v.name: codes if v.name == "original" else np.roll(codes, 1, axis=1) for v in variants}

    monkeypatch.setattr(halves.features, "compute", compute)
    monkeypatch.setattr(halves.features, "usable", lambda manifest, found: (manifest, {}))
    settings = tiny_study.profile.transfer.model_copy(update={"epochs": 100, "learning_rate": 0.1})
    study = replace(tiny_study, profile=tiny_study.profile.model_copy(update={"transfer": settings}))
    return lambda manifest=frame, groups=None: halves.run(study, manifest, None, groups)


def test_what_a_head_never_saw_looks_like_a_loss_and_is_none(asked):
    frame, shares, notes = asked()
    table2 = frame[frame["family"] == "table 2"].set_index(["learnt_from", "variant"])["difference"]
    assert table2[halves.ORIGINALS].tolist() == [-100, -100, -100]
    assert table2[halves.SAME].tolist() == [0, 0, 0]
    right = shares.set_index(["learnt_from", "variant"])["micro_f1"]
    assert right[halves.SAME].eq(100).all() and right[halves.ORIGINALS]["original"] == 100
    assert right[halves.ORIGINALS].drop("original").eq(0).all()
    assert notes == []


def test_five_splits_judge_half_of_the_photos_each(asked):
    frame, shares, _ = asked()
    assert (shares["splits"] == 5).all() and (shares["n"] == 12).all()
    assert list(shares) == halves.SHARE_COLUMNS
    assert list(frame)[: len(contrasts.COLUMNS)] == contrasts.COLUMNS
    assert (frame["test"] == "two-way, 5 draws").all()


def test_colours_and_dilations_learn_from_black_crop_and_mask():
    assert [halves.learns_from(v) for v in ("crop", "original", "crop_mask_red", "crop_mask_d3")] == [
        "crop",
        "original",
        "crop_mask",
        "crop_mask",
    ]


def test_photos_of_a_group_stay_on_one_side(asked, monkeypatch):
    frame = photos()
    trips = pd.Series([f"{s} {i // 2}" for s in SPECIES for i in range(8)], index=frame["photo_id"])
    seen = []
    monkeypatch.setattr(halves, "_ask", lambda study, learnt, at, labels, split: seen.append(split) or labels)
    asked(frame, trips)
    names = trips.to_numpy()
    assert len(seen) > 0
    for split in seen:
        assert not set(names[split.train]) & set(names[split.test])


def test_a_second_time_nothing_is_learnt(asked, monkeypatch):
    first = asked()[0]
    monkeypatch.setattr(halves, "_ask", None)
    assert asked()[0].equals(first)


def test_one_species_has_nothing_to_compare(asked):
    with pytest.raises(UserError, match="fewer than two species"):
        asked(photos().query("species == 'cod'").reset_index(drop=True))


def test_both_ways_stand_side_by_side(asked, tiny_study):
    assert luck.halves(tiny_study).empty
    asked()
    table = luck.halves(tiny_study).set_index("input")
    assert table.loc["Mask", "same input: points"] == "+0.0"
    assert table.loc["Mask", "originals: points"] == "−100.0"
    assert table.loc["Crop & Mask on red", "learnt from"] == "Crop & Mask"
    assert table.loc["Original", "originals: micro-F1 %"] == "100.0"
