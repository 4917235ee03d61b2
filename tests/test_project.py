"""What holds the project's own files together: pins, notebooks, sizes, names."""

import ast
import io
import itertools
import json
import re
import subprocess
import sys
import tokenize
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


def test_all_four_notebooks_are_there():
    names = ["01_data_curation", "02_background_removal", "03_inference_only", "04_transfer_learning"]
    assert [p.stem for p in NOTEBOOKS] == names


def code_lines(path: Path) -> int:
    """Lines that hold code: blank lines, comments and docstrings are not what makes a package thick."""
    source = path.read_text(encoding="utf-8")
    held = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [n.body for n in ast.walk(ast.parse(source)) if isinstance(n, held) and n.body]
    first = [b[0] for b in bodies if isinstance(b[0], ast.Expr) and isinstance(b[0].value, ast.Constant)]
    docs = {line for node in first for line in range(node.lineno, node.end_lineno + 1)}
    silent = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    held_by_code = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            held_by_code.update(range(token.start[0], token.end[0] + 1))
    return len(held_by_code - docs)


def test_the_package_stays_thin():
    package = ROOT / "fishlib"
    # the rivals of GDINO-SAM are many and none needs another: they count apart from the study itself
    # and so do the report, which only shows what the stages left, and the widgets: clicks and their order take many
    # short lines, and no stage imports them
    parts = {"phantom": 1000, "zoo": 1000, "segmenters": 1000, "report": 250, "widgets": 700, "": 3000}
    lines = dict.fromkeys(parts, 0)
    for path in package.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path
        lines[path.parent.name if path.parent.name in parts else ""] += code_lines(path)
    assert all(lines[part] <= most for part, most in parts.items()), lines


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
