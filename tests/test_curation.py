import cv2
import numpy as np
import pandas as pd
import pytest

from fishlib.errors import UserError
from fishlib.photos import curation

MANIFEST = pd.DataFrame(
    [
        ("a/1.jpg", "a", "a/1.jpg", "s1", 8, 8, "ok", ""),
        ("a/2.jpg", "a", "a/2.jpg", "s1", 8, 8, "ok", ""),
        ("b/ガ.jpg", "b", "b/ガ.jpg", "s1", 8, 8, "ok", ""),
        ("b/4.jpg", "b", "b/4.jpg", "", 0, 0, "unreadable", "empty file, 0 bytes"),
    ],
    columns=["photo_id", "species", "path", "sha256", "width", "height", "status", "reason"],
)


def decisions(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "curation.csv"
    path.write_text(text, encoding=encoding)
    return curation.read_decisions(path)


def test_no_file_no_decisions(tmp_path):
    frame = curation.read_decisions(tmp_path / "curation.csv")
    assert frame.empty
    after, facts = curation.apply_decisions(MANIFEST, frame)
    assert after.equals(MANIFEST)
    assert facts == {"yes": 0, "no": 0, "unsure": 0, "unknown": []}


def test_no_excludes_unsure_stays_and_no_row_goes(tmp_path):
    # Japanese decomposed, as another system spells it; a BOM, as Excel writes it; a row not decided yet
    text = "photo_id,one_whole_fish,note\na/1.jpg, Yes ,\nb/カ\u3099.jpg,NO,two fish\na/2.jpg,unsure,\n"
    frame = decisions(tmp_path, text + "b/4.jpg,no,\nb/9.jpg,no,\nb/5.jpg,,\n", "utf-8-sig")
    after, facts = curation.apply_decisions(MANIFEST, frame)
    assert after["status"].tolist() == ["ok", "ok", "excluded", "unreadable"]
    assert after["reason"].tolist() == ["", "", "curation: no", "empty file, 0 bytes"]
    assert facts == {"yes": 1, "no": 2, "unsure": 1, "unknown": ["b/9.jpg"]}
    assert MANIFEST["status"].tolist() == ["ok", "ok", "ok", "unreadable"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("photo_id,whole\na,yes\n", "whole"),
        ("photo_id,note\na,yes\n", "one_whole_fish"),
        ("photo_id,one_whole_fish\na/1.jpg,maybe\n", "maybe.*a/1.jpg"),
        ("photo_id,one_whole_fish\na/1.jpg,yes\na/1.jpg,no\n", "a/1.jpg twice"),
        ("photo_id,one_whole_fish\na/1.jpg,no\nb/2.jpg,nope\n", "row 3"),
        ("photo_id,one_whole_fish\na/1.jpg,no,two fish\n", "row 2"),
    ],
)
def test_mistakes_are_named(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        decisions(tmp_path, text)


def test_a_file_in_another_encoding_is_named(tmp_path):
    with pytest.raises(UserError, match="UTF-8"):
        decisions(tmp_path, "photo_id,one_whole_fish\nキハダ/1.jpg,yes\n", "cp932")


@pytest.mark.parametrize(
    "text",
    [
        "photo_id,one_whole_fish,\na/1.jpg,no,\n",
        "photo_id,one_whole_fish\na/1.jpg,no,,,\n",
        "photo_id;one_whole_fish;note\na/1.jpg;no;two fish\n",
        "One_Whole_Fish\tPHOTO_ID\nNO\ta\\1.jpg\n",
        "photo_id,one_whole_fish\n./a/1.jpg,no\na\\1.jpg,no\n\n,,\n",
    ],
)
def test_tables_as_people_and_their_programs_write_them(tmp_path, text):
    after, facts = curation.apply_decisions(MANIFEST, decisions(tmp_path, text))
    assert after["status"].tolist() == ["excluded", "ok", "ok", "unreadable"]
    assert facts["no"] == 1 and facts["unknown"] == []


def test_decisions_about_no_photo_are_a_sentence():
    assert curation.unmatched("curation.csv", []) == []
    [said] = curation.unmatched("curation.csv", ["b/9.jpg", "c/9.jpg"])
    assert said.startswith("curation.csv: 2 rows of no photo here (first: b/9.jpg)")


def test_duplicates_are_hinted_not_excluded():
    hints = curation.hints(MANIFEST).values.tolist()
    assert hints == [
        ["a/2.jpg", "exact duplicate of a/1.jpg"],
        ["b/ガ.jpg", "exact duplicate of a/1.jpg, of another species"],
    ]


def test_pieces_and_border_come_from_the_masks():
    two, cut = np.zeros((2, 20, 20), bool)
    two[2:8, 2:8] = two[12:18, 12:18] = True
    two[10, 1] = True  # a splinter
    cut[5:9, 10:] = True
    segments = pd.DataFrame({"photo_id": ["b/ガ.jpg", "a/2.jpg", "a/1.jpg"], "mask": ["two", "cut", ""]})
    manifest = MANIFEST.assign(sha256=["1", "2", "3", ""])
    hints = curation.hints(manifest, segments, lambda row: {"two": two, "cut": cut}.get(row.mask))
    assert hints.values.tolist() == [["a/2.jpg", "touches the border"], ["b/ガ.jpg", "2 pieces"]]


def test_pictures_tell_blur_and_near_duplicates_and_boxes_second_fish():
    random = np.random.default_rng(0)
    scene = cv2.resize(random.integers(0, 255, (6, 8, 3), np.uint8), (240, 180), interpolation=cv2.INTER_NEAREST)
    other = cv2.resize(random.integers(0, 255, (6, 8, 3), np.uint8), (240, 180), interpolation=cv2.INTER_NEAREST)
    again = np.clip(scene.astype(int) + random.integers(-9, 9, scene.shape), 0, 255).astype(np.uint8)
    looks = {"a/1.jpg": scene, "a/2.jpg": again, "b/ガ.jpg": cv2.GaussianBlur(other, (0, 0), 9)}
    boxes = {"a/1.jpg": [[0, 0, 10, 10], [1, 0, 10, 10], [40, 40, 60, 60]], "a/2.jpg": [[0, 0, 9, 9], [0, 1, 9, 9]]}
    manifest = MANIFEST.assign(sha256=["1", "2", "3", ""])
    hints = curation.hints(manifest, look=looks.get, boxes=lambda photo_id: boxes.get(photo_id, []))
    said = [["a/1.jpg", "2 detections"], ["a/2.jpg", "looks like a/1.jpg"], ["b/ガ.jpg", "blurred or dark"]]
    assert hints.values.tolist() == said
