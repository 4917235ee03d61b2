"""What every figure of the study starts from: one style on every machine, axes with a title that says whose photos
these are, and files that are the same bytes twice.

facts (each optional, as in typeset.caption): drawn (bool), method, classifier; they stand under the title.
"""

import base64
import io
import textwrap
from pathlib import Path

import matplotlib_fontja  # noqa: F401  registers a Japanese font
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fishlib.files import writing
from fishlib.removal import segmenters

# Okabe and Ito's palette, told apart with any colour vision (jfly.uni-koeln.de/color)
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A"
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "frameon": False, "alignment": "left"}  # a legend
STYLE = {
    "font.family": ["IPAexGothic", "DejaVu Sans"],  # the second for glyphs the first lacks
    "text.parse_math": False,  # the name of a species may hold a $
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "fishlib",  # else every file has other ids
}
NAMELESS = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}  # metadata that is left out
DPI = 150  # of files; what a notebook shows has matplotlib's 100


def styled():
    """A context, or decorator: matplotlib's own defaults and STYLE inside, whatever a user's matplotlibrc says."""
    return style.context(["default", STYLE])


def subplots(title: str, facts: dict | None, width: float, height: float, mosaic=None, **grid):
    """A figure of width x height inches and its axes (those of Figure.subplots, or of subplot_mosaic by name).

    It is in no list of pyplot's and needs none of its backends; a notebook shows it once, as a PNG whose alternative
    text is the title with the facts.
    """
    fig = Figure(figsize=(width, height))
    axes = fig.subplots(**grid) if mosaic is None else fig.subplot_mosaic(mosaic, **grid)
    said = textwrap.wrap(" · ".join(_said(facts or {})), int(13 * width))
    text = "\n".join([title, *said])
    fig.suptitle(text, fontsize=11, x=0.01, ha="left")
    fig._repr_mimebundle_ = lambda **_: _shown(fig, text.replace("\n", ". "))
    return fig, axes


def chance(ax, species: int | None) -> list[Line2D]:
    """Draw what guessing among so many species gets right, in percent, with its name in a legend; the line in a list,
    empty where nobody knows how many species there are."""
    if not species:
        return []
    return [ax.axhline(100 / species, color=GREY, lw=1.4, ls=(0, (1, 2)), label=f"chance (1 of {species} species)")]


def save(fig: Figure, stem) -> list[Path]:
    """Write stem.svg and stem.png (150 dpi) atomically; the same figure gives the same bytes."""
    paths = [Path(f"{stem}.{kind}") for kind in NAMELESS]
    with styled():
        for path, metadata in zip(paths, NAMELESS.values(), strict=True):
            with writing.atomic(path) as temporary:
                fig.savefig(temporary, dpi=DPI, metadata=metadata)
    return paths


def _said(facts: dict) -> list[str]:
    said = []
    if facts.get("drawn"):
        said.append("DRAWN fish, no photos")
    if method := facts.get("method"):
        said.append(f"masks: {segmenters.LABELS.get(method, method)}")
    if classifier := facts.get("classifier"):
        said.append(f"classifier: {classifier}")
    return said


def _shown(fig: Figure, alternative: str) -> tuple[dict, dict]:
    """What IPython displays: data and metadata by MIME type."""
    picture = io.BytesIO()
    with styled():
        fig.savefig(picture, format="png", dpi="figure", bbox_inches="tight", metadata=NAMELESS["png"])
    data = base64.b64encode(picture.getvalue()).decode()
    return {"image/png": data}, {"image/png": {"alt": alternative}}
