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
    assert "Traceback" not in capsys.readouterr().err


def test_report_of_no_run_says_so(monkeypatch, capsys, tmp_path):
    assert call(monkeypatch, "report", tmp_path) == 2
    assert "holds no run.json" in capsys.readouterr().err


def test_doctor_names_versions_and_device(monkeypatch, capsys):
    assert call(monkeypatch, "doctor") == 0
    said = capsys.readouterr().out
    assert "torch " in said and "device: " in said
