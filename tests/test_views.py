"""What went wrong with which photo, and the HTML that shows it, on hand-made files of a run."""

import json
import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import NASTY, ODD

from fishlib import cache, opening
from fishlib.errors import UserError
from fishlib.files.frames import write_frame
from fishlib.opening import open_study, reopen
from fishlib.photos import decode, masks
from fishlib.photos.manifest import read_manifest
from fishlib.show import captions, cases, views
from fishlib.show.widgets.detail import photo_detail


def test_every_counted_photo_is_one_row_whatever_its_name(made):
    rows = cases.table(made, variant="mask")
    assert len(rows) == 5 and set(rows.species) == {"マサバ", ODD, "NA"}
    assert rows.correct.isna().sum() == 1 and rows.predicted.tolist()[-1] == ""


def test_kinds_of_error_and_what_masking_changed(made):
    kinds = {k: m.sum() for k, m in cases.kinds(cases.table(made)).items()}
    assert kinds == {
        "any failure": 3, "wrong species": 2, "missed fish": 1, "extra region": 1, "part only": 1, "wrong region": 0,
        "fin lost": 1, "to check by eye": 0,
        "right → wrong by masking": 1, "wrong → right by masking": 1, "right species": 2, "all": 5,
    }  # fmt: skip


def test_photos_are_picked_by_species_answer_and_kind_and_sorted(made):
    rows = cases.table(made)
    surest = cases.pick(rows, "wrong species", sort="confidence, highest first")
    assert surest.confidence.tolist() == [0.99, 0.7]
    assert cases.pick(rows, true=ODD, named="マサバ").photo_id.tolist() == [f"{ODD}/{NASTY}.png"]
    assert cases.pick(rows, sort="IoU, lowest first").iou.is_monotonic_increasing


def test_check_first_is_by_the_confidence_and_threshold_of_notebook_05(made):
    photos = ["マサバ/1.png", "マサバ/2.png", f"{ODD}/4.png"]
    sure = pd.DataFrame({"photo_id": photos, "variant": "original", "confidence": [0.3, 0.95, 0.6], "check": [1, 0, 1]})
    write_frame(sure, made.out / "beyond" / "sure.csv")
    rows = cases.pick(cases.table(made), sort=cases.CHECK_FIRST)
    assert rows.photo_id.tolist()[:3] == [photos[0], photos[2], photos[1]]
    assert set(cases.pick(rows, cases.TO_CHECK).photo_id) == {photos[0], photos[2]}
    assert views.caption(rows.iloc[0])[-1] == "to check by eye" and len(views.caption(rows.iloc[2])) == 2
    other = cases.pick(cases.table(made, variant="mask"), sort=cases.CHECK_FIRST)
    assert other.confidence.tolist()[:2] == [0.5, 0.6] and not (other.check == 1).any()  # nothing is known of it


def test_names_of_files_and_species_are_text(made):
    grid = views.failure_grid(made, title="<u>")
    pages = [grid, views.worst_species(made), views.confusion_pairs(made)]
    pages += [photo_detail(made, photo_id) for photo_id in cases.table(made).photo_id]
    for page in pages:
        assert "<b>odd" not in page and "<img src=x" not in page and "<i>share" not in page and "<u>" not in page
    assert "&lt;b&gt;odd &amp; name" in grid and "🐟" in grid and "マサバ" in grid
    assert grid.count("<figure") == 3 and "3 photos" in grid


def test_worst_species_says_whom_it_is_taken_for(made):
    page = views.worst_species(made)
    assert "1 of 2 right with Original (95 % interval 9 to 91 %); taken for マサバ 1" in page
    assert "is to blame" in page and page.count("<figure") == 2
    assert "No wrong answer" not in page
    assert "&lt;b&gt;odd &amp; name → マサバ</strong>: 1 of 2" in views.confusion_pairs(made)


def test_the_chosen_candidate_comes_first_and_says_why(made):
    page = photo_detail(made, "マサバ/1.png")
    chosen, other = page[page.index("Candidates") :].split("<figure")[1:]
    assert 'class="chosen"' in chosen and "0.50" in chosen and "2 alike" in chosen  # two of the three masks are one
    assert 'class="chosen"' not in other and "0.90" in other
    assert "3 in all, 2 shown" in page and "ahead in &lt;i&gt;share" in page and "60 %" in page


def test_a_photo_without_mask_or_answer_is_shown(made):
    assert "was not asked" in photo_detail(made, "NA/5.png")
    assert "no detection" in photo_detail(made, f"{ODD}/4.png")


def test_a_photo_that_changed_after_the_scan_is_not_shown_as_what_the_classifier_saw(made):
    page = photo_detail(made, "マサバ/1.png")
    shutil.copy(made.photos / "マサバ" / "2.png", made.photos / "マサバ" / "1.png")
    changed = photo_detail(made, "マサバ/1.png")
    assert "changed since the scan" in changed and "changed since" not in page
    assert page.count("<figure") > 4 == changed.count("<figure")  # box, outline and two candidates are left


def test_stages_that_have_not_run_leave_empty_views(made):
    for name in ("predictions.csv", "scores.csv"):
        (made.out / name).unlink()
    assert "No wrong answer" in views.worst_species(made) and "No wrong answer" in views.confusion_pairs(made)
    assert "1 photo" in views.failure_grid(made)  # the one without a mask
    assert "was not asked" in photo_detail(made, "マサバ/1.png")


def test_a_thumbnail_is_made_once_and_again_when_the_photo_changes(made, monkeypatch):
    before = views.thumbnail(made, "マサバ/1.png", side=30)
    assert before.shape == (20, 30, 3)
    with monkeypatch.context() as patch:
        patch.setattr(decode, "read", lambda path, sha256: pytest.fail("decoded twice"))
        assert (views.thumbnail(made, "マサバ/1.png", side=30) == before).all()
    other = cv2.imencode(".png", np.full((40, 60, 3), 255, np.uint8))[1].tobytes()
    (made.photos / "マサバ/1.png").write_bytes(other)
    assert (views.thumbnail(made, "マサバ/1.png", side=30) > before).all()


@pytest.mark.parametrize("kept", ["other", "no JPEG", "float", "a larger one", "truncated", "zip"])
def test_a_damaged_thumbnail_is_made_anew(made, kept):
    before = views.jpeg(made, "マサバ/1.png", 30)
    [path] = (made.cache / "thumbnails").rglob("*.npz")
    large = cv2.imencode(".jpg", np.zeros((99, 99, 3), np.uint8))[1]
    spoiled = {
        "other": {"other": 1},
        "no JPEG": {"jpeg": np.zeros(99, np.uint8)},
        "float": {"jpeg": 0.5},
        "a larger one": {"jpeg": large},
        "truncated": {"jpeg": np.frombuffer(before[:-40], np.uint8)},
    }
    if kept == "zip":
        path.write_bytes(path.read_bytes()[:50])
    else:
        np.savez(path, **spoiled[kept])
    assert views.jpeg(made, "マサバ/1.png", 30) == before


def test_a_thumbnail_is_of_the_photo_that_is_meant(made, tmp_path):
    (tmp_path / "secret.png").write_bytes((made.photos / "マサバ/1.png").read_bytes())
    for name in ("../secret.png", str(tmp_path / "secret.png"), ""):
        with pytest.raises(UserError):
            views.jpeg(made, name)
    with pytest.raises(UserError, match="changed"):
        views.jpeg(made, "マサバ/1.png", sha256="0" * 64)
    digest = cache.file_hash(made.photos / "マサバ/1.png")
    assert views.jpeg(made, "マサバ/1.png", sha256=digest) == views.jpeg(made, "マサバ/1.png")


def test_a_run_folder_is_opened_with_what_it_ran_with(made, tmp_path):
    again = reopen(made.out)
    assert (again.out, again.photos, again.method) == (made.out, made.photos, "grabcut")
    with pytest.raises(UserError, match=r"run\.json"):
        reopen(tmp_path / "nothing")


def test_without_a_folder_the_newest_run_is_opened(made, monkeypatch, tmp_path):
    for name, changed in (("older", 1), ("newer", 2), ("unfinished", 3)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        if name != "unfinished":
            shutil.copy(made.out / "run.json", tmp_path / "runs" / name)
            os.utime(tmp_path / "runs" / name / "run.json", (changed, changed))
    monkeypatch.setattr(opening, "REPOSITORY", tmp_path)
    opened = open_study(out=None)
    assert opened.out == tmp_path / "runs" / "newer" and opened.photos == made.photos
    assert open_study(method="grabcut").out == opened.out
    shutil.rmtree(tmp_path / "runs")
    assert open_study(out=None).out == tmp_path / "runs" / "demo"


def test_candidates_of_the_pipeline_figure_lie_on_the_photo(made):
    small = np.zeros((10, 15), bool)
    small[2:8, 3:12] = True  # a quarter of the photo's size, as a network keeps it
    why = made.out / "segments" / "grabcut" / "why" / "マサバ" / "1.json"
    why.write_text(json.dumps({"candidates": [{"rle": masks.to_rle(small)}]}), encoding="utf-8")
    manifest = read_manifest(made.out / "manifest.csv")
    found = pd.read_csv(made.out / "segments" / "grabcut" / "index.csv", keep_default_na=False, na_values=[""])
    answer = {
        "photo_id": "マサバ/1.png",
        "variant": "crop_mask",
        "correct": 1,
        "counted": 1,
        "top5": '[["マサバ", 1.0]]',
    }
    parts = views.pipeline_parts(made, manifest, found, pd.DataFrame([answer]))
    [candidate] = parts["candidates"]
    assert candidate.shape == parts["photo"].shape[:2] and candidate[20, 30] and not candidate[4, 30]
    nothing_found = found.assign(status="no_detection")
    assert views.pipeline_parts(made, manifest, nothing_found, pd.DataFrame([answer])) is None


def test_a_caption_promises_a_true_mask_only_where_there_are_some(made):
    assert "by eye" in captions.well_cut(made)
    assert captions.well_cut(replace(made, masks=made.photos)) == "Well cut: IoU with the true mask at least 0.8."


def test_names_of_a_study_are_text_in_its_first_line(made):
    name = "`<img src=x onerror=alert(1)>`\n\n# *a*"
    study = replace(made, photos=made.out / name, profile=made.profile.model_copy(update={"name": name}))
    said = captions.banner(study)
    assert said.count("`") == 4 and "\n" not in said and str(made.out) not in said


def test_a_photo_that_is_gone_is_said_in_its_place(made):
    (made.photos / "マサバ/2.png").unlink()
    assert views.source_of(made, "マサバ/2.png") != views.source_of(made, "マサバ/1.png")
    assert "マサバ/2.png" in views.failure_grid(made)
