"""The photos as points: those that look alike to the network lie together. Coloured by species, answer or error.

Once as SVG, for the explorer, whose points can be clicked; once as a figure, its twin where no script runs.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fishlib.naming import plane
from fishlib.photos import species
from fishlib.photos.composite import BASIC, CROP_MASK, ORIGINAL
from fishlib.scores import evaluation
from fishlib.show import canvas, captions, cases, views
from fishlib.show.canvas import BESIDE, BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, styled, subplots
from fishlib.study import Study

WIDTH, HEIGHT, EDGE = 560, 400, 14  # px of the SVG; EDGE: kept free on all sides
SPECIES, ANSWER, ERROR = COLOURED_BY = ("species", "answer", "error")
NOT_ASKED = "not asked"


class Mark(NamedTuple):
    """How a point is drawn: a colour, a path round 0 (px) turned by degrees, and matplotlib's name of the shape."""

    colour: str
    path: str
    turned: int
    marker: str


PLUS = "M-1.5-4.8h3v3.3h3.3v3h-3.3v3.3h-3v-3.3h-3.3v-3h3.3z"
SHAPES = [  # path, turned by, matplotlib's marker
    ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", 0, "o"),
    ("M0-4.8L4.6 3.4H-4.6z", 0, "^"),
    ("M-3.6-3.6h7.2v7.2h-7.2z", 0, "s"),
    (PLUS, 45, "X"),
    ("M-3.6-3.6h7.2v7.2h-7.2z", 45, "D"),
    ("M0 4.8L4.6-3.4H-4.6z", 0, "v"),
    (PLUS, 0, "P"),
]
COLOURS = [BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY]
ERRORS = {  # what became of a photo -> its mark
    "right": Mark(BLUE, *SHAPES[0]),
    "wrong, well cut": Mark(RED, *SHAPES[3]),
    "wrong, badly cut": Mark(ORANGE, *SHAPES[1]),
    "wrong, cut-out not judged": Mark(PURPLE, *SHAPES[2]),
    NOT_ASKED: Mark(GREY, "M-2.2 0a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0-4.4 0", 0, "."),
}


def points(study: Study, rows: pd.DataFrame, variant: str = ORIGINAL.name) -> tuple[pd.DataFrame, str]:
    """(rows of cases.table that have a place, with x, y and error; what the two axes are, a sentence).

    The plane is the variant's own; of a background or a dilation, that of Crop & Mask. No rows, and why, where
    notebook 03 left none.
    """
    places = cases.frame(study, plane.FILE, *plane.COLUMNS)
    shown = variant if variant in BASIC else CROP_MASK.name
    mine = places[places["variant"] == shown]
    found = rows.merge(mine[["photo_id", "x", "y"]], "inner", "photo_id")
    for axis in ("x", "y"):
        found[axis] = pd.to_numeric(found[axis], errors="coerce").replace([np.inf, -np.inf], np.nan)
    found = found.dropna(subset=["x", "y"]).reset_index(drop=True)
    found["error"] = _errors(found)
    if found.empty:
        return found, "No map: notebook 03 has left no places of the photos."
    share = pd.to_numeric(mine["share"], errors="coerce").iloc[0]
    shows = "its two longest axes"
    if np.isfinite(share):
        shows += f", {100 * share:.0f} % of the spread"
    return found, f"{cases.label(shown)} as the network sees it: photos that look alike to it lie together ({shows})"


def _errors(rows: pd.DataFrame) -> pd.Series:
    """A key of ERRORS for each row."""
    judged = (rows["kind"] != "") | (rows["status"] != "ok")
    well_cut = rows["kind"].isin(evaluation.WELL_CUT)
    kinds = {
        NOT_ASKED: rows["correct"].isna(),
        "right": rows["correct"] == 1,
        "wrong, cut-out not judged": ~judged,
        "wrong, well cut": well_cut,
    }
    found = np.select([mask.to_numpy(bool) for mask in kinds.values()], list(kinds), "wrong, badly cut")
    return pd.Series(found, index=rows.index, dtype=object)


def marks(rows: pd.DataFrame, coloured_by: str, label: Callable[[str], str]) -> tuple[list[str], dict[str, Mark], dict]:
    """(each row's key, key -> mark in the legend's order, key -> name in the legend with how many).

    A species has one mark, whether it is what the photo shows or what it was called.
    """
    if coloured_by == ERROR:
        keys, of_key = rows["error"].tolist(), ERRORS
        names = {key: key for key in ERRORS}
    else:
        keys = (rows["species"] if coloured_by == SPECIES else rows["predicted"]).tolist()
        of_key = of_species({*rows["species"], *rows["predicted"]})
        names = {key: label(key) if key else NOT_ASKED for key in of_key}
    counts = pd.Series(keys, dtype=object).value_counts()
    shown = {key: mark for key, mark in of_key.items() if key in counts}
    return keys, shown, {key: f"{names[key]} ({counts[key]})" for key in shown}


def of_species(folders: set[str]) -> dict[str, Mark]:
    """Species -> its mark: every colour in a shape, then in the next one; "" (no answer) is grey and last."""
    found = {}
    for place, name in enumerate(species.ordered(folders - {""})):
        shape = SHAPES[place // len(COLOURS) % len(SHAPES)]
        found[name] = Mark(COLOURS[place % len(COLOURS)], *shape)
    return found | {"": ERRORS[NOT_ASKED]}


def svg(study: Study, rows: pd.DataFrame, said: str, coloured_by: str, lang: str) -> str:
    """HTML: the points of `points` as SVG, with a legend.

    A point's data-i is its place in `rows`; its title, what its photo's caption says.
    """
    keys, of_key, names = marks(rows, coloured_by, lambda name: species.label(name, lang))
    xs, ys = _across(rows["x"], WIDTH), HEIGHT - _across(rows["y"], HEIGHT)
    drawn = []
    for i, row in enumerate(rows.itertuples()):
        title = "\n".join([row.photo_id, *views.caption(row, lang)])
        point = {"x": round(float(xs[i]), 1), "y": round(float(ys[i]), 1), "title": title}
        drawn.append(point | {"mark": of_key[keys[i]]})
    legend = [{"mark": mark, "text": names[key]} for key, mark in of_key.items()]
    size = {"width": WIDTH, "height": HEIGHT}
    return views.html("map", study, points=drawn, legend=legend, said=said, coloured_by=coloured_by, **size)


def _across(values: pd.Series, side: int) -> np.ndarray:
    """Places within a side of the map, px from EDGE to side - EDGE; in the middle where all are the same."""
    low, high = values.min(), values.max()
    if not high > low:
        return np.full(len(values), side / 2)
    return EDGE + (values.to_numpy() - low) / (high - low) * (side - 2 * EDGE)


def publish(study: Study) -> Figure | None:
    """Draw the map of the originals as figures/map.png and .svg; None where no photo has a place."""
    rows, said = points(study, cases.table(study))
    if rows.empty:
        return None
    fig = figure(rows, said, captions.named_by(study))
    canvas.save(fig, study.out / "figures" / "map")
    return fig


@styled()
def figure(rows: pd.DataFrame, said: str, facts: dict | None = None) -> Figure:
    """Two panels of the same points: by species, and by what became of the photo. rows and said: of `points`."""
    fig, axes = subplots(f"Map of the photos. {said}", facts, 12, 4.6 + 0.06 * rows["species"].nunique(), ncols=2)
    for ax, coloured_by in zip(axes, (SPECIES, ERROR), strict=True):
        keys, of_key, names = marks(rows, coloured_by, species.label)
        handles = []
        for key, mark in of_key.items():
            mine = rows[np.array([own == key for own in keys])]
            look = {"marker": mark.marker, "color": mark.colour, "mec": BLACK, "mew": 0.4, "ms": 5.5, "ls": ""}
            ax.plot(mine["x"], mine["y"], alpha=0.85, **look)
            handles.append(Line2D([], [], label=names[key], **look))
        title = "species (photos)" if coloured_by == SPECIES else "named (photos)"
        ax.legend(handles=handles, title=title, fontsize=8, **BESIDE)
        ax.set(xlabel="first component", ylabel="second component")
    return fig
