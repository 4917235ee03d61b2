"""An installed wheel does what a checkout does: built, installed into a folder of its own, and run there."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fishlib import opening, run

ROOT = Path(__file__).parents[1]
PARTS = ("fishlib", "notebooks", "pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder with the wheel's content, outside the checkout; the packages it needs are the test's own."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    source.mkdir()
    for name in PARTS:  # a copy: a build leaves folders beside the sources
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            )
        else:
            shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheels = base / "wheels"
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = wheels.glob("*.whl")
    site = base / "site"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True)
    return site, wheel


def call(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_every_notebook_and_every_file_of_the_package(installed):
    names = set(zipfile.ZipFile(installed[1]).namelist())
    assert {f"fishlib/notebooks/{path.name}" for path in run.notebooks()} <= names
    package = [path for path in (ROOT / "fishlib").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in package} <= names


def test_notebook_01_of_the_demo_runs_from_the_wheel(installed, tmp_path):
    site, _ = installed
    where = call(site, tmp_path, "-c", "import fishlib; print(fishlib.__file__, fishlib.__version__)")
    assert where.stdout.startswith(str(site)), where.stderr
    profile = tmp_path / "few.yaml"
    profile.write_text("based_on: demo\nname: few\ndrawn: {photos: 17, min_per_species: 1}\n", encoding="utf-8")
    words = ["reproduce", "--only", "01", "--profile", "few.yaml", "--offline", "--device", "cpu", "--out", "runs/few"]
    done = call(site, tmp_path, "-m", "fishlib.cli", *words)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "few"
    assert (out / "report" / "index.html").is_file() and (out / "notebooks" / "01_data_curation.ipynb").is_file()
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["drawn"]


def test_without_a_checkout_runs_lie_in_the_current_folder(monkeypatch, tmp_path):
    assert opening.home() == ROOT
    monkeypatch.setattr(opening, "IS_CHECKOUT", False)
    monkeypatch.chdir(tmp_path)
    assert opening.home() == tmp_path
