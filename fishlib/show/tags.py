"""Tags that a person gives photos ("shadow", "cut-off tail"), kept in tags.csv of a run and known to every filter."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fishlib.errors import UserError
from fishlib.files import frames
from fishlib.files.reads import looked_for
from fishlib.photos import curation
from fishlib.study import Study

FILE = "tags.csv"  # in the run folder
COLUMNS = ["photo_id", "tag"]  # a row a photo and tag
SUGGESTED = ("shadow", "cut-off tail")
UNTAGGED = ""  # the filter for photos without any; no tag is called so
LONGEST = 60  # letters of a tag: it stands on a button and under a photo


def read(csv: Path) -> pd.DataFrame:
    """The tags that stand, columns COLUMNS, text, each photo and tag once, in the file's order.

    A missing file holds none, and so does a row with an empty tag. UserError, naming the file, where it is no such
    table (see frames.read_table).
    """
    if not looked_for(csv).exists():
        return pd.DataFrame(columns=COLUMNS, dtype=str)
    frame = frames.read_table(csv, COLUMNS)
    frame["photo_id"] = frame["photo_id"].map(curation.plain)
    frame["tag"] = frame["tag"].map(_composed)
    return frame[frame["tag"] != ""].drop_duplicates().reset_index(drop=True)


def of_photos(study: Study) -> dict[str, tuple[str, ...]]:
    """photo_id, as curation.plain spells it -> its tags, in their order in the file. UserError as `read`."""
    found = defaultdict(list)
    for row in read(study.out / FILE).itertuples():
        found[row.photo_id].append(row.tag)
    return {photo_id: tuple(tags) for photo_id, tags in found.items()}


def put(study: Study, photo_ids: Iterable[str], tag: str, on: bool = True) -> None:
    """Give photos a tag, or take it off (on=False): it is on the disk when this returns, other tags stay.

    UserError for a text that is no tag (see `checked`), and as frames.rewrite.
    """
    name = checked(tag)
    wanted = [curation.plain(photo_id) for photo_id in photo_ids]

    def with_tag() -> pd.DataFrame:
        kept = read(study.out / FILE)
        same = kept["photo_id"].isin(wanted) & (kept["tag"] == name)
        if not on:
            return kept[~same]
        has_it = set(kept.loc[same, "photo_id"])
        new = [[photo_id, name] for photo_id in dict.fromkeys(wanted) if photo_id not in has_it]
        return pd.concat([kept, pd.DataFrame(new, columns=COLUMNS, dtype=str)])

    frames.rewrite(study.out / FILE, with_tag)


def checked(tag: str) -> str:
    """A tag as it is kept: one line, no blanks round it. UserError for an empty one or one that is too long."""
    name = _composed(" ".join(tag.split()))
    if not name:
        raise UserError("a tag needs a name, as 'shadow'; enter one first.")
    if len(name) > LONGEST or not name.isprintable():
        raise UserError(f"a tag has at most {LONGEST} letters, all of them visible; enter a shorter one.")
    return name


def known(tags: Iterable[tuple[str, ...]]) -> list[str]:
    """The tags to offer: those in use, the most frequent first, then the suggested ones."""
    counts = pd.Series([tag for of_photo in tags for tag in of_photo], dtype=object).value_counts()
    return [*dict.fromkeys([*counts.index, *SUGGESTED])]


def _composed(tag: str) -> str:
    """Japanese composed alike, whatever keyboard or program spelled it."""
    return unicodedata.normalize("NFC", tag)
