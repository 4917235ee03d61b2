"""The manifest: one row for every file of the photos folder, whatever becomes of it."""

import hashlib
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import reads
from fishlib.files.frames import write_frame
from fishlib.photos.decode import HEIC, SUFFIXES, decode_bytes
from fishlib.study import Study, stage

COLUMNS = ["photo_id", "species", "path", "sha256", "width", "height", "status", "reason"]
GATHERED = {"attribution.csv", "groups.csv", "conflicts.csv", "refused.csv", "dataset.md"}  # fishlib photos writes them
IGNORED = {"thumbs.db", "desktop.ini", "curation.csv"} | GATHERED


def scan(photos: Path, progress: bool = False) -> pd.DataFrame:
    """The manifest of a folder-per-species tree: COLUMNS, one row for every file, sorted by photo_id.

    Each is decoded once. status: ok, unreadable, or excluded (not right inside a species folder, or its mask
    would have another's name); width and height 0, sha256 empty where unknown. Hidden files and IGNORED are
    no rows. UserError for a missing folder, and for one without a readable photo in a species folder.
    """
    root = Path(photos)
    if not root.is_dir():
        what = "no folder" if root.exists() else "not there"
        raise UserError(f"The photos folder {root} is {what}; give one that holds a folder for each species.")
    files = list(files_below(root))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        rows = pool.map(lambda file: _row(root, file), files)
        rows = tqdm(rows, "reading photos", len(files), disable=not progress)
        rows = sorted(rows, key=lambda row: row["photo_id"])
    taken = {}
    for row in (row for row in rows if row["status"] == "ok"):
        # some file systems see no difference in case or in Unicode form
        stem = unicodedata.normalize("NFC", row["photo_id"].rsplit(".", 1)[0]).casefold()
        if (first := taken.setdefault(stem, row["photo_id"])) != row["photo_id"]:
            row |= {"status": "excluded", "reason": f"same name as {first}, rename one of them"}
    if not taken:
        first = f" (first: {rows[0]['photo_id']}, {rows[0]['reason']})" if rows else ""
        raise UserError(f"{root} holds no readable photo in a species folder{first}; add photos.")
    return pd.DataFrame(rows, columns=COLUMNS)


def files_below(root: Path):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names + [name for name in folders if Path(folder, name).is_symlink()]:
            if not name.startswith(".") and name.lower() not in IGNORED:
                yield Path(folder, name)


def _row(root: Path, file: Path) -> dict:
    name = file.relative_to(root).as_posix()
    photo_id = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    species = unicodedata.normalize("NFC", photo_id.split("/")[0]) if "/" in photo_id else ""
    row = dict(zip(COLUMNS, [photo_id, species, photo_id, "", 0, 0, "unreadable", ""], strict=True))
    try:
        if photo_id != name:
            raise UnreadablePhoto("its name is not UTF-8, rename it")
        if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
            raise UnreadablePhoto("a link that leads out of the photos folder")
        if not file.is_file():
            raise UnreadablePhoto("a link to a folder or to nothing, or no regular file")
        if (suffix := file.suffix.lower()) not in SUFFIXES:
            raise UnreadablePhoto(f"not a photo ({suffix or 'no suffix'})")
        data = file.read_bytes()
        row["sha256"] = hashlib.sha256(data).hexdigest()
        row["height"], row["width"] = decode_bytes(data).shape[:2]
    except (OSError, RuntimeError, UnreadablePhoto) as error:  # RuntimeError: links in a loop, Python < 3.13
        hint = " (HEIC: save it as JPEG)" if file.suffix.lower() in HEIC else ""
        return row | {"reason": " ".join(str(getattr(error, "strerror", None) or error).split()) + hint}
    if (depth := photo_id.count("/")) != 1:
        why = "in a subfolder" if depth else "in no species folder"
        return row | {"status": "excluded", "reason": f"{why}, put it right into a species folder"}
    return row | {"status": "ok"}


def read_manifest(csv: Path) -> pd.DataFrame:
    """A manifest as scan gives it, from its CSV; UserError where it cannot be read or lacks columns."""
    try:
        frame = pd.read_csv(csv, dtype=str, keep_default_na=False, encoding="utf-8")
        return frame.astype({"width": int, "height": int})[COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The manifest {csv} cannot be read ({error}); delete it, then run again.") from error


def scan_photos(study: Study) -> pd.DataFrame:
    """The manifest before curation, one row a file (see scan)."""
    with stage(study, "scan"):
        return scan(study.photos, progress=True)


def decisions_file(study: Study) -> Path:
    """curation.csv of the run, else the one beside the photos' species folders."""
    own = study.out / "curation.csv"
    return own if reads.looked_for(own).exists() else study.photos / "curation.csv"


def write_manifest(study: Study, manifest: pd.DataFrame) -> None:
    """Keep the curated manifest: what every later notebook reads."""
    write_frame(manifest, study.out / "manifest.csv")


def curated(study: Study) -> pd.DataFrame:
    """The curated manifest. Raises UserError when notebook 01 has not run for this folder."""
    path = study.out / "manifest.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing; run notebook 01 first (fishlib reproduce --only 01).")
    return read_manifest(path)
