"""How far a stage is: what a bar says, in a log and to who waits in another process."""

import os
import subprocess
import sys
import time

import pytest

from fishlib.files import progress

BAR = "from fishlib.files.progress import Bar; [None for _ in Bar(range(3), 'cutting', mininterval=0)]"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (89, "89 s"), (95, "2 min"), (3600, "60 min"), (5500, "1 h 32 min")]
)
def test_time_as_people_say_it(seconds, said):
    assert progress.time_left(seconds) == said


def test_a_state_in_words():
    told = {"desc": "gdino-sam", "n": 85, "total": 214, "unit": "photo", "left": 120.0}
    assert progress.said(told) == "gdino-sam: 85 of 214 photos, about 2 min left"
    assert progress.said(told | {"n": 214, "left": 0.0}) == "gdino-sam: 214 of 214 photos"
    assert progress.said(told | {"total": None, "left": None}) == "gdino-sam: 85 photos"


def test_a_bar_in_another_process_is_seen_here():
    seen = []
    with progress.watched(seen.append) as last:
        assert last() == ""
        subprocess.run([sys.executable, "-c", BAR], check=True, capture_output=True)
        assert last() == "cutting: 3 of 3 photos"
        deadline = time.monotonic() + 20
        while not seen and time.monotonic() < deadline:
            time.sleep(0.05)
    assert seen == ["cutting: 3 of 3 photos"]
    assert progress.VARIABLE not in os.environ


def test_a_log_gets_no_bar_and_a_short_stage_no_line():
    said = subprocess.run([sys.executable, "-c", BAR], check=True, capture_output=True, text=True)
    assert said.stderr == "" and said.stdout == ""


def test_a_log_gets_a_line_a_minute(monkeypatch, capsys):
    monkeypatch.setattr(progress, "MINUTE", 0.0)
    monkeypatch.setattr(progress, "_in_notebook", lambda: False)
    for _ in progress.Bar(range(2), "cutting"):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("cutting: 1 of 2 photos, about ") and lines[1] == "cutting: 2 of 2 photos"
