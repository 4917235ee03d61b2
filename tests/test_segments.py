import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

from fishlib.errors import UserError
from fishlib.photos import decode, masks
from fishlib.photos.manifest import scan_photos
from fishlib.removal import scoring, segmenters, segmenting, segments
from fishlib.removal.segmenters import Segmentation


class Half:
    """Finds the left half of every picture, nothing in the first of each species; counts its work."""

    def __init__(self):
        self.key, self.seen = {"method": "half"}, []

    def segment(self, images, photo_ids):
        self.seen += photo_ids
        return [self._one(image, photo_id) for image, photo_id in zip(images, photo_ids, strict=True)]

    def _one(self, image, photo_id):
        if photo_id.endswith("/0.png"):
            return Segmentation(status="no_detection", reason="nothing there")
        mask = np.zeros(image.shape[:2], bool)
        mask[:, : image.shape[1] // 2] = True
        return Segmentation(mask, masks.box_of(mask), 0.5, detail={"why": "left"})


@pytest.fixture
def half(monkeypatch):
    segmenter = Half()
    monkeypatch.setattr(segmenters, "build", lambda *a, **k: segmenter)
    return segmenter


def test_one_row_for_every_row_of_the_manifest(tiny_study, half):
    manifest = scan_photos(tiny_study)
    manifest.loc[3, ["status", "reason"]] = ["excluded", "by hand"]
    manifest.loc[4, ["status", "reason"]] = ["unreadable", "broken"]
    frame = segmenting.run(tiny_study, "half", manifest)
    assert frame.photo_id.tolist() == manifest.photo_id.tolist()
    assert frame.status.value_counts().to_dict() == {
        "ok": 16,
        "no_detection": 3,
        "excluded": 1,
        "unreadable": 1,
    }
    assert set(half.seen) == set(manifest.photo_id[manifest.status == "ok"])
    ok = frame[frame.status == "ok"].iloc[0]
    assert segments.read_mask(tiny_study, "half", ok).mean() == ok.area == 0.5
    assert segments.box(ok).tolist() == [0, 0, 48, 64]
    missed = frame[frame.status == "no_detection"].iloc[0]
    assert segments.read_mask(tiny_study, "half", missed) is None and segments.box(missed) is None


def test_boxes_and_masks_come_back_in_pixels_of_the_original_photo(tiny_study, half):
    small = replace(tiny_study, profile=tiny_study.profile.model_copy(update={"working_side": 64}))
    manifest = scan_photos(small)
    frame = segmenting.run(small, "half", manifest)
    ok = frame[frame.status == "ok"].iloc[0]
    assert segments.box(ok)[2] == pytest.approx(48, abs=1) and segments.read_mask(small, "half", ok).shape == (64, 96)


def test_a_second_run_segments_nothing_and_a_killed_one_goes_on(tiny_study, half):
    manifest = scan_photos(tiny_study)
    segmenting.run(tiny_study, "half", manifest.iloc[:10])  # what a killed run may have left
    first = len(half.seen)
    segmenting.run(tiny_study, "half", manifest)
    assert len(half.seen) == len(manifest) and not set(half.seen[:first]) & set(half.seen[first:])
    before = (tiny_study.out / "segments" / "half" / "index.csv").read_bytes()
    shutil.rmtree(tiny_study.out / "segments")
    segmenting.run(tiny_study, "half", manifest)
    assert len(half.seen) == len(manifest)
    assert (tiny_study.out / "segments" / "half" / "index.csv").read_bytes() == before


def test_the_next_photo_is_read_while_the_model_works_on_this_one():
    read, begun = [], threading.Event()

    def load(k):
        read.append(k)
        if k == 1:
            begun.set()
        return 10 * k

    for k, loaded in decode.ahead(list(range(5)), load):
        assert loaded == 10 * k
        assert begun.wait(10)  # never, were photo 1 read after the work on photo 0
        assert len(read) <= k + 2  # and no more than one ahead
    assert read == list(range(5)) and list(decode.ahead([], load)) == []


def test_a_photo_that_cannot_be_read_ahead_fails_in_its_own_turn():
    def load(k):
        if k == 2:
            raise OSError("gone")
        return k

    coming = decode.ahead([0, 1, 2, 3], load)
    assert [next(coming)[1], next(coming)[1]] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(coming)


def test_masks_that_are_gone_leave_no_file_behind(tiny_study, half):
    manifest = scan_photos(tiny_study)
    frame = segmenting.run(tiny_study, "half", manifest)
    path = tiny_study.out / "segments" / "half" / frame[frame.status == "ok"].iloc[0]["mask_file"]
    assert path.is_file()
    half.key = {"method": "half", "version": 2}
    half._one = lambda *_: Segmentation(status="no_detection", reason="nothing at all")
    segmenting.run(tiny_study, "half", manifest)
    assert not path.exists()


def test_an_answer_that_lies_there_is_read_and_another_one_written(tiny_study, half):
    manifest, folder = scan_photos(tiny_study), tiny_study.out / "segments" / "half"
    first = segmenting.run(tiny_study, "half", manifest)
    files = sorted(folder.rglob("*.*"))
    stamps = {f: f.stat().st_mtime_ns for f in files}
    assert segmenting.run(tiny_study, "half", manifest).equals(first)
    assert {f: f.stat().st_mtime_ns for f in sorted(folder.rglob("*.*"))} == stamps
    assert 0 <= segments.seconds_a_photo(tiny_study, ["half"])["half"] < 10
    lost = next(folder.rglob("*.png"))
    lost.unlink()
    assert segmenting.run(tiny_study, "half", manifest).equals(first) and lost.is_file()
    (folder / "index.csv").write_text("photo_id\n", encoding="utf-8")
    assert segmenting.run(tiny_study, "half", manifest).equals(first)
    half.key = {"method": "half", "version": 2}
    half._one = lambda image, _: Segmentation(np.ones(image.shape[:2], bool))
    assert (segmenting.run(tiny_study, "half", manifest).area == 1).all() and masks.read_mask(lost).all()
    half.key = {"method": "half"}  # all of it is in the cache, but the folder holds the other answer
    assert segmenting.run(tiny_study, "half", manifest).equals(first) and not masks.read_mask(lost).all()
    manifest.loc[3, ["status", "reason"]] = ["excluded", "by hand"]
    assert segmenting.run(tiny_study, "half", manifest).status[3] == "excluded"


@pytest.fixture
def own_photos(tiny_study, tmp_path):
    """The tiny study on a copy of its photos, which a test may change."""
    photos = tmp_path / "own photos"
    shutil.copytree(tiny_study.photos, photos)
    return replace(tiny_study, photos=photos)


def test_a_photo_that_changed_or_went_after_the_scan_is_a_row_and_its_mask_is_kept_for_nobody(own_photos, half):
    manifest = scan_photos(own_photos)
    whole = segmenting.run(own_photos, "half", manifest)
    shutil.rmtree(own_photos.cache)
    ok = whole[whole.status == "ok"].photo_id
    changed, gone = own_photos.photos / ok.iloc[0], own_photos.photos / ok.iloc[5]
    before = changed.read_bytes()
    changed.write_bytes(gone.read_bytes())
    gone.rename(gone.with_suffix(".elsewhere"))
    folder = own_photos.out / "segments" / "half"
    (folder / "made_of.json").unlink()

    frame = segmenting.run(own_photos, "half", manifest)
    lost = frame[frame.status == "unreadable"].set_index("photo_id")
    assert set(lost.index) == {ok.iloc[0], ok.iloc[5]} and (lost.mask_file == "").all()
    assert "changed since the scan" in lost.reason[ok.iloc[0]] and "No such file" in lost.reason[ok.iloc[5]]
    assert not (folder / ok.iloc[0]).exists() and not (folder / "why" / ok.iloc[0]).with_suffix(".json").exists()

    changed.write_bytes(before)
    gone.with_suffix(".elsewhere").rename(gone)
    assert segmenting.run(own_photos, "half", manifest).equals(whole)


@pytest.mark.parametrize("name", ["../../elsewhere", "/elsewhere", "..", ".hidden", "a/b", ""])
def test_a_method_whose_name_is_a_path_is_refused(tiny_study, half, tmp_path, name):
    manifest = scan_photos(tiny_study)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        segmenting.run(tiny_study, name, manifest)
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        segments.reader(tiny_study, name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name != "posix", reason="elsewhere only some users may make links")
def test_masks_are_never_written_through_a_link(tiny_study, half, tmp_path):
    manifest = scan_photos(tiny_study)
    (tmp_path / "mine").mkdir()
    (tiny_study.out / "segments").mkdir()
    (tiny_study.out / "segments" / "half").symlink_to(tmp_path / "mine", target_is_directory=True)
    with pytest.raises(UserError, match=r"link|leads out"):
        segmenting.run(tiny_study, "half", manifest)
    (tiny_study.out / "segments" / "half").unlink()
    (tiny_study.out / "segments" / "half").mkdir()
    species = manifest.species[0]
    (tiny_study.out / "segments" / "half" / species).symlink_to(tmp_path / "mine", target_is_directory=True)
    with pytest.raises(UserError, match="leads out"):
        segmenting.run(tiny_study, "half", manifest)
    assert not any((tmp_path / "mine").iterdir())


@pytest.mark.parametrize("damage", ["{", "[]", "null", '{"key": 1}', '{"seconds_a_photo": "long"}'])
def test_damaged_facts_of_an_answer_are_named_and_made_anew(tiny_study, half, damage):
    manifest = scan_photos(tiny_study)
    first = segmenting.run(tiny_study, "half", manifest)
    file = tiny_study.out / "segments" / "half" / "made_of.json"
    file.write_text(damage, encoding="utf-8")
    with pytest.raises(UserError, match=r"made_of\.json"):
        segments.seconds_a_photo(tiny_study, ["half"])
    assert segmenting.run(tiny_study, "half", manifest).equals(first)
    assert segments.seconds_a_photo(tiny_study, ["half"])["half"] >= 0


def test_truth_scores_methods_and_is_no_method(tiny_study, half):
    manifest = scan_photos(tiny_study)
    frames = {"half": segmenting.run(tiny_study, "half", manifest)}
    unjudged = scoring.score(tiny_study, frames)
    assert unjudged.well_cut.isna().all() and len(unjudged) == len(manifest)
    half.key = {"method": "truth"}
    half.segment = lambda images, ids: [
        Segmentation(m, masks.box_of(m)) for m in (masks.read_mask(tiny_study.masks / i) for i in ids)
    ]
    frames["truth"] = segmenting.run(tiny_study, "truth", manifest)
    scores = scoring.score(tiny_study, frames)
    assert set(scores.method) == {"half"} and scores.well_cut.isin([0, 1]).all()
    missed = scores[scores.status == "no_detection"]
    assert (missed.iou == 0).all() and (missed.kind == "missed").all()


def test_methods_that_cannot_run_say_why(tiny_study):
    manifest = scan_photos(tiny_study)
    frames, not_run = segmenting.compare(tiny_study, manifest)
    assert set(frames) | set(not_run) == {"gdino-sam", "grabcut", "truth"}
    assert all(reason for reason in not_run.values())


def test_a_rivals_mistake_leaves_the_others_running_and_the_studys_own_stops(tiny_study, half, monkeypatch):
    manifest = scan_photos(tiny_study)

    def build(method, *_):
        if method == "grabcut":
            raise UserError("The masks of grabcut cannot be read.")
        return half

    monkeypatch.setattr(segmenters, "build", build)
    profile = tiny_study.profile.model_copy(update={"compare": ["grabcut", "half"], "method": "half"})
    frames, not_run = segmenting.compare(replace(tiny_study, profile=profile, method="half"), manifest)
    assert list(frames) == ["half"]
    assert not_run == {"grabcut": "The masks of grabcut cannot be read."}

    with pytest.raises(UserError, match="The masks of grabcut cannot be read"):
        segmenting.compare(replace(tiny_study, profile=profile, method="grabcut"), manifest)
