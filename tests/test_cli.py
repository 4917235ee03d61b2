import sys
from importlib.metadata import version

import cv2
import numpy as np
import pytest

from fishlib import cli, run


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["fishlib", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


def test_a_users_mistake_is_one_sentence_and_code_2(monkeypatch, capsys, tmp_path):
    assert call(monkeypatch, "reproduce", "--photos", tmp_path / "none", "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert said.startswith("fishlib: ") and said.count("\n") == 1 and "Traceback" not in said


def test_an_input_that_a_notebook_would_not_use_is_checked_all_the_same(monkeypatch, capsys, tmp_path):
    """Notebook 01 cuts nothing out, yet a method that does not exist is no input of its run."""
    assert call(monkeypatch, "reproduce", "--only", "01", "--method", "grabcutt", "--out", tmp_path / "run") == 2
    said = capsys.readouterr()
    assert "did you mean grabcut?" in said.err and said.err.count("\n") == 1
    assert "The report" not in said.out and not (tmp_path / "run").exists()


def test_paths_of_the_user_become_absolute(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(run, "reproduce", lambda **given: seen.update(given) or tmp_path)
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "reproduce", "--photos", "photos", "--out", "run", "--only", "02") == 0
    assert seen["photos"] == str(tmp_path / "photos") and seen["out"] == str(tmp_path / "run")
    assert seen["profile"] == "demo" and seen["only"] == "02" and seen["masks"] is None


def test_stopping_by_hand_says_how_to_go_on(monkeypatch, capsys):
    def stop(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "reproduce", stop)
    assert call(monkeypatch, "reproduce") == 130
    assert capsys.readouterr().err == "fishlib: stopped; the same command goes on where this one ended.\n"

    def stop_in_a_stage(**_):
        raise KeyboardInterrupt("02, gdino-sam: 85 of 214 photos; what is done is kept")

    monkeypatch.setattr(run, "reproduce", stop_in_a_stage)
    assert call(monkeypatch, "reproduce") == 130
    said = capsys.readouterr().err
    assert "85 of 214 photos; what is done is kept; the same command goes on" in said


def test_report_of_no_run_says_so(monkeypatch, capsys, tmp_path):
    assert call(monkeypatch, "report", tmp_path) == 2
    assert "holds no run.json" in capsys.readouterr().err


def test_doctor_names_versions_device_and_every_missing_checkpoint(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    assert call(monkeypatch, "doctor") == 0
    said = capsys.readouterr().out
    assert "torch " in said and "device: " in said
    assert "profile demo: every checkpoint is here" in said
    [paper] = [line for line in said.splitlines() if line.startswith("profile paper: missing ")]
    assert all(name in paper for name in ("groundingdino_swint_ogc", "bert", "sam_vit_h", "clip", "swin_t"))


def test_version_is_the_packages_own(monkeypatch, capsys):
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"fishlib {version('fishlib')}\n"


def test_cut_takes_a_method_of_a_file_in_the_current_folder(monkeypatch, capsys, tmp_path):
    (tmp_path / "tenfold.py").write_text("def bright(photo):\n    return photo[..., 0] > 128\n")
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[5:20, 5:30] = 255
    (tmp_path / "1.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    assert call(monkeypatch, "cut", "1.png", "--out", "cut", "--method", "tenfold:bright") == 0
    assert "1 ok" in capsys.readouterr().out and (tmp_path / "cut" / "masks" / "1.png").is_file()
    assert call(monkeypatch, "cut", "1.png", "--out", "cut2", "--method", "tenfold:dark") == 2
    assert "no function 'dark'" in capsys.readouterr().err
