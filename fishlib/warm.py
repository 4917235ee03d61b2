"""A notebook is not executed again where nothing that it reads has changed: content, parameters or code.

What an execution rests on is kept in the run folder, hidden, beside nothing that is shared: a key of what went in as a
whole (the notebook itself, parameters, profile, code, checkpoints, versions), and the content of every file and the
names in every folder that it opened or listed, and of those that it left. Any doubt is a reason to execute.
"""

import json
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nbformat

from fishlib import cache, weights
from fishlib.errors import UserError
from fishlib.files import documents, writing
from fishlib.removal import segmenters
from fishlib.removal.segmenters import own
from fishlib.study import Study

FOLDER = ".executed"  # in the run folder: one file a notebook
# kept by content, or about a run rather than of it: what lies there changes no result
BOOKKEEPING = ("cache", "stages", "report", "report.zip", "notebooks", "run.json", "parts.json", "made_with.json")
BOOKKEEPING += ("README.txt",)
STAGES = "stages"
PACKAGES = ("torch", "torchvision", "timm", "transformers", "segment-anything", "groundingdino-py", "onnxruntime")
PACKAGES += ("numpy", "pandas", "scipy", "scikit-learn", "statsmodels", "opencv-python", "pillow", "pycocotools")
PACKAGES += ("matplotlib", "seaborn", "ipywidgets", "jinja2", "imagehash")


class Contents:
    """Contents of files and folders as short texts; a file whose size and time are the same is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], str] = {}

    def of(self, path: Path) -> str:
        """The sha256 of a file, the names in a folder as a hash, or "absent"."""
        try:
            if path.is_dir():
                names = [file.name for file in path.iterdir()]
                names = [name for name in names if not name.startswith(".") and name not in BOOKKEEPING]
                return f"folder {cache.key(names=sorted(names))}"
            status = path.stat()
            known = str(path), status.st_size, status.st_mtime_ns
            if known not in self._known:
                self._known[known] = f"file {cache.file_hash(path)}"
            return self._known[known]
        except OSError:
            return "absent"


def key(source: Path, parameters: dict[str, Any], study: Study, identities: dict[str, str]) -> str:
    """What goes into a notebook as a whole. identities: of the checkpoints that it may use."""
    method = own.NAMED.get(study.method)
    return cache.key(
        notebook=cache.file_hash(source),
        parameters=parameters,
        profile=study.profile.model_dump(),
        study=[str(study.photos), str(study.masks), study.method, study.classifier],
        method=method.key if method else None,
        checkpoints=identities,
        weights=[(row["name"], row["path"].name, row["present"]) for row in weights.list_()],
        code=_code(source),
        versions=_versions(),
    )


def is_fresh(study: Study, source: Path, wanted: str, contents: Contents) -> bool:
    """Has this notebook been executed with this key, and is everything it read and left as it was?"""
    kept = _kept(study, source)
    if kept is None or kept["key"] != wanted:
        return False
    if contents.of(study.out / "notebooks" / source.name) != kept["notebook"]:
        return False

    roots = _roots(study)
    for name, files in kept["files"].items():
        if name not in roots:
            return False
        for below, content in files.items():
            if contents.of(roots[name] / below) != content:
                return False
    return True


def keep(study: Study, source: Path, used: str, noted: Iterable[str], contents: Contents) -> None:
    """Keep what an execution rested on. used: its key, as it was before; noted: the paths it opened or listed."""
    roots = _roots(study)
    files: dict[str, dict[str, str]] = {name: {} for name in roots}
    stages = set()
    for text in noted:
        place = _place(Path(text), roots)
        if place is None:
            continue
        name, below = place
        first = Path(below).parts[0] if below != "." else ""
        if name == "out" and first == STAGES and not Path(below).name.startswith("."):
            stages.add(Path(below).name)
        if any(part.startswith(".") for part in Path(below).parts) or (name == "out" and first in BOOKKEEPING):
            continue
        files[name][below] = contents.of(roots[name] / below)
    kept = {
        "key": used,
        "notebook": contents.of(study.out / "notebooks" / source.name),
        "stages": sorted(stages),
        "files": files,
    }
    writing.write_text(_file(study, source), json.dumps(kept, ensure_ascii=False))
    _take_over(study, source, files)


def _take_over(study: Study, source: Path, files: dict[str, dict[str, str]]) -> None:
    """What a notebook wrote over is its own from then on: earlier ones, which never read it so, do not answer for it.

    Notebook 01 writes the true masks of all photos, say, and 02 those that the curation left.
    """
    for record in sorted((study.out / FOLDER).glob("*.json")):
        earlier = Path(record.stem)
        kept = _kept(study, earlier)
        if record.stem >= source.stem or kept is None:
            continue
        for name, there in kept["files"].items():
            mine = files.get(name, {})
            kept["files"][name] = {
                below: content for below, content in there.items() if mine.get(below, content) == content
            }
        writing.write_text(record, json.dumps(kept, ensure_ascii=False))


def forget(study: Study, source: Path) -> None:
    """Called before an execution, so that one that is killed is not taken for a whole one."""
    _file(study, source).unlink(missing_ok=True)


def stages_of(study: Study, source: Path) -> list[str]:
    """The names of the files under stages/ that the notebook's last execution wrote."""
    kept = _kept(study, source)
    return kept["stages"] if kept else []


def _file(study: Study, source: Path) -> Path:
    return study.out / FOLDER / f"{source.stem}.json"


def _kept(study: Study, source: Path) -> dict[str, Any] | None:
    """What was kept of the last execution; None without one, or where it cannot be read."""
    try:
        kept = documents.read_object(_file(study, source))
        whole = isinstance(kept["files"], dict) and isinstance(kept["stages"], list)
        return kept if whole and isinstance(kept["key"], str) and isinstance(kept["notebook"], str) else None
    except (UserError, OSError, KeyError, TypeError):
        return None


def _roots(study: Study) -> dict[str, Path]:
    """The folders and files whose content counts: the run's, and every one that a parameter or the profile names."""
    roots = {"out": study.out, "photos": study.photos, "weights": weights.home()}
    if study.masks is not None:
        roots["masks"] = study.masks
    if study.classifier is not None and Path(study.classifier).is_file():
        roots["classifier"] = Path(study.classifier).parent
    for number, text in enumerate(_texts(study.profile.model_dump())):
        path = Path(text).expanduser()
        if path.is_absolute() and path.exists():
            roots[f"profile {number}"] = path
    return {name: path.absolute() for name, path in roots.items()}


def _texts(value: Any) -> list[str]:
    """Every text in nested dicts and lists."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return []


def _place(path: Path, roots: dict[str, Path]) -> tuple[str, str] | None:
    """(name of the root it lies in, its path below that); None outside of them all."""
    for name, root in roots.items():
        if path == root or root in path.parents:
            return name, path.relative_to(root).as_posix()
    return None


def _code(source: Path) -> str:
    """Hash of all of fishlib's code that a notebook's cells lead to, and of the tables and checkpoints beside it."""
    notebook = nbformat.read(source, as_version=4)
    cells = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    try:
        modules = _reached(cache.imported(cells))
    except SyntaxError:  # a cell of another language: all of fishlib
        modules = set()
    if not modules:
        files = [file for file in cache.PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    else:
        files = [*(cache.source_of(name) for name in modules), *_data(modules)]
    named = sorted((file.relative_to(cache.PACKAGE).as_posix(), cache.file_hash(file)) for file in files)
    return cache.key(files=named)


def _reached(names: list[str]) -> set[str]:
    """Modules of fishlib that these lead to, also those that only the registry of methods names."""
    reached: set[str] = set()
    for name in names:
        reached |= cache.code_closure(name, without=())
    if segmenters.__name__ in reached:
        for name in [*segmenters.MODULES.values(), own.__name__]:
            reached |= cache.code_closure(name, without=())
    return reached


def _data(modules: set[str]) -> list[Path]:
    """Files that are no code in the folders of these modules, and below them up to the next package."""
    found = []
    for folder in {cache.source_of(name).parent for name in modules}:
        for place, folders, names in os.walk(folder):
            folders[:] = [
                name for name in folders if name != "__pycache__" and not Path(place, name, "__init__.py").is_file()
            ]
            found += [Path(place, name) for name in names if not name.endswith((".py", ".pyc"))]
    return found


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
