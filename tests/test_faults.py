"""The faults on purpose must themselves be able to fail: each is tried on a program that loses something."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults import harness, readers, strangers, worker
from fishlib.errors import UserError

CARELESS = """
import sys, time
from pathlib import Path
out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
for n in range(3):
    file = out / f"{n}.txt"
    if not file.exists():
        file.write_text("whole " * (n + 1))
print("clock", time.time())
"""


@pytest.fixture
def careless(tmp_path):
    """A program that takes a file for whole because it is there."""
    file = tmp_path / "careless.py"
    file.write_text(CARELESS)
    return [sys.executable, str(file), str(tmp_path / "out")]


def test_a_kill_in_the_middle_of_a_file_is_seen_as_a_loss(careless, tmp_path):
    out = tmp_path / "out"
    assert harness.run(careless, out).code == 0
    wanted = harness.contents(out)
    assert sorted(wanted) == ["0.txt", "1.txt", "2.txt"]

    harness.clear(out)
    killed = harness.run(careless, out, "kill", 3)  # the folder, 0.txt, then 1.txt
    assert killed.code == -9 and killed.writes == 3
    (out / "1.txt").write_text("who")  # what a power cut leaves of it
    assert harness.run(careless, out).code == 0
    assert harness.differences(harness.contents(out), wanted) == "other 1.txt"


def test_a_full_disk_is_full_from_that_write_on_and_a_traceback_is_not_clean(careless, tmp_path):
    ended = harness.run(careless, tmp_path / "out", "ENOSPC", 3)
    assert ended.code == 1 and not ended.clean
    assert "No space left on device" in ended.said


def test_the_clock_can_be_set_back(careless, tmp_path):
    told = [float(harness.run(careless, tmp_path / "out", clock=c).said.split()[-1]) for c in (0.0, -86400.0)]
    assert -90000 < told[1] - told[0] < -80000


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path):
    words = [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"]
    ended = harness.run(words, tmp_path / "out", limit=3)
    assert ended.code is None and not ended.clean


def test_a_reader_answers_or_refuses_in_a_sentence_and_nothing_else():
    def refuse(_):
        raise UserError("own.csv is no table.")

    def mute(_):
        raise UserError("")

    assert worker.wrong(len, "abc") == ("", False)
    assert worker.wrong(refuse, "abc") == ("", True)
    assert "without a word" in worker.wrong(mute, "abc")[0]
    assert "TypeError" in worker.wrong(len, 3)[0]


def test_what_is_written_outside_is_seen(tmp_path):
    code = (
        "import sys, pathlib; from faults import worker; place, elsewhere = map(pathlib.Path, sys.argv[1:])\n"
        "outside = []\n"
        "sys.addaudithook(worker.watch(place / 'inputs', outside))\n"
        "(place / 'a').write_text('a'); assert not outside, outside\n"
        "(elsewhere / 'b').write_text('b'); assert len(outside) == 1, outside\n"
        "(place / 'c').symlink_to(elsewhere); assert len(outside) == 1, outside\n"
        "(place / 'a').rename(elsewhere / 'd'); assert len(outside) == 2, outside\n"
    )
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    subprocess.run([sys.executable, "-c", code, place, elsewhere], check=True)


@given(strangers.spoiled_values(strangers.coco()).map(strangers.as_json))
def test_spoiled_documents_are_bytes_and_seldom_the_good_one(data):
    assert isinstance(data, bytes) and data


@pytest.mark.parametrize("name", sorted(readers.READERS))
def test_every_reader_takes_a_good_file_and_the_long_form_tries_enough(name):
    assert readers.READERS[name].long >= 10 * readers.READERS[name].short >= 40
    assert isinstance(readers.READERS[name].inputs(), st.SearchStrategy)


def test_the_long_form_tries_five_thousand_inputs():
    assert sum(reader.long for reader in readers.READERS.values()) >= 5000
