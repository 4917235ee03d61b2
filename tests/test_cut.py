"""fishlib cut on small pictures; a made-up segmenter takes white for fish."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fishlib import cache, cli
from fishlib.errors import UserError
from fishlib.photos import decode, masks
from fishlib.removal import cut as module
from fishlib.removal import segmenters
from fishlib.removal.cutouts import BOX, JOURNAL
from fishlib.removal.segmenters import Segmentation

calls = []


def cut(*given, **options):
    """What was counted."""
    return module.cut(*given, **options).counts


class White:
    """White pixels are the fish; a photo without any has no detection."""

    def __init__(self, key=0):
        self.key = {"name": "white", "key": key}

    def segment(self, images, photo_ids):
        calls.extend(photo_ids)
        found = [image.min(axis=2) > 200 for image in images]
        none = Segmentation(status="no_detection", reason="nothing is white")
        return [Segmentation(m, masks.box_of(m), 0.5) if m.any() else none for m in found]


@pytest.fixture(autouse=True)
def white(monkeypatch):
    calls.clear()
    monkeypatch.setattr(segmenters, "build", lambda method, params, device, offline: White(params))


def photo(path, size=(40, 60), fish=True, red=90):
    """A red picture (height, width), its middle third white."""
    height, width = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 2] = red
    if fish:
        picture[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    return path


@pytest.fixture
def tree(tmp_path):
    photo(tmp_path / "photos" / "Thunnus_albacares" / "a.png")
    photo(tmp_path / "photos" / "<b>サバ" / "b.png", (900, 1200))
    photo(tmp_path / "photos" / "top.png", fish=False)
    (tmp_path / "photos" / "<b>サバ" / "notes.txt").write_text("no photo")
    return tmp_path / "photos"


def read(path):
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)


def index(out):
    with (out / "index.csv").open(encoding="utf-8", newline="") as f:
        return {row["path"].rsplit("/", 1)[-1]: row for row in csv.DictReader(f)}


def pictures(out):
    """What lies in the folder beside its tables and locks."""
    files = [p for p in out.rglob("*") if p.is_file() and p.suffix != ".csv" and not p.name.startswith(".lock")]
    return sorted(p.relative_to(out).as_posix() for p in files)


def test_the_tree_is_mirrored_with_a_row_for_every_file(tree, tmp_path):
    out = tmp_path / "out"
    counts = cut([tree], out, "white")
    assert counts == {"photos": 4, "new": 4, "ok": 2, "no_detection": 1, "unreadable": 1}
    fish = ["<b>サバ/b.png", "Thunnus_albacares/a.png"]
    assert pictures(out) == sorted(fish + [f"masks/{name}" for name in fish])
    rows = index(out)
    assert set(rows) == {"a.png", "b.png", "top.png", "notes.txt"}
    assert rows["top.png"]["reason"] == "nothing is white" and rows["notes.txt"]["status"] == "unreadable"
    assert [float(rows["b.png"][k]) for k in BOX] == pytest.approx([400, 300, 800, 600], abs=3)
    mask, picture = read(out / "masks" / fish[0]), read(out / fish[0])
    assert mask.shape == (900, 1200) and set(np.unique(mask)) == {0, 255} and picture.shape == (900, 1200, 3)
    assert not picture[mask == 0].any() and (picture[310:590, 410:790] == 255).all()


@pytest.mark.parametrize(
    ("background", "bgr"),
    [("black", (0, 0, 0)), ("blue", (255, 0, 0)), ("#0a141e", (30, 20, 10)), ("transparent", (0, 0, 0, 0))],
)
def test_the_background_is_filled_and_the_fish_is_not(tree, tmp_path, background, bgr):
    cut([tree / "Thunnus_albacares"], tmp_path / "out", "white", background=background)
    picture = read(tmp_path / "out" / "a.png")
    assert (picture[0, 0] == bgr).all() and (picture[20, 30] == 255).all()
    assert (picture[0] == bgr).all() and picture.shape == (40, 60, len(bgr))


def test_red_and_blue_keep_their_places(tmp_path, monkeypatch):
    class All(White):
        def segment(self, images, photo_ids):
            assert images[0][0, 0].tolist() == [90, 0, 0]  # RGB
            return [Segmentation(np.ones(images[0].shape[:2], bool), np.float32([0, 0, 60, 40]), 1.0)]

    monkeypatch.setattr(segmenters, "build", lambda *_: All())
    source = photo(tmp_path / "a.png")
    cut([source], tmp_path / "out", "all")
    assert (read(tmp_path / "out" / "a.png") == read(source)).all()


def test_crop_and_dilate(tree, tmp_path):
    cut([tree / "Thunnus_albacares"], tmp_path / "out", "white", crop=True, dilate=2)
    assert read(tmp_path / "out" / "a.png").shape == (13, 20, 3)  # rows 13 to 26, columns 20 to 40
    mask = read(tmp_path / "out" / "masks" / "a.png")
    assert mask.shape == (40, 60) and np.count_nonzero(mask) == (13 + 4) * (20 + 4)


def test_dilation_is_at_the_working_size(tmp_path):
    photo(tmp_path / "a.png", (900, 1280))  # twice 640
    cut([tmp_path / "a.png"], tmp_path / "plain", "white")
    cut([tmp_path / "a.png"], tmp_path / "grown", "white", dilate=3)
    widths = [np.count_nonzero(read(tmp_path / d / "masks" / "a.png")[450]) for d in ("plain", "grown")]
    assert widths[1] - widths[0] == 2 * 3 * 2


def test_a_second_run_does_nothing(tree, tmp_path):
    out = tmp_path / "out"
    cut([tree], out, "white")
    before = {name: (out / name).stat().st_mtime_ns for name in pictures(out)}
    text = (out / "index.csv").read_bytes()
    calls.clear()
    assert cut([tree], out, "white") == {"photos": 4, "new": 0, "ok": 2, "no_detection": 1, "unreadable": 1}
    assert not calls and (out / "index.csv").read_bytes() == text
    assert {name: (out / name).stat().st_mtime_ns for name in pictures(out)} == before


def test_only_what_changed_or_went_missing_is_cut_again(tree, tmp_path):
    out = tmp_path / "out"
    cut([tree], out, "white")
    (out / "masks" / "<b>サバ" / "b.png").unlink()
    photo(tree / "Thunnus_albacares" / "a.png", fish=False)  # its old cut-out would be wrong
    photo(tree / "new.png")
    calls.clear()
    assert cut([tree], out, "white")["new"] == 3
    assert set(calls) == {"<b>サバ/b.png", "Thunnus_albacares/a.png", "new.png"}
    assert pictures(out) == ["<b>サバ/b.png", "masks/<b>サバ/b.png", "masks/new.png", "new.png"]


@pytest.mark.parametrize("change", [{"background": "white"}, {"crop": True}, {"dilate": 1}, {"params": {"x": 1}}])
def test_other_settings_never_replace_silently(tree, tmp_path, change):
    out = tmp_path / "out"
    cut([tree], out, "white")
    before = {name: (out / name).read_bytes() for name in pictures(out)}
    with pytest.raises(UserError, match="overwrite"):
        cut([tree], out, "white", **change)
    assert {name: (out / name).read_bytes() for name in pictures(out)} == before
    assert cut([tree], out, "white", overwrite=True, **change)["new"] == 4
    assert cut([tree], out, "white", **change)["new"] == 0


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["Thunnus_albacares/a.png", "masks/Thunnus_albacares/a.png"])
def test_a_foreign_file_is_never_replaced(tree, tmp_path, name, overwrite):
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    for _ in range(2):
        counts = cut([tree], tmp_path / "out", "white", overwrite=overwrite)
        assert counts["not_written"] == 1 and foreign.read_text() == "mine"
    assert "was not made by fishlib cut" in index(tmp_path / "out")["a.png"]["reason"]


def test_a_foreign_index_is_never_replaced(tree, tmp_path):
    (tmp_path / "index.csv").write_text("my,own\n1,2\n")
    with pytest.raises(UserError, match="was not made by fishlib cut"):
        cut([tree], tmp_path, "white")
    assert (tmp_path / "index.csv").read_text() == "my,own\n1,2\n"


def test_two_photos_whose_files_would_be_one_give_one_picture_and_a_reason(tmp_path):
    first, second = photo(tmp_path / "p" / "A.png"), photo(tmp_path / "p" / "a.jpg", red=10)
    other = photo(tmp_path / "q" / "a.png", red=20)
    for _ in range(2):
        counts = cut([tmp_path / "p", other], tmp_path / "out", "white")
        assert (counts["photos"], counts["ok"], counts["not_written"]) == (3, 2, 1)
    assert pictures(tmp_path / "out") == ["masks/p/A.png", "masks/q/a.png", "p/A.png", "q/a.png"]
    assert first.as_posix() in index(tmp_path / "out")[second.name]["reason"]


def test_a_species_called_masks_does_not_mix_with_the_masks(tmp_path):
    photo(tmp_path / "p" / "a.png")
    photo(tmp_path / "p" / "masks" / "a.png")
    assert cut([tmp_path / "p"], tmp_path / "out", "white")["not_written"] == 1
    assert set(np.unique(read(tmp_path / "out" / "masks" / "a.png"))) <= {0, 255}


def test_nothing_leaves_the_output_folder(tree, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    try:
        (tmp_path / "out" / "Thunnus_albacares").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("this system lets users make no links")
    assert cut([tree], tmp_path / "out", "white")["not_written"] == 1
    assert not any((tmp_path / "elsewhere").iterdir())


def test_an_output_inside_the_photos_is_not_read_again(tree):
    out = tree / "cut"
    for new in (4, 0):
        counts = cut([tree], out, "white")
        assert (counts["photos"], counts["new"]) == (4, new)
    with pytest.raises(UserError, match="output folder itself"):
        cut([tree], tree, "white")


def test_an_error_in_the_middle_keeps_what_is_finished_and_the_next_run_goes_on(tree, tmp_path, monkeypatch):
    class Dies(White):
        def segment(self, images, photo_ids):
            if len(calls) == 1:
                raise KeyboardInterrupt
            return super().segment(images, photo_ids)

    monkeypatch.setattr(segmenters, "build", lambda method, params, device, offline: Dies(params))
    with pytest.raises(KeyboardInterrupt):
        cut([tree], tmp_path / "out", "white")
    assert [row["status"] for row in index(tmp_path / "out").values()].count("ok") == 1
    done = calls.copy()
    monkeypatch.setattr(segmenters, "build", lambda method, params, device, offline: White(params))
    assert cut([tree], tmp_path / "out", "white")["ok"] == 2
    assert len(calls) == 3 and calls.count(done[0]) == 1


def test_a_kill_between_a_picture_and_its_row_is_no_foreign_file(tree, tmp_path, monkeypatch):
    written = masks.write_mask

    def killed(mask, path):
        written(mask, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(masks, "write_mask", killed)
    with pytest.raises(KeyboardInterrupt):
        cut([tree], tmp_path / "out", "white")
    monkeypatch.setattr(masks, "write_mask", written)
    assert "not_written" not in cut([tree], tmp_path / "out", "white")


def test_what_a_killed_run_kept_is_known(tree, tmp_path):
    out = tmp_path / "out"
    cut([tree], out, "white")
    text, rows = (out / "index.csv").read_bytes(), index(out)
    lines = [json.dumps(row) for row in rows.values()]
    (out / "index.csv").unlink()
    (out / JOURNAL).write_text("\n".join([*lines, '{"path": "half a li']), encoding="utf-8")
    calls.clear()
    assert cut([tree], out, "white")["new"] == 0 and not calls
    assert (out / "index.csv").read_bytes() == text and not (out / JOURNAL).exists()


def test_a_photo_that_cannot_be_read_for_a_while_keeps_its_cutout(tree, tmp_path, monkeypatch):
    out, hashed = tmp_path / "out", cache.file_hash
    cut([tree], out, "white")

    def fails(path):
        if str(path).endswith("a.png"):
            raise OSError(5, "Input/output error")
        return hashed(path)

    monkeypatch.setattr(cache, "file_hash", fails)
    assert cut([tree], out, "white")["unreadable"] == 2
    assert "Input/output error" in index(out)["a.png"]["reason"] and (out / "Thunnus_albacares" / "a.png").is_file()
    monkeypatch.setattr(cache, "file_hash", hashed)
    assert cut([tree], out, "white") == {"photos": 4, "new": 1, "ok": 2, "no_detection": 1, "unreadable": 1}


@pytest.mark.parametrize("kill", [0, 1, 2, 3])
def test_a_killed_run_ends_with_the_same_index_as_an_undisturbed_one(tmp_path, monkeypatch, kill):
    """Whatever was finished before; the names hold what a line of a journal might be cut at."""
    photos = tmp_path / "photos"
    for name in ("b/1\u2028.png", "b/2\x85.png", "a/'=1.png", "c.png"):
        photo(photos / name, (41, 67))
    cut([photos], tmp_path / "undisturbed", "white")

    class Killed(White):
        def segment(self, images, photo_ids):
            if len(calls) == kill:
                raise KeyboardInterrupt
            return super().segment(images, photo_ids)

    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(segmenters, "build", lambda method, params, device, offline: Killed(params))
        patch.setattr(module.CutOuts, "write", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            cut([photos], tmp_path / "out", "white")
    assert cut([photos], tmp_path / "out", "white") == {"photos": 4, "new": 4 - kill, "ok": 4}
    assert len(calls) == 4 and pictures(tmp_path / "out") == pictures(tmp_path / "undisturbed")
    for name in ("index.csv", "folders.csv", *pictures(tmp_path / "out")):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_the_folders_of_a_tree_are_cut_as_the_tree(tree, tmp_path):
    """What a shell makes of DIR/*; two folders hold a photo of one name."""
    photo(tree / "Thunnus_albacares" / "b.png")
    cut([tree], tmp_path / "whole", "white")
    cut(sorted(tree.iterdir(), reverse=True), tmp_path / "parts", "white")
    assert pictures(tmp_path / "parts") == pictures(tmp_path / "whole")
    assert "Thunnus_albacares/b.png" in pictures(tmp_path / "parts") and "<b>サバ/b.png" in pictures(tmp_path / "parts")
    assert (tmp_path / "parts" / "index.csv").read_bytes() == (tmp_path / "whole" / "index.csv").read_bytes()


def test_equal_names_far_apart_keep_the_folders_they_part_in(tmp_path):
    given = [photo(tmp_path / name) for name in ("x/photos/1.png", "y/photos/1.png")]
    cut([given[0].parent, given[1]], tmp_path / "out", "white")
    names = ["x/photos/1.png", "y/photos/1.png"]
    assert pictures(tmp_path / "out") == sorted([*names, *(f"masks/{name}" for name in names)])


def test_the_index_is_relative_and_says_each_folder_once(tree, tmp_path):
    other = photo(tmp_path / "other" / "z.png")
    for given in (tree, tree, other):
        cut([given], tmp_path / "out", "white")
    with (tmp_path / "out" / "index.csv").open(encoding="utf-8", newline="") as f:
        rows = [(row["folder"], row["path"]) for row in csv.DictReader(f)]
    names = ["<b>サバ/b.png", "<b>サバ/notes.txt", "Thunnus_albacares/a.png", "top.png"]
    assert rows == [*(("1", name) for name in names), ("2", "z.png")]
    with (tmp_path / "out" / "folders.csv").open(encoding="utf-8", newline="") as f:
        assert [(row["folder"], row["path"]) for row in csv.DictReader(f)] == [
            ("1", tree.as_posix()),
            ("2", other.parent.as_posix()),
        ]
    assert tmp_path.as_posix() not in (tmp_path / "out" / "index.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", ["path\n/x\n", "folder,path\n7,/x\n", ""])
def test_folders_that_are_not_ours_are_named(tree, tmp_path, damage):
    cut([tree], tmp_path / "out", "white")
    (tmp_path / "out" / "folders.csv").write_text(damage)
    with pytest.raises(UserError, match=r"folders\.csv"):
        cut([tree], tmp_path / "out", "white")


@pytest.mark.parametrize("name", ["a" * 255, "a" * 252 + ".x", "é" * 125 + ".jpeg"])
def test_a_name_too_long_for_its_files_is_a_row_and_the_others_are_cut(tmp_path, name):
    photo(tmp_path / "p" / "z.png")
    photo(tmp_path / "long.png").rename(tmp_path / "p" / name)
    for _ in range(2):
        counts = cut([tmp_path / "p"], tmp_path / "out", "white")
        too_long = len(os.fsencode(Path(name).stem)) > 251
        assert (counts["ok"], counts.get("not_written", 0)) == (2 - too_long, int(too_long))
    assert not too_long or "shorten" in index(tmp_path / "out")[name]["reason"]


def test_a_cutout_in_the_place_of_a_folder_stops_that_photo_alone(tmp_path):
    photo(tmp_path / "p" / "a.jpg")
    photo(tmp_path / "p" / "a.png" / "b.png")
    photo(tmp_path / "p" / "z.png")
    for _ in range(2):
        counts = cut([tmp_path / "p"], tmp_path / "out", "white")
        assert (counts["ok"], counts["not_written"]) == (2, 1)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere only some users may make links")
def test_a_link_out_of_the_photos_is_refused_and_one_within_followed(tmp_path):
    secret = photo(tmp_path / "elsewhere" / "secret.png")
    own = photo(tmp_path / "p" / "own.png")
    (tmp_path / "p" / "out.png").symlink_to(secret)
    (tmp_path / "p" / "folder").symlink_to(secret.parent)
    (tmp_path / "p" / "within.png").symlink_to(own)
    (tmp_path / "p" / "loop.png").symlink_to(tmp_path / "p" / "loop.png")
    cut([tmp_path / "p"], tmp_path / "out", "white")
    rows = index(tmp_path / "out")
    assert [name for name in rows if rows[name]["status"] == "ok"] == ["own.png", "within.png"]
    assert "leads out" in rows["out.png"]["reason"] and rows["folder"]["status"] == "unreadable"
    assert rows["loop.png"]["status"] == "unreadable"
    assert cut([tmp_path / "p" / "out.png"], tmp_path / "given", "white")["ok"] == 1  # the user's own word


@pytest.mark.skipif(os.name != "posix", reason="elsewhere only some users may make links")
@pytest.mark.parametrize("name", [JOURNAL, ".lock", ".lock-holder.json"])
def test_nothing_is_written_through_a_link_in_the_output(tree, tmp_path, name):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(mine)
    with pytest.raises(UserError, match="is a link"):
        cut([tree], tmp_path / "out", "white")
    assert mine.read_text() == "mine" and (tmp_path / "out" / name).is_symlink()


def test_a_photo_that_changes_while_it_is_read_is_never_kept_under_the_old_hash(tmp_path, monkeypatch):
    file = photo(tmp_path / "a.png")
    before, reads = file.read_bytes(), decode.read

    def changing(path, *more):
        photo(file, fish=False)
        return reads(path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "read", changing)
        assert "no_detection" in cut([file], tmp_path / "out", "white")
    file.write_bytes(before)
    assert cut([file], tmp_path / "out", "white") == {"photos": 1, "new": 1, "ok": 1}

    def breaking(path, *more):
        path.write_bytes(b"")
        return reads(path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "read", breaking)
        assert "unreadable" in cut([file], tmp_path / "other", "white")
    file.write_bytes(before)
    assert cut([file], tmp_path / "other", "white") == {"photos": 1, "new": 1, "ok": 1}


HOLD = """
import sys, time
from fishlib.files import locks
with locks.held(sys.argv[1], "fishlib cut"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_cut_says_who_holds_the_folder_and_changes_nothing(tree, tmp_path):
    cut([tree], tmp_path / "out", "white")
    text = (tmp_path / "out" / "index.csv").read_bytes()
    photo(tree / "new.png")
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "out"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"fishlib cut \(process {other.pid} on .*, since 20"):
            cut([tree], tmp_path / "out", "white")
        other.kill()
    assert (tmp_path / "out" / "index.csv").read_bytes() == text
    assert cut([tree], tmp_path / "out", "white")["new"] == 1


def test_the_command_ends_with_1_and_says_how_many_where_a_photo_is_left_out(tree, tmp_path, monkeypatch, capsys):
    def call():
        monkeypatch.setattr("sys.argv", ["fishlib", "cut", str(tree), "--out", str(tmp_path / "out")])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, capsys.readouterr().err

    assert call()[0] == 0  # notes.txt lies there and is no photo
    (tree / "broken.png").write_text("no picture")
    for _ in range(2):
        code, said = call()
        assert code == 1 and "1 of 5 could not be cut" in said and "broken.png" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [({"background": "#12"}, "#rrggbb"), ({"background": "mauve"}, "mauve"), ({"dilate": -1}, "--dilate -1")],
)
def test_a_wrong_option_is_named(tree, tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        cut([tree], tmp_path / "out", "white", **options)
    assert not (tmp_path / "out").exists()


def test_a_missing_or_empty_input_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="nowhere is not there"):
        cut([tmp_path / "nowhere"], tmp_path / "out", "white")
    with pytest.raises(UserError, match="no file in"):
        cut([tmp_path / "empty"], tmp_path / "out", "white")


def test_a_full_disk_is_one_sentence(tree, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); make room"):
        cut([tree], tmp_path / "out", "white")


@pytest.mark.skipif(os.name != "posix", reason="only here can a name be no text")
def test_a_name_that_is_no_text_and_a_pipe_are_rows(tmp_path):
    photo(tmp_path / "p" / "a.png").rename(os.fsdecode(os.fsencode(tmp_path / "p") + b"/\xff.png"))
    os.mkfifo(tmp_path / "p" / "pipe.png")
    for _ in range(2):
        assert cut([tmp_path / "p"], tmp_path / "out", "white")["unreadable"] == 2


def test_grabcut_cuts_a_photo(tmp_path, monkeypatch):
    monkeypatch.undo()
    pytest.importorskip("fishlib.removal.segmenters.grabcut")
    photo(tmp_path / "a.png", (120, 180))
    assert cut([tmp_path / "a.png"], tmp_path / "out", "grabcut", device="cpu")["ok"] == 1
    mask = read(tmp_path / "out" / "masks" / "a.png") > 0
    truth = np.zeros((120, 180), bool)
    truth[40:80, 60:120] = True
    assert masks.iou(mask, truth) > 0.9
