"""A run folder read as a stranger's: only what lies inside it, of the kind and size that the stages write.

What is damaged, too large or leads out of the folder is left out and named, one sentence each.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fishlib.errors import UserError
from fishlib.files import documents, paths
from fishlib.files.frames import read_frame

MAX_TEXT = 8 << 20  # bytes of a table's HTML
TEXT = None  # a column of names or sentences


class Numbers(NamedTuple):
    """What a column of numbers may hold: low <= value <= high, whole or not; empty where it says so."""

    low: float
    high: float
    whole: bool = False
    empty: bool = False


FLAG = Numbers(0, 1, whole=True)
SIDE = Numbers(0, 1_000_000, whole=True)  # pixels
COUNT = Numbers(0, 1e9, whole=True)
COLUMNS = {  # what the report reads of the stages' files
    "manifest.csv": {
        "photo_id": TEXT, "species": TEXT, "sha256": TEXT, "width": SIDE, "height": SIDE,
        "status": TEXT, "reason": TEXT,
    },
    "predictions.csv": {
        "photo_id": TEXT, "species": TEXT, "variant": TEXT, "status": TEXT, "predicted": TEXT,
        "confidence": Numbers(0, 1), "correct": FLAG, "counted": FLAG,
    },
    "scores.csv": {
        "photo_id": TEXT, "species": TEXT, "method": TEXT, "status": TEXT, "kind": TEXT,
        "iou": Numbers(0, 1, empty=True), "well_cut": Numbers(0, 1, whole=True, empty=True),
    },
    "tables/table1.csv": {"species": TEXT, "n": COUNT},
    "tables/table2.csv": {"species": TEXT, "n": COUNT},
    "tables/figure3.csv": {
        "pretraining": TEXT, "variant": TEXT, "k": COUNT, "trial": COUNT, "micro_f1": Numbers(0, 100),
    },
}  # fmt: skip


class Run:
    """The files of a run folder. `problems` collects a sentence for each that is left out."""

    def __init__(self, out: Path):
        self.out = out
        self.problems: list[str] = []

    def read(self, reader: Callable[[Path], Any], name: str, otherwise: Any = None) -> Any:
        """reader(path) of a file; `otherwise` where it is not there (yet), or, with a problem noted, cannot be read."""
        path = self.out / name
        if paths.file_inside(self.out, name) is None:
            if path.is_symlink() or path.exists():
                self.problems.append(f"{name} is a link that leads out of the run, or no file; it is left out.")
            return otherwise
        try:
            return reader(path)
        except Exception as error:  # whatever the readers of notebooks and pictures raise on a damaged file
            why = " ".join(str(error).replace(str(path), "it").split())[:200] or type(error).__name__
            self.problems.append(f"{name} cannot be read ({why}); what it holds is left out.")
            return otherwise

    def names(self, folder: str, pattern: str) -> list[str]:
        """The files of a folder that fit a pattern, sorted, as names below the run; [] without the folder."""
        try:
            found = sorted(paths.inside(self.out, folder).glob(pattern))
        except UserError as error:
            self.problems.append(f"{folder}/ is left out: {error}")
            return []
        return [path.relative_to(self.out).as_posix() for path in found]

    def each(self, reader: Callable[[Path], Any], folder: str, pattern: str) -> list:
        """What `read` gives of every such file, but for those that are left out."""
        parts = [self.read(reader, name) for name in self.names(folder, pattern)]
        return [part for part in parts if part is not None]

    def frame(self, name: str) -> pd.DataFrame:
        """A table of COLUMNS, checked; without rows where it is missing or damaged."""
        kinds = COLUMNS[name]
        return self.read(lambda path: checked(read_frame(path, kinds), kinds), name, pd.DataFrame(columns=list(kinds)))


def checked(frame: pd.DataFrame, kinds: dict[str, Numbers | None]) -> pd.DataFrame:
    """The frame with its columns of numbers as numbers. UserError, naming column and row, where one is none."""
    frame = frame.copy()
    for column, kind in kinds.items():
        if kind is TEXT:
            continue
        numbers = [_number(text, kind) for text in frame[column]]
        if None in numbers:
            place = numbers.index(None)
            raise UserError(f"row {place + 2} has {frame[column].iloc[place]!r:.40} as {column}")
        filled = kind.whole and not kind.empty
        frame[column] = pd.Series(numbers, frame.index, dtype=int if filled else float)
    return frame


def text(path: Path) -> str:
    """A short text in UTF-8. UserError where it is too long."""
    if path.stat().st_size > MAX_TEXT:
        raise UserError(f"it has more than {MAX_TEXT >> 20} MB")
    return path.read_text(encoding="utf-8")


def sentences(path: Path) -> list[str]:
    """A list of texts in JSON, as the stages keep their notes."""
    kept = documents.read_json(path)
    if not isinstance(kept, list) or not all(isinstance(line, str) for line in kept):
        raise UserError("it is no list of sentences")
    return kept


def _number(text: str, kind: Numbers) -> float | None:
    """The number, NaN for an empty cell that may be one, None where it is not of the kind."""
    if text == "":
        return math.nan if kind.empty else None
    try:
        value = float(text)
    except ValueError:
        return None
    fits = kind.low <= value <= kind.high and (value == int(value) or not kind.whole)
    return value if fits else None
