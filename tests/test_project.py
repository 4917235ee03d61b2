"""What holds the project's own files together: pins, notebooks, sizes, names."""

import itertools
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NAMED = {  # the ten packages the study is built on
    "jupyterlab", "torch", "timm", "segment-anything", "groundingdino-py",
    "opencv-python", "matplotlib", "seaborn", "ipywidgets", "papermill",
}  # fmt: skip
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def pinned() -> dict[str, list[Requirement]]:
    lines = [s for s in (ROOT / "requirements.lock").read_text().splitlines() if s and not s.startswith("#")]
    found = {}
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^ ;]+( ; .+)?", line), line  # name==version, markers, no address
        found.setdefault(canonicalize_name(Requirement(line).name), []).append(Requirement(line))
    return found


def test_every_dependency_is_pinned_inside_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    pins = pinned()
    for text in wanted:
        requirement = Requirement(text)
        for pin in pins[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(next(iter(pin.specifier)).version), text
    assert {canonicalize_name(Requirement(t).name) for t in project["dependencies"]} >= NAMED


def test_what_is_installed_is_what_is_pinned():
    for name in NAMED:
        pins = [p for p in pinned()[name] if p.marker is None or p.marker.evaluate()]
        assert version(name) in {next(iter(p.specifier)).version for p in pins}
    assert requires("fishlib")


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    [pip] = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert pip == ["-r requirements.lock", "-e ."]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_thin_and_stored_without_outputs(path):
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    source = "".join("".join(c["source"]) + "\n" for c in cells)
    assert all(not c["outputs"] and c["execution_count"] is None for c in cells)
    assert sum("parameters" in c["metadata"].get("tags", []) for c in cells) == 1
    assert len([line for line in source.splitlines() if line.strip()]) <= 60
    assert not re.search(r"^\s*(def|class) ", source, re.M)


def test_all_notebooks_are_there():
    names = ["01_data_curation", "02_background_removal", "03_inference_only", "04_transfer_learning"]
    names += ["05_beyond_the_paper"]
    assert [p.stem for p in NOTEBOOKS] == names


def test_help_needs_no_heavy_import():
    code = "import sys, fishlib.cli; print([m for m in ('torch', 'pandas', 'cv2', 'numpy') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_data_flows_one_way():
    """Stages import neither the command line nor the notebooks' runner."""
    for path in (ROOT / "fishlib").rglob("*.py"):
        if path.stem in ("cli", "run"):
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^(from fishlib import .*\b(cli|run)\b|import fishlib\.(cli|run)\b)", text, re.M), path
