"""The report's first page: each input's accuracy as one drawing, and the species named worst with the reason why.

The drawing is SVG in the page itself: sharp in print, its text can be searched, and it needs no script.
"""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from fishlib.beyond import inputs
from fishlib.photos.composite import LABELS
from fishlib.scores import published
from fishlib.show import worst

ROW, HEAD = 26, 34  # px: height of an input's row, and of a heading over them
LEFT, RIGHT = 130, 620  # px: where 0 % and 100 % lie
WIDTH = 800
TICKS = (0, 25, 50, 75, 100)
SHOWN_WORST = 5  # species in the table of the worst
SHOWN_PHOTOS = 3
TITLES = {  # way of asking -> heading over its inputs
    inputs.WITHOUT: "Without further training",
    inputs.FROM_SAME: "Half of the photos to learn from, shown as they are asked about: the fair question",
    inputs.FROM_ORIGINALS: "Half of the photos to learn from, as originals: Crop and Mask were never seen",
}


def picture(rows: pd.DataFrame) -> dict[str, Any] | None:
    """The drawing of inputs.COLUMNS as templates/picture.html draws it: groups of rows with their places in px; None
    without rows. The paper's printed values stand beside what asks its question, a model that learnt no input."""
    if rows.empty:
        return None
    printed = published.totals(2)
    groups, top = [], 0
    for way, mine in rows.groupby("way", sort=False):
        of_the_paper = printed if way in (inputs.WITHOUT, inputs.FROM_ORIGINALS) else {}
        group = {"title": TITLES.get(way, way[:1].upper() + way[1:]), "y": top + HEAD - 12, "n": int(mine["n"].max())}
        group["top"] = top + HEAD - 4
        top += HEAD
        group["rows"] = []
        for row in mine.to_dict("records"):
            group["rows"].append(_drawn(row, top, of_the_paper.get(row["variant"])))
            top += ROW
        group["bottom"] = top
        group["against"] = group["rows"][0]["x"]  # the originals, or the first input there is
        groups.append(group)
    ticks = [{"x": _x(value), "text": f"{value} %"} for value in TICKS]
    said = [f"{group['title']}: {', '.join(row['said'] for row in group['rows'])}" for group in groups]
    return {"groups": groups, "ticks": ticks, "height": top + 30, "width": WIDTH, "said": ". ".join(said)}


def _drawn(row: dict, top: int, paper: float | None) -> dict[str, Any]:
    has_interval = not math.isnan(row["lo"])
    text = f"{row['percent']:.1f} %"
    if has_interval:
        text += f" ({row['lo']:.0f} to {row['hi']:.0f})"
    label = LABELS[row["variant"]]
    return {
        "label": label,
        "y": top + ROW / 2,
        "x": _x(row["percent"]),
        "ends": (_x(row["lo"]), _x(row["hi"])) if has_interval else None,
        "text": text,
        "paper": None if paper is None else _x(paper),
        "said": f"{label} {text}" + ("" if paper is None else f", paper {paper:.1f} %"),
    }


def _x(percent: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * percent / 100, 1)


def worst_named(predictions: pd.DataFrame, scores: pd.DataFrame, method: str) -> dict[str, Any] | None:
    """The species named worst in any input; None where none was asked about.

    first: a worst.Worst with `said` and `why`; others: the next ones, with the same; apart: on which species the inputs
    part most. scores: of every method; whether a cut-out is good is told of `method`, whose masks were asked about.
    """
    if predictions.empty:
        return None
    mine = scores[scores["method"] == method].drop_duplicates("photo_id")
    missed = mine["status"] != "ok"
    well_cut = mine["well_cut"].astype(float).mask(missed, 0).set_axis(mine["photo_id"])
    found = worst.ranked(predictions, well_cut)
    failing = [one for one in found if one.recall < 100]
    if not failing:
        return None
    return {
        "first": failing[0],
        "rows": failing[:SHOWN_WORST],
        "apart": worst.apart(found),
        "said": worst.said,
        "why": worst.why,
    }


def shown_photos(one: worst.Worst, photos: dict[str, dict], at_hand: Callable[[dict], bool]) -> list[dict]:
    """The first photos of the species that are wrong in its worst input and can be shown."""
    there = [photos[photo_id] for photo_id in one.photos if photo_id in photos]
    return [photo for photo in there if at_hand(photo)][:SHOWN_PHOTOS]
