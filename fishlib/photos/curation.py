"""Curation: "exactly one whole fish" decided by eye, kept in a CSV, and the hints that help to decide."""

import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from fishlib.errors import UserError
from fishlib.files.frames import read_table
from fishlib.files.reads import looked_for
from fishlib.photos import masks

COLUMNS = ["photo_id", "one_whole_fish", "note"]
ANSWERS = ("yes", "no", "unsure")
MIN_SHARE = 0.1  # ours: a piece of less than a tenth of the mask is a splinter, not a second fish
# both ours, on pictures 240 px long: 122 sharp photos had 287 and more, blurred by 3 px (sigma, at 640 px) 37 and less;
# perceptual hashes of 64 bits differed in 6 and more between any two different photos
BLURRED = 40
NEAR = 4


def read_answers(
    csv: Path, columns: list[str], answer: str, answers: tuple[str, ...], optional: Iterable[str] = ()
) -> pd.DataFrame:
    """A table of answers a person may have made by hand: text, `columns` in their order, the column `answer` in lower
    case and one of `answers` or empty; its index counts the file's rows. A missing file holds no row. UserError, naming
    the file (and row), for one that is no such table (see frames.read_table)."""
    if not looked_for(Path(csv)).exists():
        return pd.DataFrame(columns=columns, dtype=str)
    needed = [name for name in columns if name not in optional]
    frame = read_table(csv, needed, optional)[columns]
    frame[answer] = frame[answer].str.lower()
    for number, row in frame.iterrows():
        if row[answer] not in ("", *answers):
            what = f"{row[answer]!r} for {row['photo_id']}"
            choices = f"{', '.join(answers[:-1])} or {answers[-1]}"
            raise UserError(f"{csv}, row {number}, says {what}; {answer} is {choices}.")
    return frame


def read_decisions(csv: Path) -> pd.DataFrame:
    """The decisions, columns COLUMNS, text, one row a photo. A missing file holds none; a row with an empty
    one_whole_fish is not decided yet. UserError for a file, column or value that cannot be meant."""
    frame = read_answers(csv, COLUMNS, "one_whole_fish", ANSWERS, optional=["note"])
    frame = frame[frame["one_whole_fish"] != ""]
    compared = frame.assign(photo=frame["photo_id"].map(plain))
    once = compared.drop_duplicates(["photo", "one_whole_fish"])
    twice = once[once["photo"].duplicated()]
    if len(twice):
        raise UserError(f"{csv} decides {twice['photo_id'].iloc[0]} twice and differently; keep one row.")
    return once[COLUMNS].reset_index(drop=True)


def apply_decisions(manifest: pd.DataFrame, decisions: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """(the manifest with rows decided "no" as excluded, {yes, no, unsure: how many photos; unknown: decided
    photo_ids the manifest does not have}). No row goes; unreadable and excluded rows keep their reason."""
    photos = manifest["photo_id"].map(plain)
    decided = dict(zip(decisions["photo_id"].map(plain), decisions["one_whole_fish"], strict=True))
    here = set(photos)
    given = [answer for photo, answer in decided.items() if photo in here]
    facts: dict = {answer: given.count(answer) for answer in ANSWERS}
    facts["unknown"] = [photo_id for photo_id in decisions["photo_id"] if plain(photo_id) not in here]

    refused = (photos.map(decided) == "no") & (manifest["status"] == "ok")
    manifest = manifest.copy()
    manifest.loc[refused, ["status", "reason"]] = ["excluded", "curation: no"]
    return manifest, facts


def unmatched(table: str, unknown: list[str]) -> list[str]:
    """What is to be said of rows about photos that are not there: a sentence, or none. table: the file's name."""
    if not unknown:
        return []
    count = f"{len(unknown)} rows" if len(unknown) > 1 else "one row"
    return [f"{table}: {count} of no photo here (first: {unknown[0]}); a photo_id is <species>/<file name>."]


def plain(photo_id: str) -> str:
    """As compared: Japanese composed alike whatever system or program spelled it, / for \\, no blanks round it."""
    return unicodedata.normalize("NFC", photo_id.strip().replace("\\", "/").removeprefix("./"))


def hints(
    manifest: pd.DataFrame,
    segments: pd.DataFrame | None = None,
    read_mask: Callable[..., np.ndarray | None] = lambda row: None,
    look: Callable[[str], np.ndarray] | None = None,
    boxes: Callable[[str], list] = lambda photo_id: [],
) -> pd.DataFrame:
    """What to look at: columns photo_id and hint, one row a hint, ok photos alone, in the manifest's order.

    Exact duplicates come from the manifest. segments is the index of the truth or of a segmenter, and
    read_mask(row of it) its mask, bool (H, W), or None: several pieces, or one that touches the border.
    look(photo_id): a small picture, uint8 (h, w, 3), 240 px long: blur and near duplicates. boxes(photo_id): what a
    detector found, XYXY.
    """
    segment_rows = {} if segments is None else {row.photo_id: row for row in segments.itertuples()}
    doubles = _Doubles()
    found = []
    for photo in manifest[manifest["status"] == "ok"].itertuples():
        said = _of_boxes(boxes(photo.photo_id))
        copy_of = doubles.same_file(photo)
        if copy_of is not None:
            said.append(f"exact duplicate of {_named(copy_of, photo)}")
        elif look is not None:
            picture = look(photo.photo_id)
            said += [f"looks like {_named(other, photo)}" for other in doubles.alike(photo, picture)[:1]]
            if sharpness(picture) < BLURRED:
                said.append("blurred or dark")
        if photo.photo_id in segment_rows:
            said += _of_mask(read_mask(segment_rows[photo.photo_id]))
        found += [(photo.photo_id, hint) for hint in said]
    return pd.DataFrame(found, columns=["photo_id", "hint"], dtype=str)


class _Doubles:
    """The photos seen so far, by content and by look."""

    def __init__(self):
        self.first: dict[str, tuple] = {}  # sha256 -> the first photo that has it
        self.looks: list[tuple] = []  # (photo, perceptual hash)

    def same_file(self, photo):
        """The photo seen first with these very bytes; None where this is the first."""
        first = self.first.setdefault(photo.sha256, photo)
        return None if first.photo_id == photo.photo_id else first

    def alike(self, photo, picture: np.ndarray) -> list:
        """The photos seen so far that look like this one, which is remembered."""
        own = imagehash.phash(Image.fromarray(picture))
        near = [other for other, look in self.looks if look - own <= NEAR]
        self.looks.append((photo, own))
        return near


def sharpness(picture: np.ndarray) -> float:
    """Variance of the Laplacian of the grey picture; compare pictures of one size only."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def separate(boxes: list) -> int:
    """How many boxes are left when each that shares half of its union with an earlier one is left out."""
    kept: list[np.ndarray] = []
    for box in np.asarray(boxes, float).reshape(-1, 4):
        if all(_overlap(box, other) < 0.5 for other in kept):
            kept.append(box)
    return len(kept)


def _overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes XYXY; 1 of two empty ones."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = np.clip(sides, 0, None).prod()
    union = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod() - shared
    return shared / union if union else 1.0


def _of_boxes(boxes: list) -> list[str]:
    count = separate(boxes)
    return [f"{count} detections"] if count > 1 else []


def _of_mask(mask: np.ndarray | None) -> list[str]:
    if mask is None:
        return []
    said = []
    count = masks.pieces(mask, MIN_SHARE)
    if count > 1:
        said.append(f"{count} pieces")
    if masks.touches_border(mask):
        said.append("touches the border")
    return said


def _named(other, photo) -> str:
    """Another photo's name, and whether it is said to be another species."""
    return other.photo_id if other.species == photo.species else f"{other.photo_id}, of another species"
