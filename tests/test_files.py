"""The room that opens files: what comes back is whole, bounded, and lies inside its folder."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishlib.errors import UserError
from fishlib.files import documents, frames, journal, locks, paths, writing


# --- paths
@pytest.mark.parametrize(
    "name", ["", " ", "/etc/passwd", "../x", "a/../../x", "C:\\x", "\\\\host\\x", "~/x", "a\0b", "."]
)
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(UserError):
        paths.inside(tmp_path, name)
    assert paths.file_inside(tmp_path, name) is None


def test_a_link_out_is_refused_and_one_inside_followed(tmp_path):
    root = tmp_path / "run"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("s")
    (root / "own.txt").write_text("o")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "in.txt").symlink_to(root / "own.txt")
    (root / "loop").symlink_to(root / "loop")
    assert paths.file_inside(root, "in.txt").read_text() == "o"
    for name in ("out.txt", "loop"):
        assert paths.file_inside(root, name) is None
    (root / "report").symlink_to(tmp_path)
    with pytest.raises(UserError, match="is a link"):
        paths.own_folder(root, "report")


def test_every_file_comes_and_a_folder_that_cannot_be_opened_too(tmp_path, monkeypatch):
    for name in ("b/2.jpg", "a/1.jpg", "a/.hidden", ".git/x", "top.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    names = [path.relative_to(tmp_path).as_posix() for path in paths.files_below(tmp_path)]
    assert names == ["top.txt", "a/1.jpg", "b/2.jpg"]
    scandir = os.scandir

    def refuses(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    names = [path.relative_to(tmp_path).as_posix() for path in paths.files_below(tmp_path)]
    assert names == ["top.txt", "a/1.jpg", "b"]


@pytest.mark.parametrize("name", ["gdino-sam", "a_b.2"])
def test_a_plain_name_may_be_a_folder(name):
    assert paths.part_of_a_name(name, "method") == name


@pytest.mark.parametrize("name", ["../photos", "a/b", "", ".", "..", "-x", "a\\b", "x" * 65, "a\nb"])
def test_a_name_with_a_path_in_it_may_not(name):
    with pytest.raises(UserError, match="method"):
        paths.part_of_a_name(name, "method")


# --- frames
cells = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_any_text_comes_back_as_it_was(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("frames") / "t.csv"
    frame = pd.DataFrame(rows, columns=["photo_id", "reason"])
    frames.write_frame(frame, path)
    assert frames.read_frame(path).to_numpy().tolist() == frame.to_numpy().tolist()


def test_no_cell_is_a_formula(tmp_path):
    path = tmp_path / "t.csv"
    frames.write_frame(pd.DataFrame({"species": ["=cmd|' /C calc'!A1", "trout"], "n": [-1.5, 2]}), path)
    assert path.read_text() == "species,n\n'=cmd|' /C calc'!A1,-1.5\ntrout,2\n"
    assert frames.read_table(path, ["species", "n"])["species"].tolist() == ["=cmd|' /C calc'!A1", "trout"]


TABLE = [["a/1.jpg", "no", "two fish"], ["b/2.jpg", "yes", ""]]


@pytest.mark.parametrize(
    "text",
    [
        "photo_id,one,note\na/1.jpg,no,two fish\nb/2.jpg,yes,\n",
        "\ufeffphoto_id,one,note\r\na/1.jpg,no,two fish\r\nb/2.jpg,yes,\r\n",
        "photo_id;one;note\na/1.jpg;no;two fish\nb/2.jpg;yes;\n",
        "One\tNOTE\tPhoto_ID\nno\ttwo fish\ta/1.jpg\n\nyes\t\tb/2.jpg\n",
        "photo_id,one,note\na/1.jpg,no,two fish,\nb/2.jpg,yes,,\n",  # a comma too many
        "photo_id,one,note,\na/1.jpg,no,two fish,\nb/2.jpg,yes,,\n",
        'photo_id,one,note\n"a/1.jpg","no","two fish"\nb/2.jpg,yes\n',
    ],
)
def test_tables_of_people_are_read_by_their_names(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert frames.read_table(path, ["photo_id", "one"], ["note"]).to_numpy().tolist() == TABLE


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"photo_id\na\n", "no column 'one'"),
        (b"photo_id,one,colour\na,no,red\n", "unknown column"),
        (b"photo_id,one,one\na,no,no\n", "more than once"),
        (b"photo_id,one\na,no,because,of\n", "row 2"),
        (b"\xff\xfep\0h\0", "UTF-8"),
        (b"photo_id,one\n\0\0", "no table"),
    ],
)
def test_a_table_that_cannot_be_meant_is_named(tmp_path, data, said):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(UserError, match=said) as caught:
        frames.read_table(path, ["photo_id", "one"])
    assert str(path) in str(caught.value)


# --- documents
@pytest.mark.parametrize("text", ["[" * 3000, "{", "NaN", '{"a": Infinity}', "9" * 5000, "\xff", "[" * 80 + "]" * 80])
def test_broken_json_is_a_sentence(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"x\.json"):
        documents.read_json(path)


def test_json_is_bounded_and_an_object_where_one_is_needed(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[1]")
    assert documents.read_json(path) == [1]
    with pytest.raises(UserError, match="object"):
        documents.read_object(path)
    with pytest.raises(UserError, match="2 are not read"):
        documents.read_json(path, max_bytes=2)
    with pytest.raises(UserError, match="missing"):
        documents.read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x",
        "a: &x 1",
        "a: !!python/object:os.system {}",
        "a: !!int x",
        "a: .nan",
        "a: .inf",
        "a: 1\na: 2",
        "? [1]\n: 2",
        "a: " + "[" * 3000,
        "a: " + "[" * 80 + "]" * 80,
        "seed: " + "9" * 5000,
        "- 1",
        "just text",
        "a: [",
        "",
    ],
)
def test_a_yaml_file_that_is_no_plain_mapping_is_a_sentence(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"p\.yaml"):
        documents.read_yaml(path)


def test_plain_yaml_is_read_and_a_date_stays_text(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("name: mine\nseed: 3\nrate: 0.5\nday: 2001-99-99\nlist: [1, two]\nnone: null\non: true\n1: one\n")
    expected = {"name": "mine", "seed": 3, "rate": 0.5, "day": "2001-99-99", "list": [1, "two"], "none": None}
    assert documents.read_yaml(path) == expected | {"on": True, "1": "one"}


# --- writing and journal
def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.txt"
    writing.write_text(path, "first", keep=True)
    with pytest.raises(RuntimeError), writing.atomic(path) as temporary:
        temporary.write_text("second")
        raise RuntimeError
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_a_journal_keeps_rows_through_a_half_written_line(tmp_path):
    kept = journal.Journal(tmp_path / "j.jsonl")
    kept.append({"path": "a\u2028b\r\n.jpg", "score": float("nan")})
    with kept.path.open("ab") as file:
        file.write(b'{"path": "half')
    kept.append({"path": "c"})
    assert kept.rows() == [{"path": "a\u2028b\r\n.jpg", "score": ""}, {"path": "c"}]
    kept.clear()
    assert kept.rows() == []


def test_a_journal_is_never_written_through_a_link(tmp_path):
    (tmp_path / "other").write_text("mine")
    (tmp_path / "j").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="link"):
        journal.Journal(tmp_path / "j").append({"a": 1})
    assert (tmp_path / "other").read_text() == "mine"


# --- locks
HOLD = """
import sys, time
from fishlib.files import locks
with locks.held(sys.argv[1], "the first"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_writer_is_told_who_holds_the_folder_and_takes_over_from_the_dead(tmp_path, other_holder):
    with (
        pytest.raises(locks.InUse, match=rf"the first \(process {other_holder.pid} on .*, since 20"),
        locks.held(tmp_path, "b"),
    ):
        pass
    other_holder.kill()
    other_holder.wait()
    with locks.held(tmp_path, "the second"):
        assert "the second" in locks.holder(tmp_path)
    assert not (tmp_path / locks.HOLDER).exists()


def test_what_a_killed_writer_left_is_swept_by_the_next_holder_and_nothing_else(tmp_path, other_holder, monkeypatch):
    monkeypatch.setattr(writing, "SETTLED", 3600.0)
    (tmp_path / "below").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "below" / "link").symlink_to(tmp_path / "elsewhere")
    left = [tmp_path / ".tmp-abcd_123-0f1e2d3c.png", tmp_path / "below" / ".tmp-00000000-00000000"]
    stays = [tmp_path / name for name in (".tmp-mine.png", "tmp-abcd_123.png", "below/a.png", "elsewhere/a.csv")]
    for file in (*left, *stays):
        file.write_text("x")
        os.utime(file, (0, 0))
    day_ahead = time.time() + 86400  # the clock was set back meanwhile
    os.utime(left[0], (day_ahead, day_ahead))
    fresh = tmp_path / ".tmp-abcd_456-0f1e2d3c.csv"  # a reviewer's answer, say, on its way into a table
    fresh.write_text("x")

    other_holder.kill()
    other_holder.wait()
    with locks.held(tmp_path, "the next"):
        assert not any(file.exists() for file in left) and all(file.exists() for file in (*stays, fresh))
    left[0].write_text("x")
    os.utime(left[0], (0, 0))
    with locks.held(tmp_path, "again"):
        assert left[0].exists()  # nobody was killed: nothing is looked for


def test_what_a_killed_writer_of_one_file_left_is_swept_and_other_files_stay(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from fishlib.files import writing\n"
        "with writing.atomic(Path(sys.argv[1])) as temporary: os._exit(9)"
    )
    for name in ("mine.pt", "other.pt"):
        subprocess.run([sys.executable, "-c", code, tmp_path / name], check=False)
    assert len(list(tmp_path.iterdir())) == 2

    writing.sweep_beside(tmp_path / "mine.pt", tmp_path / "nowhere" / "a.pt")
    [left] = tmp_path.iterdir()
    writing.sweep_beside(tmp_path / "other.pt")
    assert not left.exists()


def test_waiting_ends_when_the_holder_does(tmp_path, other_holder):
    other_holder.terminate()
    with locks.held(tmp_path, "the second", wait=20):
        pass


def test_what_a_holder_starts_may_write_too(tmp_path):
    code = "import sys; from fishlib.files import locks\nwith locks.held(sys.argv[1], 'child'): print('in')"
    command = [sys.executable, "-c", code, tmp_path]
    with locks.held(tmp_path, "parent"), locks.held(tmp_path, "again"):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "in\n"
        environment = {k: v for k, v in os.environ.items() if k != locks.HELD}
        stranger = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert stranger.returncode and "parent" in stranger.stderr
    assert locks.HELD not in os.environ


def test_one_file_of_a_folder_can_be_held(tmp_path, other_holder):
    with locks.held(tmp_path, "b", file="b.safetensors"):
        assert locks.holder(tmp_path, "b.safetensors").startswith("b (process")
        with locks.held(tmp_path, "b again", file="b.safetensors"):
            pass
    assert not list(tmp_path.glob("*b.safetensors*holder*"))


def test_a_disk_that_fills_while_a_file_is_written_is_a_sentence_and_leaves_what_was_there(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    said = r"a\.txt cannot be written \(No space left.*make room"
    with pytest.raises(UserError, match=said), writing.atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "before"


def test_a_damaged_note_of_the_holder_stops_nobody(tmp_path):
    (tmp_path / locks.HOLDER).write_text(json.dumps(["x"]))
    assert locks.holder(tmp_path) == "another process"
    with locks.held(tmp_path, "me"):
        pass


def test_one_file_is_held_for_a_moment(tmp_path):
    path = tmp_path / "answers.csv"
    with locks.briefly(path), pytest.raises(locks.InUse, match=r"answers\.csv"), locks.briefly(path, wait=0.05):
        pass
    with locks.briefly(path):
        pass
    (tmp_path / ".other.csv.lock").symlink_to(path)
    with pytest.raises(UserError, match="link"), locks.briefly(tmp_path / "other.csv"):
        pass


def test_a_table_is_rewritten_as_it_is_now_or_not_at_all(tmp_path):
    path = tmp_path / "t.csv"
    frames.rewrite(path, lambda: pd.DataFrame({"a": ["1"]}))
    frames.rewrite(path, lambda: pd.concat([frames.read_frame(path), pd.DataFrame({"a": ["2"]})]))
    with pytest.raises(UserError):
        frames.rewrite(path, lambda: frames.read_table(path, ["b"]))
    assert frames.read_frame(path)["a"].tolist() == ["1", "2"]


def test_frames_have_one_byte_form(tmp_path):
    frame = pd.DataFrame({"x": [0.1 + 0.2, float("nan"), np.float32(1 / 3)], "名": ["a\nb", "", 'q"']})
    frames.write_frame(frame, tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_bytes().decode() == 'x,名\n0.3,"a\nb"\n,\n0.333333343,"q"""\n'
    assert [p.name for p in tmp_path.iterdir()] == ["f.csv"]


def test_nan_in_json_is_refused_or_text(tmp_path):
    (tmp_path / "a.json").write_text('{"x": [NaN, -Infinity]}')
    with pytest.raises(UserError, match="NaN"):
        documents.read_object(tmp_path / "a.json")
    assert documents.read_object(tmp_path / "a.json", constants=True) == {"x": ["NaN", "-Infinity"]}
