"""Charts of counts and scores (notebooks 01 and 03). Every function returns a Figure; canvas.save writes it."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import setp
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fishlib.photos import composite, species
from fishlib.scores import evaluation
from fishlib.show.canvas import BESIDE, BLACK, BLUE, GREY, ORANGE, RED, SKY, styled, subplots


def short_name(folder: str, width: int = 24) -> str:
    """A species' name, cut to `width` letters."""
    label = species.label(folder)
    return label if len(label) <= width else f"{label[: width - 1]}…"


@styled()
def confusion(frame: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Counts of one variant's predictions, rows = true species; a cell's shade is its share of the row."""
    table = evaluation.confusion(frame)
    photos = table.sum(axis=1)
    share_of_row = table.div(photos.clip(1), axis=0)
    variants = frame["variant"].unique() if "variant" in frame else []
    title = ": ".join(["Confusion matrix (photos)", *(composite.LABELS.get(v, v) for v in variants)])

    side = max(4.5, 0.46 * len(table) + 2.2)
    fig, ax = subplots(title, facts, side + 0.8, side)
    sns.heatmap(
        share_of_row,
        ax=ax,
        vmin=0,
        vmax=1,
        cmap="Blues",
        cbar=False,
        square=True,
        linewidths=0.5,
        linecolor="#dddddd",
        annot=table.astype(str).where(table > 0, ""),
        fmt="",
        annot_kws={"size": 8},
        xticklabels=[short_name(name) for name in table],
        yticklabels=[f"{short_name(name)} ({photos[name]})" for name in table],
    )
    ax.set(xlabel="named as", ylabel="true species (photos)")
    ax.tick_params(labelsize=9, length=0)
    setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    return fig


@styled()
def counts(manifest: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Photos per species, stacked by status; the number beside a bar is what counts (status ok).

    Files without a species (they lie in no species' folder) are no bar; the axis says how many there are.
    """
    rows = manifest[manifest["species"] != ""]
    homeless = len(manifest) - len(rows)
    order = species.ordered(rows["species"].unique())

    fig, ax = subplots("Photos per species (number: usable ones)", facts, 7.5, 1.4 + 0.27 * len(order))
    colours = {"unreadable": GREY, "excluded": ORANGE, "ok": BLUE}
    sns.histplot(
        rows.assign(species=pd.Categorical(rows["species"], order)),
        y="species",
        hue="status",
        hue_order=[status for status in colours if status in {*rows["status"]}],
        palette=colours,
        ax=ax,
        multiple="stack",
        discrete=True,
        shrink=0.75,
        alpha=1,
        linewidth=0,
    )
    sns.move_legend(ax, **BESIDE)  # inside it would cover bars of equal length
    for place, name in enumerate(order):
        mine = rows[rows["species"] == name]
        usable = (mine["status"] == "ok").sum()
        ax.text(len(mine), place, f" {usable}", va="center", fontsize=8)
    ax.set_yticks(range(len(order)), [short_name(name) for name in order])
    left_out = f" ({homeless} more in no species' folder)" if homeless else ""
    ax.set(xlabel=f"photos{left_out}", ylabel="")
    return fig


@styled()
def recall_change(table2: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Recall per species on originals (ring) and after Crop & Mask (dot); table2: see tables.table2."""
    rows = table2.iloc[:-1]  # without the total
    before = pd.to_numeric(rows["original"], errors="coerce")
    after = pd.to_numeric(rows["crop_mask"], errors="coerce")
    colours = np.select([after > before, after < before], [BLUE, RED], GREY)
    places = np.arange(len(rows))

    fig, ax = subplots("Recall per species: original → Crop & Mask", facts, 7.5, 1.7 + 0.27 * len(rows))
    ax.hlines(places, before, after, colors=colours, lw=2)
    ax.scatter(before, places, s=42, facecolors="white", edgecolors=colours, linewidths=1.5, zorder=3)
    ax.scatter(after, places, s=28, c=colours, zorder=4)
    names = [f"{short_name(name)} ({n})" for name, n in zip(rows["species"], rows["n"], strict=True)]
    ax.set_yticks(places, names)
    ax.set(xlabel="recall (%)", ylabel="", xlim=(-3, 103), ylim=(len(rows) - 0.4, -0.6))
    ax.grid(axis="x", alpha=0.3)

    handles = [Line2D([], [], color=GREY, marker="o", mfc="white", ls="", label="original")]
    for label, colour in {"better": BLUE, "worse": RED, "same": GREY}.items():
        handles.append(Line2D([], [], color=colour, marker="o", label=label))
    ax.legend(handles=handles, **BESIDE)
    return fig


@styled()
def variants_bar(table: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Micro-F1 per background or number of dilations (tables 3, 4): 95 % Wilson interval, printed values."""
    word = {"background": "background colour", "n_dilations": "number of dilations"}[table.columns[0]]
    run = pd.to_numeric(table["micro_f1"], errors="coerce")
    printed = table["micro_f1_paper"].astype(float)
    places = np.arange(len(table))

    fig, ax = subplots(f"Crop & Mask: micro-F1 by {word} (line: 95 % interval)", facts, 7, 3.8)
    ax.bar(places, run.fillna(0), color=SKY, width=0.7, label="this run")
    for place, value, count, n in zip(places, run, table["micro_f1_count"], table["n"], strict=True):
        if pd.isna(value):
            ax.text(place, 2, "not run", ha="center", va="bottom", fontsize=8)
            continue
        ax.text(place, 2, f"{value:.1f}\n({count})", ha="center", va="bottom", fontsize=8)
        ax.vlines(place - 0.15, *evaluation.wilson(int(count), int(n)), color=BLACK, lw=1.2)
    ax.plot(places + 0.15, printed, "D", mfc="white", mec=RED, mew=1.5, label="paper (printed)")
    ax.set(xlabel=word, ylabel="micro-F1 (%)", ylim=(0, 100))
    ax.set_xticks(places, [str(value) for value in table.iloc[:, 0]])
    ax.legend(**BESIDE)
    return fig
