"""Paths inside a folder: names from tables, profiles and other people's runs never lead out of it."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from fishlib.errors import UserError
from fishlib.files.reads import looked_for


def inside(root: Path, name: str | Path) -> Path:
    """The path of `name` below `root`, no link followed out of it; the file need not be there.

    name: a relative path as a table or a profile states it. Raises UserError for an absolute path, for one that
    climbs out with `..`, and where a link below root leads out.
    """
    said = str(name)
    if not said.strip() or "\0" in said:
        raise UserError(f"{said!r} is no name of a file.")
    if PurePosixPath(said).is_absolute() or PureWindowsPath(said).anchor or said.startswith("~"):
        raise UserError(f"{said} is no path below {root}; absolute paths are not followed.")
    base = Path(root)
    try:
        home = base.resolve()
        target = (base / said).resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a loop, Python < 3.13
        raise UserError(f"{said} below {root} cannot be followed ({_why(error)}).") from error
    if target == home or not target.is_relative_to(home):
        raise UserError(f"{said} leads out of {root}; only what lies inside is read or written.")
    return base / said


def file_inside(root: Path, name: str | Path) -> Path | None:
    """`inside`, for a regular file that is there; None for anything else: what a reader may leave out."""
    try:
        path = inside(root, name)
        return path if looked_for(path).is_file() else None
    except (OSError, UserError, ValueError):
        return None


def own_folder(root: Path, name: str) -> Path:
    """The folder `root/name`, made where it is missing, that is a real one: writing into it stays below root.

    Raises UserError where it is a link, or no folder.
    """
    if Path(root, name).is_symlink():  # first: where it leads does not matter
        raise UserError(f"{Path(root, name)} is a link; a run is written into folders of its own, remove the link.")
    folder = inside(root, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); remove what lies there.") from error
    return folder


def part_of_a_name(text: str, what: str) -> str:
    """`text`, where it is one plain part of a path (a method's name, say); UserError where it is not."""
    letters = text.replace("-", "").replace("_", "").replace(".", "")
    if not letters.isalnum() or text.startswith((".", "-")) or len(text) > 64:
        raise UserError(f"{what} {text!r} cannot be the name of a folder; use letters, digits, - and _.")
    return text


def files_below(root: Path) -> Iterator[Path]:
    """Every file below root but hidden ones, links as they are, sorted. A folder that cannot be opened comes itself.

    (whoever reads it then says why: nothing is left out in silence).
    """
    unopened: list[Path] = []

    def remember(error: OSError) -> None:
        unopened.append(Path(error.filename or root))

    for folder, folders, names in os.walk(root, onerror=remember):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*names, *links]):
            if not name.startswith("."):
                yield Path(folder, name)
    yield from unopened


def spelled(path: Path | str) -> str:
    """A path as text that any file can hold: posix, bytes that are no UTF-8 written as escapes."""
    text = path.as_posix() if isinstance(path, Path) else path
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def fold(name: str) -> str:
    """One name for what some file systems take for the same file (case, Unicode form)."""
    return unicodedata.normalize("NFC", name).casefold()


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
