"""The photos that `fishlib cut` is asked for: files and folders, each by its name below one folder."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import paths
from fishlib.photos.manifest import files_below


class Asked(NamedTuple):
    """One file: where it is read, its name below the folder of all that was given, and the given folder it is in.

    within: None for a file that was given itself.
    """

    file: Path
    name: str
    within: Path | None


def find(given: Iterable[Path], out: Path) -> tuple[Path, list[Asked]]:
    """(folder, every file given, sorted by name): all but hidden ones and what lies in `out`.

    A folder that is given alone is that folder, so that its subfolders are the first part of a name; else it is the
    one in which all that was given lies: given the folders of a tree, names are as if the tree was given, and equal
    names in two folders stay apart. UserError for what is missing, for `out` itself, and where there is no file.
    """
    given = [Path(path).expanduser() for path in given]
    for path in given:
        if not path.exists() or path.resolve() == out:
            why = "the output folder itself" if path.exists() else "not there"
            raise UserError(f"{path} is {why}; give photos or folders of photos, and another --out.")

    folder = _folder_of_all(given)
    found: dict[str, Asked] = {}
    for path in given:
        for asked in _files(path, folder, out):
            found.setdefault(asked.name, asked)
    if not found:
        raise UserError(f"There is no file in {', '.join(map(str, given))}; give photos or folders of them.")
    return folder, sorted(found.values(), key=lambda asked: asked.name.split("/"))


def hold(asked: Asked) -> None:
    """UnreadablePhoto, the reason alone as a row states it, for a file that is not opened at all."""
    try:
        asked.file.as_posix().encode()
    except UnicodeEncodeError as error:
        raise UnreadablePhoto("its name is not UTF-8, rename it") from error
    try:
        if asked.within is not None and not asked.file.resolve().is_relative_to(asked.within):
            raise UnreadablePhoto("a link that leads out of the photos folder")
        if asked.file.is_dir() and not asked.file.is_symlink():
            raise UnreadablePhoto("a folder that cannot be opened")
        if not asked.file.is_file():
            raise UnreadablePhoto("a link to a folder or to nothing, or no regular file")
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a loop, Python < 3.13
        raise UnreadablePhoto(getattr(error, "strerror", None) or str(error)) from error


def _folder_of_all(given: list[Path]) -> Path:
    if len(given) == 1 and given[0].is_dir():
        return given[0].resolve()
    parents = {_place(path).parent for path in given}
    try:
        return Path(os.path.commonpath(parents))
    except ValueError as error:  # Windows
        raise UserError("The photos lie on different drives; cut those of one drive at a time.") from error


def _files(path: Path, folder: Path, out: Path) -> Iterable[Asked]:
    """The files of one of the paths given."""
    if not path.is_dir():
        place = _place(path)
        yield Asked(place, paths.spelled(place.relative_to(folder)), None)
        return

    root = path.resolve()
    place = root if root == folder else _place(path)
    holds_output = out.is_relative_to(root)
    for file in files_below(root):
        if holds_output and file.is_relative_to(out):
            continue
        name = paths.spelled((place / file.relative_to(root)).relative_to(folder))
        yield Asked(file, name, root)


def _place(path: Path) -> Path:
    """The path from the root on, links in it followed but for the last part, whose name the user knows."""
    if path.name in ("", "..") or path.anchor == str(path):
        return path.resolve()
    return path.parent.resolve() / path.name
