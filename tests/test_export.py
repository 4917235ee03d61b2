"""Export: what a run found as a COCO file or an image folder, and masks that come back from either unchanged."""

import contextlib
import io
import json

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as mask_of
from pycocotools.coco import COCO

from fishlib import cli
from fishlib.errors import UserError
from fishlib.files.frames import read_frame, write_frame
from fishlib.photos import masks
from fishlib.photos.manifest import scan
from fishlib.removal import segments
from fishlib.removal.segmenters import imported
from fishlib.show import export


@pytest.fixture
def holed(made):
    """The made run, whose first mask has a hole, a second piece and a lone pixel; one photo with a box alone."""
    mask = np.zeros((40, 60), bool)
    mask[5:30, 10:40] = True
    mask[12:18, 20:25] = False
    mask[33:36, 50:58] = True
    mask[0, 59] = True
    folder = made.out / "segments" / "grabcut"
    index = pd.read_csv(folder / "index.csv", keep_default_na=False).reindex(columns=segments.COLUMNS, fill_value="")
    masks.write_mask(mask, folder / index.loc[0, "mask_file"])
    index = index.astype(object)
    index.loc[0, "score"] = 0.75
    index.loc[1, ["status", "mask_file"]] = ["mask_rejected", ""]
    write_frame(index, folder / "index.csv")
    return made, mask


def written(out) -> dict:
    return json.loads((out / "coco.json").read_text(encoding="utf-8"))


def test_a_coco_file_states_photos_species_boxes_and_attributes(holed, tmp_path):
    study, mask = holed
    counts = export.as_coco(study, tmp_path / "out")
    assert counts == {"ok": 3, "mask_rejected": 1, "no_detection": 1, "excluded": 1, "masks": 3}
    coco = written(tmp_path / "out")
    named = {image["id"]: image for image in coco["images"]}
    assert len(named) == 5 and all((image["width"], image["height"]) == (60, 40) for image in named.values())
    assert "NA/6.png" not in {image["file_name"] for image in named.values()}  # excluded
    species = {category["id"]: category["name"] for category in coco["categories"]}
    notes = {named[note["image_id"]]["file_name"]: note for note in coco["annotations"]}
    first = notes["マサバ/1.png"]
    assert species[first["category_id"]] == "マサバ" and first["area"] == np.count_nonzero(mask)
    assert first["bbox"] == [15, 10, 30, 20] and first["iscrowd"] == 0  # the detector's box
    assert first["attributes"] == {"method": "grabcut", "score": 0.75, "status": "ok"}
    assert notes["マサバ/2.png"]["segmentation"] == [] and notes["マサバ/2.png"]["attributes"]["score"] is None
    assert next(c for c in coco["categories"] if c["name"] == "マサバ")["scientific_name"] == "Scomber japonicus"
    assert len(coco["annotations"]) == 4 and len({note["id"] for note in coco["annotations"]}) == 4


def test_rle_comes_back_bit_for_bit_by_pycocotools_and_as_masks_of_a_study(holed, tmp_path):
    study, _ = holed
    export.as_coco(study, tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "coco.json"))
    read = segments.reader(study, "grabcut")
    sizes = {image["file_name"]: (40, 60) for image in coco.loadImgs(coco.getImgIds())}
    back = imported.build({"root": tmp_path / "coco.json", "sizes": sizes}, "cpu", True)
    for image in coco.loadImgs(coco.getImgIds()):
        mask = read(image["file_name"])
        if mask is None:
            continue
        [note] = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert np.array_equal(coco.annToMask(note).astype(bool), mask)
        [again] = back.segment([np.zeros((40, 60, 3), np.uint8)], [image["file_name"]])
        assert np.array_equal(again.mask, mask)


def uncompressed(note: dict) -> None:
    """The same mask with its counts as a list of runs, as COCO has crowds."""
    rle = note["segmentation"]
    fish = mask_of.decode(rle).flatten(order="F").astype(int)
    starts = np.flatnonzero(np.diff(fish, prepend=1 - fish[0]))
    runs = np.diff(np.append(starts, fish.size)).tolist()
    note["segmentation"] = {"size": rle["size"], "counts": [0, *runs] if fish[0] else runs}


REWRITTEN = {  # how other programs state a photo's name
    "subfolders": "{name}",
    "absolute": "/mnt/data/mackerels/{name}",
    "windows": "D:\\data\\mackerels\\{name}",
}


@pytest.mark.parametrize("place", REWRITTEN)
@pytest.mark.parametrize("crowd", [False, True])
def test_rle_rewritten_by_another_program_comes_back_bit_for_bit(holed, tmp_path, place, crowd):
    study, _ = holed
    export.as_coco(study, tmp_path)
    content = written(tmp_path)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    for image in content["images"]:
        name = image["file_name"].replace("/", "\\") if place == "windows" else image["file_name"]
        image["file_name"] = REWRITTEN[place].format(name=name)
        image["id"] = 900 - 7 * image["id"]  # neither contiguous nor in order
    for note in content["annotations"]:
        note["image_id"] = 900 - 7 * note["image_id"]
        note["id"] *= 1000
        if crowd and note["segmentation"]:
            note["iscrowd"] = 1
            uncompressed(note)
    file = tmp_path / "corrected.json"
    file.write_text(json.dumps(content), encoding="utf-8")

    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(file))
    back = imported.build({"root": file, "sizes": dict.fromkeys(names.values(), (40, 60))}, "cpu", True)
    read = segments.reader(study, "grabcut")
    compared = 0
    for number, name in names.items():
        mask = read(name)
        if mask is None:
            continue
        [note] = theirs.loadAnns(theirs.getAnnIds(imgIds=[900 - 7 * number]))
        [again] = back.segment([np.zeros((40, 60, 3), np.uint8)], [name])
        assert np.array_equal(theirs.annToMask(note).astype(bool), mask)
        assert np.array_equal(again.mask, mask)
        compared += 1
    assert compared == 3


def test_polygons_follow_the_outer_edge(holed, tmp_path):
    study, mask = holed
    export.as_coco(study, tmp_path, outlines="polygon")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "coco.json"))
    [image] = [i for i in coco.loadImgs(coco.getImgIds()) if i["file_name"] == "マサバ/1.png"]
    [note] = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
    assert len(note["segmentation"]) == 3  # three pieces
    filled = mask.copy()
    filled[5:30, 10:40] = True
    assert np.array_equal(coco.annToMask(note).astype(bool), filled)


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_outlines_lie_on_the_pixels_edges(mask):
    height, width = mask.shape
    for polygon in export.outline(mask):
        x, y = polygon[0::2], polygon[1::2]
        assert len(polygon) >= 6 and min(x) >= 0 and max(x) <= width and min(y) >= 0 and max(y) <= height
    assert bool(export.outline(mask)) == bool(mask.any())


def test_a_folder_can_be_run_again_with_its_masks_and_says_nothing_of_the_camera(holed, tmp_path):
    study, mask = holed
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    exif.get_ifd(0x8825)[2] = (35.0, 7.0, 24.0)
    photo = study.photos / "マサバ" / "1.png"
    shown = np.zeros((40, 60, 3), np.uint8)
    shown[:10] = 250
    Image.fromarray(shown).save(photo, exif=exif)
    out = tmp_path / "out"
    counts = export.as_folder(study, out)
    assert counts["masks"] == 3
    exported = Image.open(out / "images" / "マサバ" / "1.jpg")
    assert not exported.getexif() and np.asarray(exported)[35].mean() > 200 > np.asarray(exported)[5].mean()
    assert np.array_equal(masks.read_mask(out / "masks" / "マサバ" / "1.png"), mask)
    table = read_frame(out / "metadata.csv")
    assert list(table) == export.METADATA and len(table) == 5
    for row in table.to_dict("records"):
        assert (out / row["file_name"]).is_file()
        assert not row["mask_file_name"] or (out / row["mask_file_name"]).is_file()
    assert (scan(out / "images")["status"] == "ok").all()
    _, front, text = (out / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "unknown" and "5 pictures of 3 species" in text


def test_authors_and_licences_go_along(holed, tmp_path):
    study, _ = holed
    credit = {
        "photo_id": "マサバ/1.png",
        "author": "Anna",
        "licence": "CC BY",
        "licence_url": "http://l/",
        "page": "http://p/",
    }
    write_frame(pd.DataFrame([credit]), study.photos / "attribution.csv")
    export.as_coco(study, tmp_path)
    coco = written(tmp_path)
    [image] = [image for image in coco["images"] if image["file_name"] == "マサバ/1.png"]
    assert image["author"] == "Anna" and coco["licenses"] == [
        {"id": image["license"], "name": "CC BY", "url": "http://l/"}
    ]
    export.as_folder(study, tmp_path)
    assert read_frame(tmp_path / "metadata.csv").set_index("photo_id").loc["マサバ/1.png", "author"] == "Anna"
    assert "- CC BY: 1 photos" in (tmp_path / "README.md").read_text()


def test_a_second_export_leaves_no_mask_of_the_first(holed, tmp_path):
    study, _ = holed
    export.as_folder(study, tmp_path)
    folder = study.out / "segments" / "grabcut"
    index = segments.read_index(folder / "index.csv")
    index.loc[0, ["status", "mask_file"]] = ["no_detection", ""]
    write_frame(index, folder / "index.csv")
    export.as_folder(study, tmp_path)
    assert not (tmp_path / "masks" / "マサバ" / "1.png").exists()


def test_a_photo_that_is_lost_is_told_and_left_out(holed, tmp_path):
    study, _ = holed
    (study.photos / "マサバ" / "1.png").unlink()
    counts = export.as_folder(study, tmp_path)
    assert counts["unreadable"] == 1 and counts["masks"] == 2 and len(read_frame(tmp_path / "metadata.csv")) == 4


def test_the_command_exports_beside_the_run_and_tells_what_it_left_out(holed, capsys, monkeypatch):
    study, _ = holed
    monkeypatch.setattr("sys.argv", ["fishlib", "export", str(study.out), "--as", "coco"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "3 masks" in said and "1 excluded" in said
    assert len(written(study.out / "export")["images"]) == 5
    monkeypatch.setattr("sys.argv", ["fishlib", "export", str(study.out), "--as", "yolo"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and "'yolo' is no form of export" in capsys.readouterr().err


def test_what_cannot_be_exported_is_one_sentence(holed, tmp_path):
    study, _ = holed
    with pytest.raises(UserError, match=r"detic has not run in .*; choose one of grabcut"):
        export.as_coco(study, tmp_path, "detic")
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        export.as_coco(study, tmp_path, "../grabcut")
    with pytest.raises(UserError, match="'svg' is no form of outlines"):
        export.as_coco(study, tmp_path, outlines="svg")
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="was not exported by fishlib"):
        export.as_folder(study, tmp_path)
    cv2.imwrite(str(study.out / "segments" / "grabcut" / "0.png"), np.zeros((4, 5), np.uint8))
    with pytest.raises(UserError, match=r"0\.png has \(5, 4\) pixels, its photo \(60, 40\)"):
        export.as_coco(study, tmp_path)
