"""Figure 3 and what belongs to it: accuracy against K, every variant, and the draws in pairs.

transfer_frame: one row a draw; pretraining, variant, k, trial, micro_f1 (percent). facts: see canvas.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fishlib.photos import composite
from fishlib.show import palette
from fishlib.show.canvas import BESIDE, BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, chance, styled, subplots

PRETRAINING = {"none": ("None", RED), "imagenet": ("ImageNet", BLUE), "specimen": ("Specimens (drawn)", GREEN)}
LINES = {"original": ("--", "o"), "mask": (":", "s"), "crop": ("-.", "^"), "crop_mask": ("-", "D")}
VARIANTS = {"original": BLACK, "mask": ORANGE, "crop": SKY, "crop_mask": PURPLE}  # where panels tell pre-trainings
PANELS_A_ROW = 4
IN_THE_PAPER = ("original", "mask")  # its figure 3 has these two lines a pre-training


@styled()
def lines(transfer_frame: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Mean micro-F1 over the draws against K, band = 1 SD: the lines of the paper's figure 3.

    Colour = pre-training, dashed = original, dotted = Mask; where a run has neither, what it has.
    """
    draws = transfer_frame["trial"].nunique()
    looks = _pretrainings(transfer_frame)
    there = _variants(transfer_frame)
    shown = [variant for variant in there if variant in IN_THE_PAPER] or there

    fig, ax = subplots(f"Figure 3. K-shot transfer, mean of {draws} draws (band: ±1 SD)", facts, 8, 4.8)
    for variant in shown:
        for name, (_, colour) in looks.items():
            mine = transfer_frame[transfer_frame["pretraining"] == name]
            _curve(ax, mine, variant, colour, f"{name} {variant}")
    guessed = chance(ax, species_in(transfer_frame))
    _k_axis([ax], transfer_frame, "mean micro-F1 (%)")

    handles = [Line2D([], [], ls="", label="pre-training")]
    handles += [Line2D([], [], color=colour, lw=3, label=label) for label, colour in looks.values()]
    handles += [Line2D([], [], ls="", label="\ninput")]
    for variant in shown:
        line, marker = LINES[variant]
        handles.append(Line2D([], [], color=BLACK, ls=line, marker=marker, ms=5, label=composite.LABELS[variant]))
    handles += guessed
    ax.legend(handles=handles, handlelength=3.2, **BESIDE)
    return fig


@styled()
def panels(transfer_frame: pd.DataFrame, facts: dict | None = None) -> Figure:
    """The same for every variant, one panel a pre-training on a shared scale; colour and line = variant."""
    draws = transfer_frame["trial"].nunique()
    looks = _pretrainings(transfer_frame)
    title = f"Figure 3 for every input, a panel a pre-training: mean of {draws} draws (band: ±1 SD)"
    columns = min(len(looks), PANELS_A_ROW)
    rows = -(-len(looks) // columns)
    grid = {"nrows": rows, "ncols": columns, "sharey": True, "squeeze": False}
    fig, places = subplots(title, facts, 2 + 3 * columns, 0.8 + 3.6 * rows, **grid)
    axes = places.flat[: len(looks)]
    for ax in places.flat[len(looks) :]:
        ax.remove()
    for ax, (name, (label, _)) in zip(axes, looks.items(), strict=True):
        ax.set_title(label, fontsize=10)
        mine = transfer_frame[transfer_frame["pretraining"] == name]
        for variant in _variants(mine):
            _curve(ax, mine, variant, VARIANTS[variant], composite.LABELS[variant])
        chance(ax, species_in(transfer_frame))
    _k_axis(axes, transfer_frame, "mean micro-F1 (%)")
    for first in places[1:, 0]:
        first.set_ylabel(places[0, 0].get_ylabel())

    handles = {}
    for ax in axes:
        curves, labels = ax.get_legend_handles_labels()
        handles.update(zip(labels, curves, strict=True))
    places[0, -1].legend(handles.values(), handles, title="input", handlelength=3.2, **BESIDE)
    return fig


@styled()
def paired(transfer_frame: pd.DataFrame, differences: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Each draw's variant minus its original in points (dots), their mean and its interval, one panel a variant.

    differences: pretraining, variant, k, mean, lo, hi (see sweep.run).
    """
    looks = _pretrainings(transfer_frame)
    there = _variants(differences)
    title = "Minus the original of the same draw (dots): mean, 95 % interval for the luck of draws and photos"
    grid = {"ncols": max(1, len(there)), "sharey": True, "squeeze": False}
    fig, [axes] = subplots(title, facts, 2.2 + 2.9 * max(2, len(there)), 4.4, **grid)

    by_draw = transfer_frame.pivot(index=["pretraining", "k", "trial"], columns="variant", values="micro_f1")
    by_draw = by_draw.reset_index()
    for ax, variant in zip(axes, there, strict=False):
        ax.set_title(composite.LABELS[variant], fontsize=10)
        ax.axhline(0, color=BLACK, lw=0.8)
        for place, (name, (label, colour)) in enumerate(looks.items()):
            shift = 0.26 * (place - (len(looks) - 1) / 2)  # side by side at every K
            draws = by_draw[by_draw["pretraining"] == name]
            gain = draws[variant] - draws["original"]
            ax.plot(draws["k"] + shift - 0.08, gain, "o", color=colour, alpha=0.3, ms=3, mew=0)

            mine = differences[(differences["pretraining"] == name) & (differences["variant"] == variant)]
            bars = [mine["mean"] - mine["lo"], mine["hi"] - mine["mean"]]
            look = {"fmt": "osD^vP"[place % 6], "color": colour, "ms": 5, "capsize": 2, "lw": 1.5, "mec": "white"}
            ax.errorbar(mine["k"] + shift, mine["mean"], bars, label=label, **look)
    _k_axis(axes, transfer_frame, "difference of micro-F1 (points)")
    if there:
        axes[-1].legend(title="pre-training", **BESIDE)
    return fig


def species_in(frame: pd.DataFrame) -> int | None:
    """How many species a head tells apart; None where one K alone cannot tell.

    Each K takes K photos of every species away from those that are judged (n_test).
    """
    if "n_test" not in frame or frame["k"].nunique() < 2:
        return None
    judged = frame.groupby("k")["n_test"].max().sort_index()
    first, second = judged.index[:2]
    return round((judged[first] - judged[second]) / (second - first)) or None


def _variants(frame: pd.DataFrame) -> list[str]:
    """The variants a frame has, in the order of LINES."""
    there = {*frame["variant"]}
    return [variant for variant in LINES if variant in there]


def _pretrainings(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """pretraining -> (label, colour), the paper's first, then in the frame's order."""
    there = list(dict.fromkeys(frame["pretraining"]))
    looks = {name: look for name, look in PRETRAINING.items() if name in there}
    others = [name for name in there if name not in PRETRAINING]
    spare = [ORANGE, PURPLE, SKY, BLACK]
    if len(others) > len(spare):
        spare += palette.more([RED, BLUE, GREEN, *spare], len(others) - len(spare))
    return looks | {name: (name, colour) for name, colour in zip(others, spare, strict=False)}


def _curve(ax, rows: pd.DataFrame, variant: str, colour: str, label: str) -> None:
    """Mean micro-F1 over the draws against K, band = 1 SD."""
    by_k = rows[rows["variant"] == variant].groupby("k")["micro_f1"]
    mean, sd = by_k.mean(), by_k.std().fillna(0)
    line, marker = LINES[variant]
    ax.plot(mean.index, mean, color=colour, label=label, linestyle=line, marker=marker, markersize=5, lw=1.8)
    ax.fill_between(mean.index, mean - sd, mean + sd, color=colour, alpha=0.12, lw=0)


def _k_axis(axes, frame: pd.DataFrame, label: str) -> None:
    name = "K (training photos per species)" if len(axes) == 1 else "K (photos per species)"
    for ax in axes:
        ax.set(xlabel=name, xticks=sorted({*frame["k"]}))
        ax.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel(label)
