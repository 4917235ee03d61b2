import json
import os
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image

from fishlib.errors import UserError
from fishlib.files.frames import write_frame
from fishlib.photos import manifest as manifests
from fishlib.photos.manifest import read_manifest, scan


def photo(path, shade=90, size=(8, 6), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 60, 30)).save(path, **more)
    return path


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.jpg", "a/2.png", "キハダ/写真 🐟.jpg", "b's \"<i>&, b/x.webp"):
        photo(tmp_path / name)
    return tmp_path


def rows(tree):
    return scan(tree).set_index("photo_id")


def test_scan_lists_good_and_bad_and_round_trips(tree):
    bad = {
        "zero.jpg": (b"", "empty file"),
        "text.jpg": (b"no photo at all", "no picture"),
        "phone.heic": (b"\0\0\0\x18ftypheic", "HEIC"),
        "notes.txt": (b"notes", "not a photo (.txt)"),
        "README": (b"notes", "not a photo (no suffix)"),
    }
    for name, (data, _) in bad.items():
        (tree / "a" / name).write_bytes(data)
    for name in (".hidden.jpg", "Thumbs.db", "desktop.ini", "Icon\r", "../curation.csv"):
        (tree / "a" / name).write_bytes(b"ignored")
    photo(tree / ".git" / "x.jpg")
    frame = scan(tree)
    assert frame["photo_id"].tolist() == sorted(frame["photo_id"])
    assert len(frame) == 4 + len(bad)
    assert frame[frame["status"] == "ok"]["species"].tolist() == ["a", "a", "b's \"<i>&, b", "キハダ"]
    for row in frame[frame["species"] == "a"].itertuples():
        data, reason = bad.get(row.photo_id[2:], (None, ""))
        assert row.status == ("ok" if data is None else "unreadable")
        assert reason in row.reason and bool(row.reason) == (data is not None)
        assert (row.width, row.height) == ((8, 6) if data is None else (0, 0))
        assert bool(row.sha256) == (data is None)
    write_frame(frame, tree / "out" / "manifest.csv")
    pd.testing.assert_frame_equal(read_manifest(tree / "out" / "manifest.csv"), frame)


def test_content_decides_not_the_suffix(tree):
    photo(tree / "a" / "3.jpg").rename(tree / "a" / "3")
    assert rows(tree).loc["a/3", "status"] == "ok"


@pytest.mark.skipif(sys.platform == "win32", reason="such names are refused there")
@pytest.mark.parametrize(
    "name", ["c\rd.jpg", "c\nd.jpg", "c\u2028d.jpg", "c\x85d.jpg", "=c.jpg", "'=c.jpg", ' "c", .jpg']
)
def test_any_name_is_one_row_of_the_kept_manifest(tree, name):
    photo(tree / "a" / name)
    frame = scan(tree)
    write_frame(frame, tree / "m.csv")
    pd.testing.assert_frame_equal(read_manifest(tree / "m.csv"), frame)
    assert frame.set_index("photo_id").loc[f"a/{name}", "status"] == "ok"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count otherwise")
def test_a_name_too_long_for_what_is_named_after_it_is_a_row(tree):
    longest = "a" * 250 + ".jpg"
    for name in (longest, "b" * 251 + ".jpg", "c" * 255, "魚" * 83 + "d.jpg"):
        photo(tree / "a" / "new.jpg").rename(tree / "a" / name)
    found = rows(tree)
    assert found.loc[f"a/{longest}", "status"] == "ok"
    for name in ("b" * 251 + ".jpg", "c" * 255):
        assert found.loc[f"a/{name}", "status"] == "excluded" and "too long" in found.loc[f"a/{name}", "reason"]
    assert found.loc["a/" + "魚" * 83 + "d.jpg", "status"] == "ok"  # 83 letters of 3 bytes and one


def locked(monkeypatch, *folders):
    """Refuse to open these folders, as a system does for a user without rights (tests may run as root)."""
    real = os.scandir

    def scandir(path="."):
        if str(path) in map(str, folders):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_opened_is_a_row(tree, monkeypatch):
    photo(tree / "a" / "deep" / "x.jpg")
    locked(monkeypatch, tree / "キハダ", tree / "a" / "deep")
    found = rows(tree)
    for name in ("キハダ", "a/deep"):
        assert found.loc[name, ["status", "reason"]].tolist() == ["unreadable", "Permission denied"]
    assert (found["status"] == "ok").sum() == 3
    locked(monkeypatch, tree)
    with pytest.raises(UserError, match="cannot be opened"):
        scan(tree)


def test_files_of_no_species_are_listed_and_are_none(tree):
    (tree / "notes.txt").write_text("notes")
    photo(tree / "loose.jpg")
    frame = scan(tree)
    assert frame.loc[frame["species"] == "", "photo_id"].tolist() == ["loose.jpg", "notes.txt"]
    assert manifests.species_in(frame) == ["キハダ", "a", "b's \"<i>&, b"]


def test_decisions_are_applied_kept_and_those_about_nothing_are_said(tree, tmp_path_factory):
    study = SimpleNamespace(out=tmp_path_factory.mktemp("run"), photos=tree)
    (tree / "curation.csv").write_text("photo_id;one_whole_fish;;\na\\1.jpg;No;;\na/9.jpg;no;;\n", encoding="utf-8")
    manifest, facts = manifests.curate(study, scan(tree))
    pd.testing.assert_frame_equal(manifests.curated(study), manifest)
    assert manifest.set_index("photo_id").loc["a/1.jpg", "reason"] == "curation: no"
    assert facts == {"yes": 0, "no": 1, "unsure": 0, "unknown": ["a/9.jpg"]}
    [note] = json.loads((study.out / "notes" / "curation.json").read_text(encoding="utf-8"))
    assert "one row of no photo here (first: a/9.jpg)" in note


def test_species_named_like_a_missing_value(tree):
    photo(tree / "NA" / "001.jpg")
    photo(tree / "007" / "a.jpg")
    write_frame(scan(tree), tree / "m.csv")
    assert {"NA", "007"} <= set(read_manifest(tree / "m.csv")["species"])


def test_photos_outside_a_species_folder_are_excluded_with_a_reason(tree):
    photo(tree / "loose.jpg")
    photo(tree / "a" / "deep" / "1.jpg")
    found = rows(tree)
    assert found.loc["loose.jpg", ["status", "species"]].tolist() == ["excluded", ""]
    assert "species folder" in found.loc["loose.jpg", "reason"]
    assert found.loc["a/deep/1.jpg", ["status", "species"]].tolist() == ["excluded", "a"]


def test_two_photos_that_would_share_a_mask(tree):
    photo(tree / "a" / "2.jpg", 10)
    (tree / "a" / "1.png").write_bytes(b"")
    found = rows(tree)
    assert found.loc["a/2.jpg", "status"] == "ok"
    assert found.loc["a/2.png", "status"] == "excluded" and "a/2.jpg" in found.loc["a/2.png", "reason"]
    assert found.loc["a/1.jpg", "status"] == "ok"  # its twin is unreadable and has no mask


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links(tree, tmp_path_factory):
    outside = photo(tmp_path_factory.mktemp("outside") / "s" / "secret.jpg")
    (tree / "a" / "out.jpg").symlink_to(outside)
    (tree / "a" / "in.jpg").symlink_to(tree / "a" / "1.jpg")
    (tree / "a" / "gone.jpg").symlink_to(tree / "a" / "nothing.jpg")
    (tree / "a" / "loop.jpg").symlink_to(tree / "a" / "loop.jpg")
    (tree / "all").symlink_to(outside.parent)
    (tree / "again").symlink_to(tree / "a")
    found = rows(tree)
    assert found.loc["a/in.jpg", "status"] == "ok"
    for name in ("a/out.jpg", "a/gone.jpg", "a/loop.jpg", "all", "again"):
        assert found.loc[name, "status"] == "unreadable" and found.loc[name, "reason"]
        assert found.loc[name, "sha256"] == ""
    assert "leads out" in found.loc["a/out.jpg", "reason"]
    assert len(found) == 10


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8(tree):
    with open(os.fsencode(tree) + b"/a/\xff.jpg", "wb") as file:  # noqa: PTH123
        file.write((tree / "a" / "1.jpg").read_bytes())
    found = rows(tree)
    assert "UTF-8" in found.loc["a/\\xff.jpg", "reason"]
    write_frame(found.reset_index(), tree / "m.csv")


def test_decomposed_names_stay_openable_and_their_species_is_composed(tree):
    photo(tree / "カ\u3099" / "1.jpg")
    row = rows(tree).loc["カ\u3099/1.jpg"]
    assert row["species"] == "ガ" and (tree / row["path"]).is_file()


@pytest.mark.parametrize(("where", "says"), [("none", "not there"), ("file", "no folder"), ("empty", "no readable")])
def test_no_photos_is_one_clear_sentence(tmp_path, where, says):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match=says):
        scan(tmp_path / where)
    (tmp_path / "empty" / "a" / "x.txt").write_text("x")
    with pytest.raises(UserError):
        scan(tmp_path / where)


def test_manifest_and_frames_that_cannot_be(tmp_path):
    (tmp_path / "m.csv").write_text("photo_id,species\na,b\n")
    (tmp_path / "n.csv").write_text(",".join(manifests.COLUMNS) + "\na/1.jpg,a,a/1.jpg,,wide,0,ok,\n")
    for name in ("m.csv", "n.csv", "none.csv"):
        with pytest.raises(UserError, match=name):
            read_manifest(tmp_path / name)
    with pytest.raises(UserError):
        write_frame(pd.DataFrame(), tmp_path / "m.csv" / "x.csv")
