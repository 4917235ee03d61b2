"""Curation: "exactly one whole fish" decided by eye, kept in a CSV, and the hints that help to decide."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fishlib import masks
from fishlib.errors import UserError

COLUMNS = ["photo_id", "one_whole_fish", "note"]
ANSWERS = ("yes", "no", "unsure")
MIN_SHARE = 0.1  # ours: a piece of less than a tenth of the mask is a splinter, not a second fish


def read_answers(csv: Path, columns: list[str], answer: str, answers: tuple, optional=()) -> pd.DataFrame:
    """A table of answers a person may have made by hand: text, `columns` in their order, the column `answer` in lower
    case and one of `answers` or empty. A missing file holds no row. UserError as read_decisions."""
    if not Path(csv).exists():
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
) -> pd.DataFrame:
    """What to look at: columns photo_id and hint, one row a hint, ok photos alone, in the manifest's order.

    Exact duplicates come from the manifest. segments is the index of the truth or of a segmenter, and
    read_mask(row of it) its mask, bool (H, W), or None: several pieces, or one that touches the border.
    """
    found, first = [], {}
    rows = {} if segments is None else {row.photo_id: row for row in segments.itertuples()}
    for photo in manifest[manifest["status"] == "ok"].itertuples():
        other = first.setdefault(photo.sha256, photo)
        if other.photo_id != photo.photo_id:
            where = "" if other.species == photo.species else ", of another species"
            found.append((photo.photo_id, f"exact duplicate of {other.photo_id}{where}"))
        mask = read_mask(rows[photo.photo_id]) if photo.photo_id in rows else None
        if mask is None:
            continue
        if (count := masks.pieces(mask, MIN_SHARE)) > 1:
            found.append((photo.photo_id, f"{count} pieces"))
        if masks.touches_border(mask):
            found.append((photo.photo_id, "touches the border"))
    return pd.DataFrame(found, columns=["photo_id", "hint"], dtype=str)


def plain(photo_id: str) -> str:
    """As compared: Japanese composed alike whatever system or program spelled it, no blanks round it."""
    return unicodedata.normalize("NFC", photo_id.strip())
