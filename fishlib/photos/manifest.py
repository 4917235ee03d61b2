"""The manifest: one row for every file of the photos folder, whatever becomes of it."""

import os
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import paths, reads
from fishlib.files.frames import read_frame, write_frame
from fishlib.files.progress import Bar
from fishlib.photos import curation, decode
from fishlib.photos import species as known
from fishlib.study import Study, keep_notes, stage

COLUMNS = ["photo_id", "species", "path", "sha256", "width", "height", "status", "reason"]
GATHERED = {"attribution.csv", "groups.csv", "conflicts.csv", "refused.csv", "dataset.md"}  # fishlib photos writes them
SYSTEMS = {"thumbs.db", "desktop.ini", "icon\r"}  # what systems leave in folders
IGNORED = SYSTEMS | GATHERED | {"curation.csv", "names.csv"}
LONGEST_NAME = 255  # bytes; most file systems take no more
LONGEST_SUFFIX = ".json"  # of what is written by a photo's name in its place: <name>.png, <name>.json


def scan(photos: Path, progress: bool = False) -> pd.DataFrame:
    """The manifest of a folder-per-species tree: COLUMNS, one row for every file, sorted by photo_id.

    Each is decoded once. status: ok, unreadable, or excluded (not right inside a species folder, its name too long,
    or its mask would have another's name); width and height are the photo's own, 0 where unknown, and so is an empty
    sha256. A folder that cannot be opened is a row. Hidden files and IGNORED are none. UserError for a missing folder,
    and for one without a readable photo in a species folder.
    """
    root = Path(photos)
    _hold_folder(root)
    files = list(files_below(root))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        read = pool.map(lambda file: _row(root, file), files)
        rows = list(Bar(read, "reading photos", len(files), disable=not progress))
    rows.sort(key=lambda row: row["photo_id"])
    _exclude_twins(rows)
    if not any(row["status"] == "ok" for row in rows):
        first = f" (first: {rows[0]['photo_id']}, {rows[0]['reason']})" if rows else ""
        raise UserError(f"{root} holds no readable photo in a species folder{first}; add photos.")
    return pd.DataFrame(rows, columns=COLUMNS)


def files_below(root: Path) -> Iterator[Path]:
    """Every file of a folder of photos, and each folder in it that cannot be opened; not what systems leave there."""
    for file in paths.files_below(root):
        if file.name.lower() not in IGNORED:
            yield file


def name_too_long(name: str) -> bool:
    """Would what is named after the photo (its mask, say) have a longer name than file systems take?

    name: a photo_id or path.
    """
    stem = Path(name).stem
    return len(os.fsencode(stem)) + len(LONGEST_SUFFIX) > LONGEST_NAME


def species_in(manifest: pd.DataFrame) -> list[str]:
    """The species of a manifest, the paper's first; files that lie in no species' folder have none."""
    return known.ordered(set(manifest["species"]) - {""})


def read_manifest(csv: Path) -> pd.DataFrame:
    """A manifest as scan gives it, from its CSV; UserError where it cannot be read or lacks columns."""
    frame = read_frame(csv, COLUMNS)[COLUMNS]
    try:
        return frame.astype({"width": int, "height": int})
    except (ValueError, OverflowError) as error:
        raise UserError(f"The manifest {csv} is damaged ({error}); delete it, then run notebook 01 again.") from error


def scan_photos(study: Study) -> pd.DataFrame:
    """The manifest before curation, one row a file (see scan)."""
    with stage(study, "scan"):
        return scan(study.photos, progress=True)


def decisions_file(study: Study) -> Path:
    """curation.csv of the run, else the one beside the photos' species folders."""
    own = study.out / "curation.csv"
    return own if reads.looked_for(own).exists() else study.photos / "curation.csv"


def curate(study: Study, scanned: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """Apply the decisions to what was scanned: (the manifest, facts), as curation.apply_decisions gives them.

    Keeps the manifest, which every later notebook reads, and notes on decisions about photos that are not there.
    """
    file = decisions_file(study)
    manifest, facts = curation.apply_decisions(scanned, curation.read_decisions(file))
    keep_notes(study, "curation", curation.unmatched(file.name, facts["unknown"]))
    write_manifest(study, manifest)
    return manifest, facts


def write_manifest(study: Study, manifest: pd.DataFrame) -> None:
    """Keep the curated manifest: what every later notebook reads."""
    write_frame(manifest, study.out / "manifest.csv", keep=True)


def curated(study: Study) -> pd.DataFrame:
    """The curated manifest. Raises UserError when notebook 01 has not run for this folder."""
    path = study.out / "manifest.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing; run notebook 01 first (fishlib reproduce --only 01).")
    return read_manifest(path)


def _hold_folder(root: Path) -> None:
    """UserError where there is no folder of photos that can be opened."""
    if not root.is_dir():
        what = "no folder" if root.exists() else "not there"
        raise UserError(f"The photos folder {root} is {what}; give one that holds a folder for each species.")
    try:
        os.scandir(root).close()
    except OSError as error:
        raise UserError(f"The photos folder {root} cannot be opened ({error.strerror}); change its rights.") from error


def _row(root: Path, file: Path) -> dict:
    """The row of one file."""
    photo_id = paths.spelled(file.relative_to(root))
    species = unicodedata.normalize("NFC", photo_id.split("/")[0]) if "/" in photo_id else ""
    row = dict.fromkeys(COLUMNS, "")
    row |= {"photo_id": photo_id, "species": species, "path": photo_id, "width": 0, "height": 0}
    try:
        _hold_file(root, file, photo_id)
        photo = decode.read(file)
    except (OSError, RuntimeError, UnreadablePhoto) as error:  # RuntimeError: links in a loop, Python < 3.13
        reason = str(getattr(error, "strerror", None) or error)
        return row | {"status": "unreadable", "reason": " ".join(reason.split())}
    row |= {"sha256": photo.sha256, "width": photo.width, "height": photo.height}
    why = _why_excluded(photo_id)
    return row | {"status": "excluded" if why else "ok", "reason": why}


def _hold_file(root: Path, file: Path, photo_id: str) -> None:
    """UnreadablePhoto, OSError or RuntimeError where the path is none of a file of the folder."""
    if photo_id != file.relative_to(root).as_posix():
        raise UnreadablePhoto("its name is not UTF-8, rename it")
    if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
        raise UnreadablePhoto("a link that leads out of the photos folder")
    if file.is_dir() and not file.is_symlink():
        os.scandir(file).close()
    if not file.is_file():
        raise UnreadablePhoto("a link to a folder or to nothing, or no regular file")


def _why_excluded(photo_id: str) -> str:
    """Why a photo that can be read takes no part, by where it lies; empty where it does."""
    depth = photo_id.count("/")
    if depth == 0:
        return "in no species folder, put it right into a species folder"
    if depth > 1:
        return "in a subfolder, put it right into a species folder"
    if name_too_long(photo_id):
        return "its name is too long for the name of its mask, shorten it"
    return ""


def _exclude_twins(rows: list[dict]) -> None:
    """Exclude, in place, all but the first ok row of those whose masks would have one name."""
    first: dict[str, str] = {}
    for row in rows:
        if row["status"] != "ok":
            continue
        # some file systems see no difference in case or in Unicode form
        stem = paths.fold(Path(row["photo_id"]).with_suffix("").as_posix())
        owner = first.setdefault(stem, row["photo_id"])
        if owner != row["photo_id"]:
            row |= {"status": "excluded", "reason": f"same name as {owner}, rename one of them"}
