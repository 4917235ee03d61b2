"""What notebook 05 shows of backgrounds (see beyond.reliance) and of masks inside the network (see beyond.fusions)."""

import math
import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fishlib.beyond import fusions, inside, pictures, reliance, words
from fishlib.beyond.reliance import GAP, MASKED_OUTPUTS, Reliance
from fishlib.photos import species
from fishlib.show.canvas import BESIDE, BLACK, BLUE, GREEN, GREY, ORANGE, styled, subplots

WHO = {  # who names: how a head is called by what it learnt from, its colour and marker
    "original": ("head on originals", BLUE, "o"),
    "mask": ("head on Mask", ORANGE, "s"),
    "mixed_rand": ("head on Mixed-Rand", GREEN, "^"),
    MASKED_OUTPUTS: ("classifier, masked outputs", BLACK, "D"),
}
KINDS = {  # of inputs in the ranking: colour and marker
    "one input": (BLACK, "o"),
    "pooled under the mask": (BLUE, "D"),
    "two inputs fused": (ORANGE, "s"),
}
BACKGROUND_TELLS, FISH_OUTLINE = "background", "silhouette"


def gaps_said(found: Reliance) -> str:
    """BG-Gap of everybody who was asked, as Markdown: a line each, and what the fill tells by itself."""
    lines = []
    for row in _all(found.gap).to_dict("records"):
        who, _, _ = WHO[row["learnt_from"]]
        gap = f"{words.points(row['gap'])} points, {_range(row)}"
        lines.append(f"{words.capital(who)}: BG-Gap {gap}. {reliance.meaning(row)}")
    if not lines:
        lines.append("BG-Gap needs photos with a donor of their own species and of another; there are none.")
    return "\n".join(f"- {line}" for line in lines)


def controls_said(found: Reliance) -> str:
    """What a head can name by the outline alone and by the filled background alone, against chance."""
    told = _all(found.controls).set_index("asked")
    lines = []
    for name, what in ((FISH_OUTLINE, "the outline alone"), (BACKGROUND_TELLS, "the filled background alone")):
        row = told.loc[name]
        lines.append(f"{what} {row['percent']:.1f} % ({_range(row)})")
    said = "A head that learns from it and is asked about it names right"
    return f"{said}: {'; '.join(lines)}; chance {chance(found):.1f} %."


def gaps(found: Reliance) -> pd.DataFrame:
    """BG-Gap of all species and of each, a column for everybody who was asked: points and the 95 % interval."""
    columns = {}
    for learnt_from, rows in found.gap.groupby("learnt_from", sort=False):
        who, _, _ = WHO[learnt_from]
        cells = [f"{words.points(row['gap'])} ({_ends(row)})" for row in rows.to_dict("records")]
        columns[who] = pd.Series(cells, index=rows["species"])
    table = pd.DataFrame(columns)
    photos = found.gap.drop_duplicates("species").set_index("species")["n"]
    table.insert(0, "photos", photos.reindex(table.index))
    table.index = [species.label(name) if name else "all" for name in table.index]
    return table.rename_axis("species").reset_index()


def chance(found: Reliance) -> float:
    """Percent right of somebody who guesses: one of the species that heads know."""
    return 100 / max(1, found.right.loc[found.right["species"] != "", "species"].nunique())


@styled()
def backgrounds(found: Reliance, facts: dict | None = None) -> Figure:
    """Left: percent right of each picture, a marker for everybody who names; right: BG-Gap of each."""
    rows = _all(found.right)
    n = int(rows["n"].max())
    title = f"What names the fish, fish or background: {n} photos no head learnt from"
    fig, axes = subplots(title, facts, 12, 5.4, mosaic=[["right", "gap"]], width_ratios=[1.7, 1])
    asked = list(dict.fromkeys(rows["asked"]))
    who = list(dict.fromkeys(rows["learnt_from"]))
    offsets = dict(zip(who, np.linspace(-0.27, 0.27, len(who)), strict=True))
    for learnt_from, mine in rows.groupby("learnt_from", sort=False):
        label, colour, marker = WHO[learnt_from]
        heights = [asked.index(name) + offsets[learnt_from] for name in mine["asked"]]
        _dots(axes["right"], mine, "percent", heights, colour, marker, label)
    _chance_line(axes["right"], chance(found))
    _named_rows(axes["right"], [pictures.label(name) for name in asked])
    axes["right"].set(xlabel="right (%; bar: 95 % interval)", xlim=(-2, 102), title="asked about")

    gap = _all(found.gap) if len(found.gap) else pd.DataFrame(columns=GAP)
    for height, row in enumerate(gap.to_dict("records")):
        _, colour, marker = WHO[row["learnt_from"]]
        _dots(axes["gap"], pd.DataFrame([row]), "gap", [height], colour, marker)
    axes["gap"].axvline(0, color=GREY, lw=1)
    _named_rows(axes["gap"], [WHO[name][0] for name in gap["learnt_from"]])
    axes["gap"].set(xlabel="BG-Gap (points; bar: 95 % interval)", title="Mixed-Same minus Mixed-Rand")
    handles, labels = axes["right"].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False)
    return fig


@styled()
def controls(found: Reliance, facts: dict | None = None) -> Figure:
    """Percent right where a head learnt from the very picture that it is asked about: fills, another's outline, the
    outline alone, the background alone."""
    rows = _all(found.controls)
    n = int(rows["n"].max())
    fig, ax = subplots(f"Learnt from and asked about the same picture: {n} photos", facts, 12, 4.4)
    _dots(ax, rows, "percent", list(range(len(rows))), BLUE, "o", "head on this picture")
    _chance_line(ax, chance(found))
    _named_rows(ax, [pictures.label(name) for name in rows["asked"]])
    ax.set(xlabel="right (%; bar: 95 % interval)", xlim=(-2, 102))
    ax.legend(**BESIDE)
    return fig


def ranking(frame: pd.DataFrame, k: int | None = None) -> pd.DataFrame:
    """Every input of one K (None: the largest), the best first. frame: fusions.RANKED."""
    rows = []
    for row in fusions.of_one_k(frame, k).to_dict("records"):
        rows.append(
            {
                "input": fusions.label(row["input"]),
                "right %": f"{row['percent']:.1f} ({row['lo']:.1f} to {row['hi']:.1f})",
                "minus the best single input, points": _against(row),
                "p (Holm)": "" if math.isnan(row["p_holm"]) else f"{row['p_holm']:.3f}",
                "told from the best?": "no" if row["best"] else "yes, worse",
            }
        )
    return pd.DataFrame(rows)


@styled()
def ranked(frame: pd.DataFrame, facts: dict | None = None) -> Figure:
    """All inputs of the smallest and of the largest K, the best of the latter at the top. frame: fusions.RANKED."""
    ks = sorted({int(frame["k"].min()), int(frame["k"].max())})
    title = "One input, one pooled under the mask, or two fused"
    fig, axes = subplots(title, facts, 12, 5.2, ncols=len(ks), squeeze=False, sharey=True)
    order = fusions.of_one_k(frame)["input"].tolist()
    for ax, k in zip(axes[0], ks, strict=True):
        rows = fusions.of_one_k(frame, k)
        for kind, (colour, marker) in KINDS.items():
            mine = rows[rows["input"].map(_kind) == kind]
            heights = [order.index(name) for name in mine["input"]]
            _dots(ax, mine, "percent", heights, colour, marker, kind)
        _chance_line(ax, frame["chance"].iloc[0])
        ax.set(title=f"K = {k}", xlabel="mean micro-F1 (%; bar: 95 % interval)", xlim=(0, 102))
        ax.grid(axis="x", alpha=0.3)
    _named_rows(axes[0][0], [textwrap.fill(fusions.label(name), 40) for name in order])
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False)
    return fig


def _kind(name: str) -> str:
    if fusions.is_single(name):
        return "one input"
    pooled = name.endswith((inside.INSIDE, inside.PLAIN))
    return "pooled under the mask" if pooled else "two inputs fused"


def _all(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that are about all species together."""
    return frame[frame["species"] == ""]


def _dots(ax, rows: pd.DataFrame, value: str, heights: list[float], colour: str, marker: str, label: str = "") -> None:
    """Values with their intervals, each at its height."""
    if rows.empty:
        return
    low = (rows[value] - rows["lo"]).clip(lower=0).fillna(0)  # rounding may turn a sign
    high = (rows["hi"] - rows[value]).clip(lower=0).fillna(0)
    ax.errorbar(
        rows[value], heights, xerr=[low, high], fmt=marker, color=colour, ms=5, lw=1.2, capsize=2, label=label or None
    )


def _chance_line(ax, percent: float) -> None:
    ax.axvline(percent, color=GREY, lw=1.2, ls="--", label=f"chance ({percent:.1f} %)")


def _named_rows(ax, labels: list[str]) -> None:
    """Names at the left, the first at the top."""
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)


def _against(row: dict) -> str:
    if math.isnan(row["difference"]):
        return "the best single input"
    return fusions.against(row)


def _range(row) -> str:
    return words.interval(row["lo"], row["hi"])


def _ends(row: dict) -> str:
    return "no interval" if math.isnan(row["lo"]) else _range(row).removeprefix("95 % interval ")
