"""What is shared names nobody: no path, user or host of this machine is left in a text."""

import dataclasses
from pathlib import Path

import pytest

from fishlib import sharing
from fishlib.opening import open_study


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A run on given photos, in a home folder of its own; anna works on lab-7.example.org."""
    home = tmp_path / "people" / "anna"
    (home / "my photos & fish" / "trout").mkdir(parents=True)
    monkeypatch.setattr(sharing.Path, "home", lambda: home)
    people = [("anna", "USER"), ("lab-7.example.org", "HOST"), ("lab-7", "HOST")]
    monkeypatch.setattr(sharing, "_people", lambda: people)
    return open_study(out=str(home / "runs" / "mine"), photos=str(home / "my photos & fish"), method="grabcut")


def test_folders_of_a_run_become_words(study):
    text = f"{study.out}/report, {study.photos}/trout/1.jpg; {Path.home()}/.venv/lib"
    assert sharing.anonymous(text, study) == "RUN/report, PHOTOS/trout/1.jpg; ~/.venv/lib"


@pytest.mark.parametrize(
    "spelling", [lambda p: p.replace(" ", "%20").replace("&", "%26"), lambda p: p.replace("&", "&amp;")]
)
def test_a_path_is_known_however_it_is_spelled(study, spelling):
    assert sharing.anonymous(f"file://{spelling(str(study.photos))}/1.jpg", study) == "file://PHOTOS/1.jpg"


def test_a_path_of_windows_is_known_in_a_repr_too(study):
    own = dataclasses.replace(study, classifier=r"D:\models\mine.safetensors")
    said = r"classifier = 'D:\\models\\mine.safetensors' at D:\models\mine.safetensors in C:\Users\Bob\x"
    assert sharing.anonymous(said, own) == r"classifier = 'mine.safetensors' at mine.safetensors in ~\x"


def test_homes_of_others_and_files_of_the_profile_go_too(study):
    segmenters = {"detic": {"masks": "/data/other/masks"}}
    own = dataclasses.replace(study, profile=study.profile.model_copy(update={"segmenters": segmenters}))
    said = "/data/other/masks, /home/bob/x.py, /Users/carol and /srv/p/fast.yaml"
    assert sharing.anonymous(said, own, ["/srv/p/fast.yaml"]) == "masks, ~/x.py, ~ and fast.yaml"


def test_only_whole_paths_and_names_are_taken(study):
    own = dataclasses.replace(study, photos=Path("/data/fish"))
    text = "/data/fish2 and /mnt/data/fish, anna's savanna; anna@lab-7, /x/anna/y, process 3 on lab-7: /data/fish."
    expected = "/data/fish2 and /mnt/data/fish, anna's savanna; USER@HOST, /x/USER/y, process 3 on HOST: PHOTOS."
    assert sharing.anonymous(text, own) == expected


def test_a_second_time_changes_nothing(study):
    once = sharing.anonymous(f"out = '{study.out}' {study.photos} /home/x/y anna@lab-7", study)
    assert sharing.anonymous(once, study) == once


def test_values_are_changed_but_for_pictures(study):
    cell = {
        "source": [f"photos = '{study.photos}'"],
        "data": {"image/png": f"{study.out}", "text/plain": f"{study.out}"},
    }
    told = sharing.anonymous_values({"cells": [cell], "n": 1, "none": None}, study)
    data = {"image/png": f"{study.out}", "text/plain": "RUN"}
    assert told == {"cells": [{"source": ["photos = 'PHOTOS'"], "data": data}], "n": 1, "none": None}


@pytest.mark.parametrize(
    ("path", "name"), [("/a/b c", "b c"), (r"C:\x\y.pth", "y.pth"), ("zoo", "zoo"), ("/", "/"), ("a/", "a")]
)
def test_the_name_of_a_path_on_any_system(path, name):
    assert sharing.name_of(path) == name


def test_what_is_absolute_on_any_system():
    assert sharing.is_absolute("/a") and sharing.is_absolute("C:/a") and sharing.is_absolute(r"\\host\share\a")
    assert not sharing.is_absolute("a/b") and not sharing.is_absolute("vit_b")
