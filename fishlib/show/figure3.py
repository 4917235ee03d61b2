"""Figure 3 and what belongs to it: accuracy against K, every variant, and the draws in pairs.

transfer_frame: one row a draw; pretraining, variant, k, trial, micro_f1 (percent). facts: see figures.
"""

import itertools

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fishlib.photos import composite
from fishlib.show.figures import BESIDE, BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, _subplots, styled

PRETRAINING = {"none": ("None", RED), "imagenet": ("ImageNet", BLUE), "specimen": ("Specimens (drawn)", GREEN)}
LINES = {"original": ("--", "o"), "mask": (":", "s"), "crop": ("-.", "^"), "crop_mask": ("-", "D")}
VARIANTS = {"original": BLACK, "mask": ORANGE, "crop": SKY, "crop_mask": PURPLE}  # where panels tell pre-trainings
K_AXIS = "K (training photos per species)"


def _pretrainings(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """pretraining -> (label, colour), the paper's order first."""
    found, spare = {*frame["pretraining"]}, itertools.cycle((ORANGE, PURPLE, SKY, BLACK))
    others = {p: (p, next(spare)) for p in sorted(found - {*PRETRAINING})}
    return {p: look for p, look in PRETRAINING.items() if p in found} | others


def _curve(ax, rows: pd.DataFrame, variant: str, colour: str, label: str) -> None:
    """Mean micro-F1 over the draws against K, band = 1 SD."""
    by_k = rows[rows["variant"] == variant].groupby("k")["micro_f1"]
    mean, sd = by_k.mean(), by_k.std().fillna(0)
    look = dict(zip(("linestyle", "marker"), LINES[variant], strict=True)) | {"markersize": 5, "lw": 1.8}
    ax.plot(mean.index, mean, color=colour, label=label, **look)
    ax.fill_between(mean.index, mean - sd, mean + sd, color=colour, alpha=0.12, lw=0)


def _k_axis(axes, frame: pd.DataFrame, label: str) -> None:
    for ax in axes:
        ax.set(xlabel=K_AXIS if len(axes) == 1 else "K (photos per species)", xticks=sorted({*frame["k"]}))
        ax.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel(label)


@styled
def lines(transfer_frame: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Mean micro-F1 over the draws against K, band = 1 SD: the lines of the paper's figure 3.

    Colour = pre-training, dashed = original, dotted = Mask; where a run has neither, what it has.
    """
    draws, known = transfer_frame["trial"].nunique(), _pretrainings(transfer_frame)
    there = [v for v in LINES if v in {*transfer_frame["variant"]}]
    fig, ax = _subplots(f"Figure 3. K-shot transfer, mean of {draws} draws (band: ±1 SD)", facts, 8, 4.8)
    handles = [Line2D([], [], color=colour, lw=3, label=label) for label, colour in known.values()]
    handles = [Line2D([], [], ls="", label="pre-training"), *handles, Line2D([], [], ls="", label="\ninput")]
    for variant in [v for v in there if v in ("original", "mask")] or there:
        style, marker = LINES[variant]
        handles.append(Line2D([], [], color=BLACK, ls=style, marker=marker, ms=5, label=composite.LABELS[variant]))
        for name, (_, colour) in known.items():
            mine = transfer_frame["pretraining"] == name
            _curve(ax, transfer_frame[mine], variant, colour, f"{name} {variant}")
    _k_axis([ax], transfer_frame, "mean micro-F1 (%)")
    ax.legend(handles=handles, handlelength=3.2, **BESIDE)
    return fig


@styled
def panels(transfer_frame: pd.DataFrame, facts: dict | None = None) -> Figure:
    """The same for every variant, one panel a pre-training on a shared scale; colour and line = variant."""
    draws, known = transfer_frame["trial"].nunique(), _pretrainings(transfer_frame)
    title = f"Figure 3 for every input, a panel a pre-training: mean of {draws} draws (band: ±1 SD)"
    size = {"width": 2 + 3 * len(known), "height": 4.4, "ncols": len(known), "sharey": True, "squeeze": False}
    fig, [axes] = _subplots(title, facts, **size)
    for ax, (name, (label, _)) in zip(axes, known.items(), strict=True):
        ax.set_title(label, fontsize=10)
        rows = transfer_frame[transfer_frame["pretraining"] == name]
        for variant in [v for v in LINES if v in {*rows["variant"]}]:
            _curve(ax, rows, variant, VARIANTS[variant], composite.LABELS[variant])
    _k_axis(axes, transfer_frame, "mean micro-F1 (%)")
    handles = {text: line for ax in axes for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    axes[-1].legend(handles.values(), handles, title="input", handlelength=3.2, **BESIDE)
    return fig


@styled
def paired(transfer_frame: pd.DataFrame, differences: pd.DataFrame, facts: dict | None = None) -> Figure:
    """Each draw's variant minus its original in points (dots), their mean and its interval, one panel a variant.

    differences: pretraining, variant, k, mean, lo, hi (see sweep.run).
    """
    known, there = _pretrainings(transfer_frame), [v for v in LINES if v in {*differences["variant"]}]
    title = "Minus the original of the same draw (dots): mean, 95 % interval for the luck of draws and photos"
    size = {"width": 2.2 + 2.9 * max(2, len(there)), "height": 4.4, "ncols": max(1, len(there))}
    fig, [axes] = _subplots(title, facts, **size, sharey=True, squeeze=False)
    index = ["pretraining", "k", "trial"]
    wide = transfer_frame.pivot(index=index, columns="variant", values="micro_f1").reset_index()
    for ax, variant in zip(axes, there, strict=False):
        ax.set_title(composite.LABELS[variant], fontsize=10)
        ax.axhline(0, color=BLACK, lw=0.8)
        for place, (name, (label, colour)) in enumerate(known.items()):
            shift = 0.26 * (place - (len(known) - 1) / 2)
            draws = wide[wide["pretraining"] == name]
            ax.plot(
                draws["k"] + shift - 0.08, draws[variant] - draws["original"], "o", color=colour, alpha=0.3, ms=3, mew=0
            )
            mine = differences[(differences["pretraining"] == name) & (differences["variant"] == variant)]
            bars = [mine["mean"] - mine["lo"], mine["hi"] - mine["mean"]]
            look = {"fmt": "osD^vP"[place % 6], "color": colour, "ms": 5, "capsize": 2, "lw": 1.5, "mec": "white"}
            ax.errorbar(mine["k"] + shift, mine["mean"], bars, label=label, **look)
    _k_axis(axes, transfer_frame, "difference of micro-F1 (points)")
    if there:
        axes[-1].legend(title="pre-training", **BESIDE)
    return fig
