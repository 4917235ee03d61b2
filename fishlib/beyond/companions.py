"""Photos of a run that are no independent evidence: groups.csv as people give it, and look-alikes; found once, kept."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import UnreadablePhoto
from fishlib.files.frames import read_frame, write_frame
from fishlib.photos import decode, groups
from fishlib.study import Study, stage

KEPT = "beyond/groups.csv"  # in the run folder: what was used, look-alikes joined
GIVEN = "groups.csv"  # of the run, else beside the photos' species folders
SIDE = 240  # px, as curation.NEAR was measured


def find(study: Study, manifest: pd.DataFrame) -> tuple[pd.Series | None, list[str]]:
    """(groups of the photos that count, or None; notes), see photos.groups; also kept in KEPT for `read`.

    A photo is looked at once: which ones look alike is cached under the photos' hashes.
    """
    photos = manifest[manifest["status"] == "ok"]
    pairs = _pairs(study, photos)
    found, notes = groups.of_pairs(given(study), photos["photo_id"].tolist(), pairs)
    kept = study.out / KEPT
    if found is None:
        kept.unlink(missing_ok=True)
        return None, notes
    write_frame(found.rename("group").rename_axis("photo_id").reset_index(), kept)
    return found, notes


def read(study: Study) -> pd.Series | None:
    """The groups that `find` kept; None where photos stand alone, or nobody looked."""
    path = study.out / KEPT
    if not path.is_file():
        return None
    frame = read_frame(path, groups.COLUMNS)
    return frame.set_index("photo_id")["group"]


def of(kept: pd.Series | None, photo_ids: Iterable[str]) -> pd.Series | None:
    """The groups of these photos; one that came after `find` is a group of its own. None where all are alone."""
    if kept is None:
        return None
    ids = list(photo_ids)
    names = kept.reindex(ids)
    names = names.fillna(pd.Series(ids, index=ids, dtype=object))
    return None if names.nunique() == len(names) else names


def given(study: Study) -> Path:
    own = study.out / GIVEN
    return own if own.exists() else study.photos / GIVEN


def _pairs(study: Study, photos: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of photos that look alike. A photo that cannot be read any more looks like none."""
    with stage(study, "look-alikes") as record:
        key = cache.key(photos=photos[["photo_id", "sha256"]].to_numpy().tolist(), code=cache.code_version(__name__))
        entry = cache.entry(study.cache, "look-alikes", key)
        kept = cache.load(entry)
        if kept is None:
            pairs = groups.near_duplicates(photos, lambda photo_id: _look(study.photos / photo_id))
            kept = {"pairs": np.array(pairs, dtype=str).reshape(-1, 2)}
            cache.save(entry, **kept)
            record["computed"] += len(photos)
        else:
            record["reused"] += len(photos)
    return [tuple(pair) for pair in kept["pairs"].tolist()]


def _look(photo: Path) -> np.ndarray | None:
    try:
        return decode.working(decode.decode(photo), SIDE)
    except UnreadablePhoto:
        return None
