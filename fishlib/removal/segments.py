"""What a method left in a run: segments/<method>/ with index.csv, masks as PNG in the species tree, details in why/.

A run folder may be somebody else's: nothing that lies outside segments/<method>/ is read.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fishlib.errors import UserError
from fishlib.files import documents, paths
from fishlib.files.frames import read_frame
from fishlib.photos import masks
from fishlib.study import Study

COLUMNS = ["photo_id", "species", "status", "reason", "x0", "y0", "x1", "y1", "score", "area", "mask_file"]
NUMBERS = ["x0", "y0", "x1", "y1", "score", "area"]
INDEX = "index.csv"
MADE_OF = "made_of.json"  # what the files beside it were made of, and the seconds a photo took


def folder(study: Study, method: str) -> Path:
    """segments/<method> of the run, which need not be there; UserError where it is a path out of the run."""
    name = paths.part_of_a_name(method, "The method")
    return paths.inside(study.out, f"segments/{name}")


def read_index(path: Path) -> pd.DataFrame:
    """The frame of a method that has run: COLUMNS; text that is not there is empty, a NUMBER is NaN. UserError."""
    frame = read_frame(path, COLUMNS)[COLUMNS]
    for column in NUMBERS:
        try:
            frame[column] = frame[column].replace("", "nan").astype(float)
        except ValueError as error:
            raise UserError(f"{path} has a {column} that is no number ({error}); delete it, then run again.") from error
    return frame


def seconds_a_photo(study: Study, methods: Iterable[str]) -> pd.Series:
    """Median seconds each method took for a photo, on the machine that cut it."""
    seconds = {}
    for method in methods:
        path = folder(study, method) / MADE_OF
        try:
            seconds[method] = float(documents.read_object(path)["seconds_a_photo"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} does not say how long a photo took; delete it, then run again.") from error
    return pd.Series(seconds, dtype=float)


def read_mask(study: Study, method: str, row) -> np.ndarray | None:
    """bool (H, W) of the original photo's size, or None when the row of the frame names no mask.

    UserError, naming the file, where it is not there, no picture, or outside the method's folder.
    """
    if not isinstance(row.mask_file, str) or not row.mask_file:
        return None
    return masks.read_mask(paths.inside(folder(study, method), row.mask_file))


def reader(study: Study, method: str) -> Callable[[str], np.ndarray | None]:
    """photo_id -> mask or None, for functions that want masks but know no run folder."""
    index = read_index(folder(study, method) / INDEX).set_index("photo_id")
    return lambda photo_id: read_mask(study, method, index.loc[photo_id])


def why(study: Study, method: str, photo_id: str) -> dict:
    """What the method kept beside its mask of a photo (candidates, scores, the choice); empty when nothing."""
    path = paths.file_inside(folder(study, method), details_file(photo_id))
    return {} if path is None else documents.read_object(path)


def mask_file(photo_id: str) -> str:
    """Where a photo's mask lies below the method's folder."""
    return Path(photo_id).with_suffix(".png").as_posix()


def details_file(photo_id: str) -> str:
    """Where a photo's details lie below the method's folder."""
    return (Path("why") / photo_id).with_suffix(".json").as_posix()


def candidates(study: Study, method: str, photo_id: str) -> list[np.ndarray]:
    """The masks the method chose from, each bool (h, w), the whole photo on a grid of the method's; empty when none."""
    kept = why(study, method, photo_id).get("candidates", [])
    return [masks.from_rle(candidate["rle"]) for candidate in kept]


def box(row) -> np.ndarray | None:
    """float32 (4,) XYXY in pixels of the original photo, or None."""
    values = np.array([row.x0, row.y0, row.x1, row.y1], np.float32)
    return None if np.isnan(values).any() else values
