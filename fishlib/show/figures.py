"""The study's pictures. Every function returns a matplotlib Figure that no window holds; `save` writes it.

facts (each optional, as in tables.caption): drawn (bool), method, classifier; they stand under the title.
"""

import functools
import itertools
import math
import textwrap
from pathlib import Path

import matplotlib as mpl
import matplotlib_fontja  # noqa: F401  registers a Japanese font and makes it the default
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fishlib.files import writing
from fishlib.photos import composite, species
from fishlib.removal import segmenters
from fishlib.scores import evaluation

# Okabe and Ito's palette, told apart with any colour vision (jfly.uni-koeln.de/color)
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A"
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "frameon": False, "alignment": "left"}
styled = mpl.rc_context(
    {
        "font.family": ["IPAexGothic", "DejaVu Sans"],  # the second for glyphs the first lacks
        "text.parse_math": False,  # the name of a species may hold a $
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
    }
)


def save(fig: Figure, stem) -> list[Path]:
    """Write stem.svg and stem.png (150 dpi) atomically; the same figure gives the same bytes."""
    kinds = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    with mpl.rc_context({"svg.hashsalt": "fishlib"}):
        for kind, metadata in kinds.items():
            with writing.atomic(f"{stem}.{kind}") as temporary:
                fig.savefig(temporary, dpi=150, metadata=metadata)
    return [Path(f"{stem}.{kind}") for kind in kinds]


def _subplots(title: str, facts: dict | None, width: float, height: float, mosaic=None, **grid):
    """A figure outside pyplot's list (a notebook then shows it once) and its axes; facts under the title."""
    make = plt.subplots if mosaic is None else functools.partial(plt.subplot_mosaic, mosaic)
    fig, axes = make(figsize=(width, height), **grid)
    plt.close(fig)
    facts = facts or {}
    said = ["DRAWN fish, no photos"] if facts.get("drawn") else []
    said += [f"masks: {segmenters.LABELS.get(m, m)}" for m in [facts.get("method")] if m]
    said += [f"classifier: {c}" for c in [facts.get("classifier")] if c]
    text = "\n".join([title, *textwrap.wrap(" · ".join(said), int(13 * width))])
    fig.suptitle(text, fontsize=11, x=0.01, ha="left")
    # what a notebook shows has its title as alternative text, there and on the report's pages
    fig._repr_mimebundle_ = lambda **_: ({}, {"image/png": {"alt": text.replace("\n", ". ")}})
    return fig, axes


def _name(folder: str, width: int = 24) -> str:
    label = species.label(folder)
    return label if len(label) <= width else f"{label[: width - 1]}…"


@styled
def confusion(frame: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Counts of one variant's predictions, rows = true species; a cell's shade is its share of the row."""
    table = evaluation.confusion(frame)
    n, side = table.sum(axis=1), max(4.5, 0.46 * len(table) + 2.2)
    variants = [composite.LABELS.get(v, v) for v in frame.get("variant", pd.Series(dtype=str)).unique()]
    fig, ax = _subplots(": ".join(["Confusion matrix (photos)", *variants]), facts, side + 0.8, side)
    names = {"xticklabels": [_name(s) for s in table], "yticklabels": [f"{_name(s)} ({n[s]})" for s in table]}
    text = {"annot": table.astype(str).where(table > 0, ""), "fmt": "", "annot_kws": {"size": 8}}
    look = {"cmap": "Blues", "vmin": 0, "vmax": 1, "square": True, "cbar": False, "linewidths": 0.5}
    sns.heatmap(table.div(n.clip(1), axis=0), ax=ax, linecolor="#dddddd", **names, **text, **look)
    ax.set(xlabel="named as", ylabel="true species (photos)")
    ax.tick_params(labelsize=9, length=0)
    plt.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    return fig


@styled
def counts(manifest: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Photos per species, stacked by status; the number beside a bar is what counts (status ok)."""
    order = species.ordered(manifest["species"].unique())
    fig, ax = _subplots("Photos per species (number: usable ones)", facts, 7.5, 1.4 + 0.27 * len(order))
    colours = {"unreadable": GREY, "excluded": ORANGE, "ok": BLUE}
    rows = manifest.assign(species=pd.Categorical(manifest["species"], order))
    look = {"multiple": "stack", "discrete": True, "shrink": 0.75, "alpha": 1, "linewidth": 0}
    shown = [s for s in colours if s in {*manifest["status"]}]
    sns.histplot(rows, y="species", hue="status", hue_order=shown, palette=colours, ax=ax, **look)
    sns.move_legend(ax, **BESIDE)  # inside it would cover bars of equal length
    for place, name in enumerate(order):
        mine = manifest[manifest["species"] == name]
        ax.text(len(mine), place, f" {(mine['status'] == 'ok').sum()}", va="center", fontsize=8)
    ax.set_yticks(range(len(order)), [_name(s) for s in order])
    ax.set(xlabel="photos", ylabel="")
    return fig


@styled
def recall_change(table2: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Recall per species on originals (ring) and after Crop & Mask (dot); table2: see tables.table2."""
    rows, names = table2.iloc[:-1], {"better": BLUE, "worse": RED, "same": GREY}
    before, after = (pd.to_numeric(rows[c], errors="coerce") for c in ("original", "crop_mask"))
    fig, ax = _subplots("Recall per species: original → Crop & Mask", facts, 7.5, 1.7 + 0.27 * len(rows))
    places, colours = np.arange(len(rows)), np.select([after > before, after < before], [BLUE, RED], GREY)
    ax.hlines(places, before, after, colors=colours, lw=2)
    ax.scatter(before, places, s=42, facecolors="white", edgecolors=colours, linewidths=1.5, zorder=3)
    ax.scatter(after, places, s=28, c=colours, zorder=4)
    ax.set_yticks(places, [f"{_name(s)} ({n})" for s, n in zip(rows["species"], rows["n"], strict=True)])
    ax.set(xlabel="recall (%)", ylabel="", xlim=(-3, 103), ylim=(len(rows) - 0.4, -0.6))
    ax.grid(axis="x", alpha=0.3)
    handles = [Line2D([], [], color=GREY, marker="o", mfc="white", ls="", label="original")]
    handles += [Line2D([], [], color=colour, marker="o", label=name) for name, colour in names.items()]
    ax.legend(handles=handles, **BESIDE)
    return fig


@styled
def variants_bar(table: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Micro-F1 per background or number of dilations (tables 3, 4): 95 % Wilson interval, printed values."""
    word = {"background": "background colour", "n_dilations": "number of dilations"}[table.columns[0]]
    fig, ax = _subplots(f"Crop & Mask: micro-F1 by {word} (line: 95 % interval)", facts, 7, 3.8)
    run, places = pd.to_numeric(table["micro_f1"], errors="coerce"), np.arange(len(table))
    ax.bar(places, run.fillna(0), color=SKY, width=0.7, label="this run")
    for x, value, count, n in zip(places, run, table["micro_f1_count"], table["n"], strict=True):
        text = "not run" if pd.isna(value) else f"{value:.1f}\n({count})"
        ax.text(x, 2, text, ha="center", va="bottom", fontsize=8)
        if pd.notna(value):
            ax.vlines(x - 0.15, *evaluation.wilson(int(count), int(n)), color=BLACK, lw=1.2)
    printed = table["micro_f1_paper"].astype(float)
    ax.plot(places + 0.15, printed, "D", mfc="white", mec=RED, mew=1.5, label="paper (printed)")
    ax.set(xlabel=word, ylabel="micro-F1 (%)", ylim=(0, 100))
    ax.set_xticks(places, [str(v) for v in table.iloc[:, 0]])
    ax.legend(**BESIDE)
    return fig


def outline(ax, mask: np.ndarray | None, colour: str, style: str = "-") -> None:
    """Draw the outline of bool (H, W) over a picture of that size; nothing for a mask without one."""
    if mask is not None and mask.any() and not mask.all():
        ax.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.5, linestyles=style)


def sheet(images, captions, title: str, facts: dict | None):
    """A figure with one picture an axes, its caption above; returns it with the axes."""
    columns = max(1, min(6, math.ceil(math.sqrt(1.4 * len(images)))))
    rows = max(1, math.ceil(len(images) / columns))
    size = {"width": 2.1 * columns + 0.2, "height": 2 * rows + 0.7, "nrows": rows, "ncols": columns}
    fig, axes = _subplots(title, facts, squeeze=False, **size)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, text in zip(axes.flat, images, captions, strict=False):
        parts = (text.replace("/", "/\n") if len(text) > 28 else text).splitlines()
        ax.imshow(image)
        ax.set_title("\n".join(line for part in parts for line in textwrap.wrap(part, 28)), fontsize=8)
    return fig, axes.flat


@styled
def species_sheet(photos: list, labels: list[str], title: str, facts: dict | None = None) -> Figure:
    """A sheet of photos, uint8 (H, W, 3), each under its label."""
    return sheet(photos, labels, title, facts)[0]


@styled
def failure_grid(items: list[dict], facts: dict | None = None, title: str = "Failed cut-outs") -> Figure:
    """Photos with the outline found. items: photo (H, W, 3), mask bool (H, W) or None, label, kind, iou."""
    texts = [f"{i['label']}\n{i['kind']}, IoU {i['iou']:.2f}" for i in items]
    fig, axes = sheet([i["photo"] for i in items], texts, title, facts)
    for ax, item in zip(axes, items, strict=False):
        outline(ax, item["mask"], RED)
    return fig


@styled
def pipeline(photo, box, candidates, mask, variants: dict, top5: list, facts: dict | None = None) -> Figure:
    """The steps on one photo, left to right, after the paper's figure 2; every panel is a real result.

    photo: uint8 (H, W, 3); box: XYXY or None; candidates: the bool masks (H, W) to choose from, may be none;
    mask: the adjusted one or None; variants: label -> uint8 (224, 224, 3) as the classifier sees it; top5:
    [[species, confidence 0..1], ...] of the last variant.
    """
    steps = ["photo and box", *["candidate masks"] * bool(len(candidates)), "adjusted mask"]
    last, ratios = list(variants)[-1], [*[3] * len(steps), 1.8, 2.2]
    size = {"width": sum(ratios) + 1.5, "height": 5, "width_ratios": ratios}
    mosaic = [[*steps, label, "classifier"] for label in variants]
    fig, axes = _subplots("From the photo to the name", facts, mosaic=mosaic, **size)
    fig.get_layout_engine().set(wspace=0.1)
    for name in [*steps, *variants]:
        axes[name].axis("off")
        axes[name].set_title(name if name in steps else f"{name}, {variants[name].shape[0]} px", fontsize=9)
        axes[name].imshow(variants.get(name, photo))
    if box is not None:
        x0, y0, x1, y1 = box
        axes[steps[0]].plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=ORANGE, lw=2)
    for colour, candidate in zip(itertools.cycle((RED, SKY, GREEN, PURPLE)), candidates, strict=False):
        outline(axes[steps[1]], candidate, colour)
    axes[steps[-1]].imshow(np.zeros(photo.shape[:2]) if mask is None else mask, cmap="gray", vmin=0, vmax=1)
    arrow = {"arrowstyle": "-|>", "lw": 2, "shrinkA": 0, "shrinkB": 0}
    for name in [*steps, last]:
        tip = (1.075 if name in steps else 1.12, 0.5)
        axes[name].annotate("", tip, (1.01, 0.5), "axes fraction", arrowprops=arrow)
    ax = axes["classifier"]
    ax.barh(range(len(top5)), [100 * share for _, share in top5], color=BLUE, height=0.6)
    ax.set_yticks([])
    for place, (name, share) in enumerate(top5):
        ax.text(1, place - 0.42, f"{_name(name)} {100 * share:.0f} %", fontsize=8)
    ax.set(xlim=(0, 100), ylim=(len(top5) - 0.5, -0.7), xlabel="confidence (%)")
    ax.tick_params(length=0, labelsize=8)
    ax.set_title(f"classifier, {last}", fontsize=9)
    return fig
