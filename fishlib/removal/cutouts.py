"""A folder of cut-outs: index.csv with a row for every photo, and whose each file in it is.

index.csv names a photo by its path below a folder, and the folder by its number in folders.csv, which says it once.
Rows are sorted by both, so that a run that was stopped ends with the same file as one that was not. A row is all text.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fishlib.errors import UserError
from fishlib.files import paths, writing
from fishlib.files.frames import read_frame, write_frame
from fishlib.files.journal import Journal

BOX = ["x0", "y0", "x1", "y1"]  # XYXY, pixels of the photo
COLUMNS = ["folder", "path", "status", "reason", *BOX, "score", "cutout", "mask", "sha256", "settings"]
INDEX = "index.csv"
FOLDERS = "folders.csv"
JOURNAL = ".journal.jsonl"  # rows since index.csv was written; there after a kill
LONGEST_NAME = 255  # bytes; most file systems take no more

Key = tuple[str, str]  # number of the folder, path below it


class CutOuts:
    """What an output folder holds; reading it changes nothing there. Hold the folder's lock from then on.

    rows: Key -> its row. UserError where index.csv or folders.csv is none of ours, or the journal a link.
    """

    def __init__(self, out: Path):
        self.out = out
        self.journal = Journal(out / JOURNAL)
        if self.journal.path.is_symlink():
            raise UserError(f"{self.journal.path} is a link, where a journal is kept; remove it.")

        self.folders = _read_folders(out / FOLDERS)
        numbers = {str(n + 1) for n in range(len(self.folders))}
        rows = [*_read_index(out / INDEX, numbers), *_journaled(self.journal, numbers)]
        self.rows = {_key(row): row for row in rows}
        self._owners: dict[str, Key] = {}  # a file's folded name -> the photo it was made of
        for key, row in self.rows.items():
            self._claim(key, row)

    def number(self, folder: Path) -> str:
        """The number of a folder of photos; a new one is written down at once, for the journal names it."""
        said = paths.spelled(folder)
        if said not in self.folders:
            self.folders.append(said)
            self._write_folders()
        return str(self.folders.index(said) + 1)

    def keep(self, row: dict[str, str]) -> None:
        """Put a row into the journal: the table itself, of thousands of photos, takes longer to write than a photo.

        UserError where that cannot be written.
        """
        self.put(row)
        try:
            self.journal.append(row)
        except OSError as error:
            raise UserError(writing.failed(self.journal.path, error)) from error

    def put(self, row: dict[str, str]) -> None:
        """Put a row in the place of the photo's earlier one."""
        key = _key(row)
        self.rows[key] = row
        self._claim(key, row)

    def remove(self, files: Iterable[str]) -> None:
        """Remove what other settings left of a photo; `why_not` has said that the files are the photo's."""
        for file in files:
            try:
                paths.inside(self.out, file).unlink(missing_ok=True)
            except OSError as error:
                raise UserError(writing.failed(self.out / file, error)) from error

    def is_finished(self, key: Key, sha256: str, settings: str) -> bool:
        """Was a photo of that content cut with these settings, and are its files still there?"""
        row = self.rows.get(key)
        if row is None or (row["sha256"], row["settings"]) != (sha256, settings):
            return False
        files = [row[kind] for kind in ("cutout", "mask") if row[kind]]
        return all((self.out / file).is_file() for file in files)

    def why_not(self, key: Key, files: Iterable[str]) -> str:
        """Why the photo's files may not be written, empty when they may."""
        for file in files:
            why = self._why_not(key, file)
            if why:
                return why
        return ""

    def write(self) -> None:
        """Write index.csv, whole; the journal has then said what it had to."""
        self._write_folders()
        rows = [self.rows[key] for key in sorted(self.rows, key=_order)]
        write_frame(pd.DataFrame(rows, columns=COLUMNS), self.out / INDEX, keep=True)
        self.journal.clear()

    def _write_folders(self) -> None:
        numbers = range(1, len(self.folders) + 1)
        write_frame(pd.DataFrame({"folder": numbers, "path": self.folders}), self.out / FOLDERS, keep=True)

    def _claim(self, key: Key, row: dict[str, str]) -> None:
        for kind in ("cutout", "mask"):
            if row[kind]:
                self._owners[paths.fold(row[kind])] = key

    def _why_not(self, key: Key, file: str) -> str:
        owner = self._owners.get(paths.fold(file), key)
        if owner != key:
            return f"{file} belongs to {self._named(owner)}, rename one of them"
        if len(os.fsencode(Path(file).name)) > LONGEST_NAME:
            return "its name is too long for a cut-out, shorten it"
        try:
            paths.inside(self.out, file)
        except UserError as error:  # a link leads out of it
            return str(error).rstrip(".")
        try:
            if paths.fold(file) not in self._owners and (self.out / file).exists():
                return f"{file} is there and was not made by fishlib cut"
            for folder in list(Path(file).parents)[:-1]:
                if (self.out / folder).exists() and not (self.out / folder).is_dir():
                    return f"{folder.as_posix()} is there and is no folder, rename one of them"
        except OSError as error:  # the whole path is too long, say
            return f"{file} cannot be written ({error.strerror})"
        return ""

    def _named(self, key: Key) -> str:
        folder, path = key
        return (Path(self.folders[int(folder) - 1]) / path).as_posix()


def new_row(key: Key, **facts: str) -> dict[str, str]:
    """A row of what is known, the rest empty."""
    folder, path = key
    return dict.fromkeys(COLUMNS, "") | {"folder": folder, "path": path} | facts


def number(value: float) -> str:
    """A number as a row holds it: 9 digits, empty where there is none (NaN)."""
    return "" if value != value else format(value, ".9g")


def _key(row: dict[str, str]) -> Key:
    return row["folder"], row["path"]


def _order(key: Key) -> tuple[int, list[str]]:
    folder, path = key
    return int(folder), path.split("/")


def _read_folders(file: Path) -> list[str]:
    if not file.exists():
        return []
    frame = read_frame(file, ["folder", "path"])
    if frame["folder"].tolist() != [str(n + 1) for n in range(len(frame))]:
        raise UserError(f"{file} was not made by fishlib cut; choose another --out.")
    return frame["path"].tolist()


def _read_index(file: Path, numbers: set[str]) -> list[dict[str, str]]:
    """The rows of index.csv; numbers: those of the folders that a row may name."""
    if not file.exists():
        return []
    foreign = f"{file} was not made by fishlib cut; choose another --out."
    try:
        rows = read_frame(file, COLUMNS)[COLUMNS].to_dict("records")
    except UserError as error:
        raise UserError(foreign) from error
    if any(row["folder"] not in numbers for row in rows):
        raise UserError(foreign)
    return rows


def _journaled(journal: Journal, numbers: set[str]) -> list[dict[str, str]]:
    """The rows of the journal, but for what is none of ours."""

    def is_ours(row: dict) -> bool:
        whole = row.keys() == set(COLUMNS) and all(isinstance(value, str) for value in row.values())
        return whole and row["folder"] in numbers

    return [row for row in journal.rows() if is_ours(row)]
