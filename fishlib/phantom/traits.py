"""The trait table: what each drawn species looks like, in numbers and words one can measure on a fish."""

import csv
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("traits.csv")


def load() -> dict[str, dict]:
    """Folder name -> traits: the paper's 17 species in the paper's order, then the invented ones.

    Lengths are shares of the fork length (snout tip to tail fork), except `snout`, `jaw` and `eye` (shares of
    the head). `a:b` is a range, drawn anew for each fish (whole numbers if both ends are), a tuple.
    `x_small` is `x` in a young fish. A pattern is `kind key=value ...` (see `patterns`), several joined by
    `;`, and comes as a list of (kind, settings). Colours are float triples in 0..1. `source` says where a row
    is from: the 17 follow FAO catalogue texts and what was found beside them, all others are invented.
    """
    return {name: dict(row) for name, row in _rows().items()}


@cache
def _rows() -> dict[str, dict]:
    with TABLE.open(encoding="utf-8", newline="") as handle:
        rows = {row.pop("folder"): row for row in csv.DictReader(handle)}
    return {name: {k: _value(k, v) for k, v in row.items()} for name, row in rows.items()}


def _value(key: str, text: str):
    if key.endswith("_pattern"):
        parts = [part.split() for part in text.split(";") if part.strip()]
        return [(kind, {k: _value(k, v) for k, v in (s.split("=") for s in given)}) for kind, *given in parts]
    if text.startswith("#"):
        return tuple(int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
    try:
        numbers = [float(part) if "." in part else int(part) for part in text.split(":")]
    except ValueError:
        return text or None  # a word, such as the form of a fin
    return tuple(numbers) if len(numbers) == 2 else float(numbers[0])
