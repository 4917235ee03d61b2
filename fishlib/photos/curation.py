"""Curation: "exactly one whole fish" decided by eye, kept in a CSV, and the hints that help to decide."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from fishlib.errors import UserError
from fishlib.files.reads import looked_for
from fishlib.photos import masks

COLUMNS = ["photo_id", "one_whole_fish", "note"]
ANSWERS = ("yes", "no", "unsure")
MIN_SHARE = 0.1  # ours: a piece of less than a tenth of the mask is a splinter, not a second fish
# both ours, on pictures 240 px long: 122 sharp photos had 287 and more, blurred by 3 px (sigma, at 640 px) 37 and less;
# perceptual hashes of 64 bits differed in 6 and more between any two different photos
BLURRED, NEAR = 40, 4


def read_answers(csv: Path, columns: list[str], answer: str, answers: tuple, optional=()) -> pd.DataFrame:
    """A table of answers a person may have made by hand: text, `columns` in their order, the column `answer` in lower
    case and one of `answers` or empty. A missing file holds no row. UserError as read_decisions."""
    if not looked_for(Path(csv)).exists():
        return pd.DataFrame(columns=columns, dtype=str)
    try:
        frame = pd.read_csv(csv, dtype=str, keep_default_na=False, encoding="utf-8-sig")  # Excel writes a BOM
    except (OSError, ValueError) as error:
        raise UserError(f"{csv} cannot be read as a table ({error}); save it as CSV UTF-8.") from error
    if unknown := sorted({*frame} - {*columns}) or sorted({*columns} - {*optional} - {*frame}):
        known = ", ".join(columns)
        raise UserError(f"{csv} has an unknown or missing column ({', '.join(unknown)}); it takes {known}.")
    frame = frame.reindex(columns=columns, fill_value="")
    frame[answer] = frame[answer].str.strip().str.lower()
    for row in frame[~frame[answer].isin(["", *answers])].to_dict("records"):
        what = f"{row[answer]!r} for {row['photo_id']}"
        raise UserError(f"{csv} says {what}; {answer} is {', '.join(answers[:-1])} or {answers[-1]}.")
    return frame


def read_decisions(csv: Path) -> pd.DataFrame:
    """The decisions, columns COLUMNS, text, one row a photo. A missing file holds none; a row with an empty
    one_whole_fish is not decided yet. UserError for a file, column or value that cannot be meant."""
    frame = read_answers(csv, COLUMNS, "one_whole_fish", ANSWERS, optional=["note"])
    frame = frame[frame["one_whole_fish"] != ""]
    frame = frame.drop_duplicates(COLUMNS[:2])
    for row in frame[frame["photo_id"].duplicated()].itertuples():
        raise UserError(f"{csv} decides {row.photo_id} twice and differently; keep one row.")
    return frame.reset_index(drop=True)


def apply_decisions(manifest: pd.DataFrame, decisions: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """(the manifest with rows decided "no" as excluded, {yes, no, unsure: how many photos; unknown: decided
    photo_ids the manifest does not have}). No row goes; unreadable and excluded rows keep their reason."""
    same = set(manifest["photo_id"].map(plain))
    decided = dict(zip(decisions["photo_id"].map(plain), decisions["one_whole_fish"], strict=True))
    facts = {answer: sum(decided[p] == answer for p in decided if p in same) for answer in ANSWERS}
    facts["unknown"] = [p for p in decisions["photo_id"] if plain(p) not in same]
    refused = manifest["photo_id"].map(lambda p: decided.get(plain(p)) == "no") & (manifest["status"] == "ok")
    manifest = manifest.copy()
    manifest.loc[refused, ["status", "reason"]] = ["excluded", "curation: no"]
    return manifest, facts


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
    found, first, hashes = [], {}, {}
    rows = {} if segments is None else {row.photo_id: row for row in segments.itertuples()}
    for photo in manifest[manifest["status"] == "ok"].itertuples():
        said = [f"{n} detections"] if (n := separate(boxes(photo.photo_id))) > 1 else []
        other = first.setdefault(photo.sha256, photo)
        if other.photo_id != photo.photo_id:
            said.append(f"exact duplicate of {_named(other, photo)}")
        elif look is not None:
            picture = look(photo.photo_id)
            own = imagehash.phash(Image.fromarray(picture))
            said += [f"looks like {_named(p, photo)}" for p, h in hashes.values() if h - own <= NEAR][:1]
            hashes[photo.photo_id] = photo, own
            said += ["blurred or dark"] * (sharpness(picture) < BLURRED)
        mask = read_mask(rows[photo.photo_id]) if photo.photo_id in rows else None
        if mask is not None:
            said += [f"{count} pieces"] if (count := masks.pieces(mask, MIN_SHARE)) > 1 else []
            said += ["touches the border"] * masks.touches_border(mask)
        found += [(photo.photo_id, hint) for hint in said]
    return pd.DataFrame(found, columns=["photo_id", "hint"], dtype=str)


def sharpness(picture: np.ndarray) -> float:
    """Variance of the Laplacian of the grey picture; compare pictures of one size only."""
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def separate(boxes: list) -> int:
    """How many boxes are left when each that shares half of its union with an earlier one is left out."""
    kept = []
    for box in np.asarray(boxes, float).reshape(-1, 4):
        sides = [np.clip(np.minimum(box[2:], o[2:]) - np.maximum(box[:2], o[:2]), 0, None).prod() for o in kept]
        areas = [(box[2:] - box[:2]).prod() + (o[2:] - o[:2]).prod() for o in kept]
        if all(shared < (area - shared) / 2 for shared, area in zip(sides, areas, strict=True)):
            kept.append(box)
    return len(kept)


def _named(other, photo) -> str:
    return other.photo_id + ("" if other.species == photo.species else ", of another species")


def plain(photo_id: str) -> str:
    """As compared: Japanese composed alike whatever system or program spelled it, no blanks round it."""
    return unicodedata.normalize("NFC", photo_id.strip())
