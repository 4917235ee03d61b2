"""The rooms of the package: data goes one way through them, and a cache key knows all the code it rests on."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fishlib
from fishlib import cache

PACKAGE = Path(fishlib.__file__).parent
# lowest first: a module imports from its own room and from those before it
ROOMS = ["errors", "files", "cache", "device", "profiles", "study"]  # what merely is the run
ROOMS += ["sharing", "made_with", "weights"]
ROOMS += ["photos", "scores", "phantom", "zoo", "removal", "naming", "training", "beyond"]  # the stages
ROOMS += ["opening", "show"]  # a widget opens a run by its folder's name
ROOMS += ["doctor", "warm", "run", "cli"]  # what runs all of it


def modules() -> dict[str, Path]:
    """Dotted name below fishlib -> source file."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = file
    return found


def imported(file: Path) -> set[str]:
    """Dotted names below fishlib that a source file imports, also inside its functions."""
    known, names = modules(), set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: imports are absolute, so that this test can read them"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    short = {name.removeprefix("fishlib.") for name in names if name.startswith("fishlib.")}
    return {name for name in short if name in known}


def floor(module: str) -> int:
    return ROOMS.index(module.split(".")[0])


def test_every_module_has_a_room_and_the_root_stays_small():
    rooms = {name.split(".")[0] for name in modules() if name}
    assert rooms <= set(ROOMS)
    at_the_root = {file.stem for file in PACKAGE.glob("*.py")} - {"__init__"}
    assert len(at_the_root) <= 12


@pytest.mark.parametrize("module", [name for name in modules() if name])
def test_arrows_go_down_only(module):
    upwards = {name for name in imported(modules()[module]) if floor(name) > floor(module)}
    assert not upwards, f"fishlib.{module} imports {sorted(upwards)}, which lie above it"


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_every_room_says_what_comes_in_and_what_goes_out(room):
    source = (PACKAGE / room / "__init__.py").read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source))


OPENS = re.compile(
    r"pd\.read_\w+|json\.loads?|yaml\.\w*load|torch\.load|Image\.open|cv2\.imread|np\.(?:load|fromfile)|pickle\.\w+"
    r"|safe_open|load_file|nbformat\.read|zipfile\.ZipFile|(?<![\w.])open\("
)
# who opens such files outside the room files/, and why that may be
OPENERS = {
    "photos.decode": "the gate of pictures",
    "show.views": "its own thumbnails, and cells of a table that files/ read",
    "show.widgets.detail": "cells of a table that files/ read",
    "show.report": "figures as PNG alone, sizes held first",
    "show.report.notebook_pages": "notebooks of a run, bytes held first, cleaned afterwards",
    "naming.checkpoints": "text that files/tensors read",
    "naming.pretrain": "its own state to go on from, read by files/tensors",
    "removal.segmenting": "artifacts that the cache read",
    "removal.first_contact": "artifacts that the cache read",
    "cache": "arrays of the cache, without pickle",
    "photos.gather.client": "answers of a service, bytes held first",
    "run": "the package's notebooks as they are executed",
    "warm": "the package's notebooks",
    "weights": "the package's list",
    "zoo.settings": "the package's list",
    "scores.published": "the paper's tables",
    "training.data": "what the trainer drew itself",
    "training.evaluate": "the zoo's own files",
    "training.train": "the zoo's own files",
}


def test_files_of_strangers_are_opened_in_few_places():
    opening = set()
    for module, file in modules().items():
        code = ast.unparse(ast.parse(file.read_text(encoding="utf-8")))  # without comments
        if OPENS.search(code) and not module.startswith("files"):
            opening.add(module)
    assert opening - set(OPENERS) == set(), "open it through fishlib.files, or say here why not"
    assert set(OPENERS) - opening == set(), "no longer opens anything; take it off the list"


STAGES = {  # a stage -> some of what its result rests on, by way of other modules or inside functions
    "removal.segmenters.gdino_sam": {"removal.segmenters.gdino_fast", "removal.segmenters.adjust", "photos.masks"},
    "removal.segmenters.sam_clip": {"removal.segmenters.sam", "removal.segmenters.common"},
    "naming.features": {"naming.classifier", "naming.checkpoints", "photos.composite", "photos.decode"},
    "naming.transfer": {"naming.classifier"},
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_cache_key_covers_all_code_a_stage_imports(stage):
    covered = {name.removeprefix("fishlib.") for name in cache.code_closure(f"fishlib.{stage}")}
    assert covered >= STAGES[stage]
    for name in covered:
        left_out = imported(modules()[name]) - covered
        bystanders = {other for other in left_out if f"fishlib.{other}".startswith(cache.BYSTANDERS)}
        assert left_out == bystanders, f"{name} imports {left_out - bystanders}"
    assert not {name for name in covered if name.startswith("show")}


def test_a_helper_split_off_a_stage_changes_its_key_and_a_bystander_does_not(tmp_path):
    def version() -> str:
        code = "from fishlib import cache; print(cache.code_version('fishlib.naming.features'))"
        environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    copy = tmp_path / "fishlib"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("*.safetensors", "*.onnx", "__pycache__"))
    first = version()
    with (copy / "errors.py").open("a") as bystander:
        bystander.write("\n# another sentence\n")
    assert version() == first
    composite = copy / "photos" / "composite.py"
    composite.write_text(composite.read_text() + "\nfrom fishlib.photos import halves as _halves  # noqa\n")
    (copy / "photos" / "halves.py").write_text("SIDE = 1\n")
    second = version()
    assert second != first
    (copy / "photos" / "halves.py").write_text("SIDE = 2\n")
    assert version() not in (first, second)


def test_no_stage_hides_code_from_its_key_behind_a_name_in_a_string():
    """import_module is read by no key: only the registry of segmenters, whose files have keys of their own, uses it,
    and the user's own methods, whose key holds their source."""
    users = {name for name, file in modules().items() if "import_module(" in file.read_text(encoding="utf-8")}
    assert users <= {"removal.segmenters", "removal.segmenters.own", "training.train"}
