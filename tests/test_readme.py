"""What the README and the pages of docs/ show works as pasted, and what they point to is there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.main import get_command

from fishlib import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", "\n".join(TEXTS.values()), re.S | re.M)
SCRIPT, METHOD = [block for language, block in BLOCKS if language == "python"]
LINES = [line for language, block in BLOCKS if not language for line in block.splitlines()]
COMMANDS = list(dict.fromkeys(line for line in LINES if line.startswith("fishlib ")))


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)


def test_the_five_lines_of_a_script_run_outside_the_repository(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    done = run(tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    assert "iou" in done.stdout and "Thunnus" in done.stdout


def test_the_threshold_method_cuts_from_outside_the_package(tmp_path):
    assert len(METHOD.strip().splitlines()) <= 20
    (tmp_path / "threshold.py").write_text(METHOD, encoding="utf-8")
    photo = np.full((120, 200, 3), 60, np.uint8)
    fish = cv2.ellipse(np.zeros((120, 200), np.uint8), (100, 60), (60, 20), 0, 0, 360, 255, -1) > 0
    photo[fish] = (200, 180, 90)
    (tmp_path / "DIR").mkdir()
    (tmp_path / "DIR" / "1.png").write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    [line] = [command for command in COMMANDS if "cut" in command and "threshold:fish" in command]
    done = run(tmp_path, "-m", "fishlib.cli", *shlex.split(line)[1:], "--device", "cpu", "--offline")
    assert done.returncode == 0, done.stderr
    mask = cv2.imread(str(tmp_path / "cutouts" / "masks" / "1.png"), cv2.IMREAD_GRAYSCALE) > 0
    assert (mask & fish).sum() / (mask | fish).sum() > 0.8


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_there_is(line):
    words = shlex.split(line.replace("\\", "/").replace("[", "").replace("]", ""), comments=True)[1:]
    command = get_command(cli.app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    options = {text for parameter in command.params for text in parameter.opts}
    assert not {word for word in words if word.startswith("--")} - options


def test_both_ways_of_setting_up_without_make_are_there():
    said = "\n".join(LINES)
    assert ". .venv/bin/activate && pip install ." in said and r".venv\Scripts\activate && pip install ." in said


def test_the_readme_is_short_and_names_what_is_there():
    text = TEXTS[ROOT / "README.md"]
    assert len(text.splitlines()) < 150
    named = re.findall(r"`((?:fishlib|notebooks)/[\w/.*]+)`", text)
    assert len(named) > 15
    assert [path for path in named if not any(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there_and_pictures_are_described(page):
    links = re.findall(r"(!?)\[([^\]]*)\]\(([^)]+)\)", TEXTS[page])
    assert [target for _, _, target in links if not (page.parent / target).is_file()] == []
    assert [target for picture, words, target in links if picture and len(words) < 20] == []
