"""What notebook 05 shows of how sure a name is (see beyond.sureness): tables that people read, and figures."""

import math

import pandas as pd
from matplotlib.figure import Figure

from fishlib.beyond import calibration, coverage, unknown
from fishlib.beyond.kshots import FIXED, Shots
from fishlib.beyond.sureness import EXAMPLE, JUDGED, Sure
from fishlib.naming.heads import ADAM, SIMPLE_SHOT
from fishlib.photos.composite import LABELS
from fishlib.show.canvas import BESIDE, BLACK, BLUE, GREY, ORANGE, chance, styled, subplots
from fishlib.show.figure3 import VARIANTS, species_in
from fishlib.show.luck import NOTHING

HEADS = {ADAM: ("--", "o"), SIMPLE_SHOT: ("-", "D")}  # line and marker of a head


def promise(found: Sure) -> str:
    """How many photos a person must check, as Markdown: a line a promise, of the chosen input."""
    lines = [
        f"Input for new photos: **{LABELS[found.chosen]}** (the simplest that one half cannot tell from its best)."
    ]
    for row in _chosen(found.promises, found).to_dict("records"):
        if math.isinf(row["threshold"]):
            few = coverage.fewest(row["promise"])
            lines.append(f"For {row['promise']:.0f} %: check **all**; it takes {few} sure answers without an error.")
            continue
        if not row["unchecked"]:
            least = f"a confidence of {row['threshold']:.2f}"
            lines.append(f"For {row['promise']:.0f} %: check **all**. Nothing of that half was so sure as {least}.")
            continue
        checked = f"check **{row['check']:.0f} %** of the photos{_range(row['check_lo'], row['check_hi'])}"
        rest = f"{row['right']:.0f} of {row['unchecked']:.0f} are right, {row['percent']:.1f} %"
        kept = _kept(row)
        lines.append(
            f"For {row['promise']:.0f} %: {checked}, those below a confidence of {row['threshold']:.2f}; of the rest "
            f"{rest}{_range(row['lo'], row['hi'])}. {kept}"
        )
    return "\n".join(f"- {line}" for line in lines)


def inputs(found: Sure) -> pd.DataFrame:
    """Every input on the half that is judged: right, ECE without and with its temperature, what to check."""
    to_check = found.promises[found.promises["promise"] == EXAMPLE].set_index("variant")
    rows = []
    for row in found.inputs.to_dict("records"):
        mine = to_check.loc[row["variant"]]
        rows.append(
            {
                "input": LABELS[row["variant"]],
                "photos judged": row["n"],
                "right %": f"{row['percent']:.1f}",
                "temperature": f"{row['temperature']:.2f}",
                "ECE as given": f"{row['ece_as_given']:.1f}",
                "ECE with it": f"{row['ece']:.1f}",
                f"check % for {EXAMPLE} %": f"{mine['check']:.0f}{_range(mine['check_lo'], mine['check_hi'])}",
                "rest right %": _share(mine),
            }
        )
    return pd.DataFrame(rows)


def species(found: Sure) -> pd.DataFrame:
    """The chosen input by the name that it gave, the most to be checked first."""
    rows = []
    for row in found.species.sort_values(["check", "n"], ascending=False).to_dict("records"):
        rows.append(
            {
                "named as": row["species"],
                "photos judged": row["n"],
                "to check": row["n"] - row["unchecked"],
                "check %": f"{row['check']:.0f}{_range(row['check_lo'], row['check_hi'])}",
                "rest right %": _share(row),
            }
        )
    return pd.DataFrame(rows)


def left_out(found: Sure) -> pd.DataFrame:
    """Each species left out in turn: the area under the ROC curve of each score."""
    frame = found.unknown.rename(columns={"species": "left out", "n": "its photos", "n_known": "known photos"})
    return frame.round(dict.fromkeys(unknown.SCORES, 2)).rename(columns={"unknown_score": "largest output"})


@styled()
def figure(found: Sure, facts: dict | None = None) -> Figure:
    """Left: is a confidence of 80 % right in 80 of 100 cases; right: percent right of the rest against percent checked.

    Both of the chosen input, on the half that is judged.
    """
    rows = _chosen(found.photos, found)
    judged = rows[rows["half"] == JUDGED]
    confidence = judged["confidence"].to_numpy()
    right = judged["correct"].to_numpy()
    title = f"How sure is a name: {LABELS[found.chosen]}, {len(judged)} photos that chose no threshold"
    fig, axes = subplots(title, facts, 11, 4.8, mosaic=[["reliability", "coverage"]])
    _reliability(axes["reliability"], confidence, right)
    _coverage(axes["coverage"], confidence, right, _chosen(found.promises, found), rows["species"].nunique())
    return fig


@styled()
def shots(found: Shots, facts: dict | None = None) -> Figure:
    """Left: percent right against K, as far as the counts allow; right: calibration error of each head."""
    fig, axes = subplots(
        f"Two heads, K photos a species, mean of {found.draws} draws (pre-training: {found.pretraining})",
        facts,
        13,
        4.4,
        mosaic=[["right", "error"]],
    )
    for (head, variant), rows in found.frame.groupby(["head", "variant"], sort=False):
        line, marker = HEADS[head]
        look = {"color": VARIANTS[variant], "ls": line, "marker": marker, "ms": 4, "lw": 1.6}
        axes["right"].plot(rows["k"], rows["micro_f1"], label=f"{LABELS[variant]}, {head}", **look)
    chance(axes["right"], species_in(found.frame))
    axes["right"].set(title="percent right", ylabel="mean micro-F1 (%)")

    chosen = found.frame[found.frame["variant"] == found.variant]
    for head, rows in chosen.groupby("head", sort=False):
        line, marker = HEADS[head]
        fitted = rows["temperature_from"] != FIXED
        axes["error"].plot(
            rows["k"], rows["ece_fixed"], color=GREY, ls=line, marker=marker, ms=4, label=f"{head}, fixed temperature"
        )
        axes["error"].plot(
            rows["k"][fitted],
            rows["ece"][fitted],
            color=BLUE,
            ls=line,
            marker=marker,
            ms=4,
            label=f"{head}, from left-out photos",
        )
    axes["error"].set(title=f"calibration error, {LABELS[found.variant]}", ylabel="ECE (points)")
    for ax in axes.values():
        ax.set_xscale("log")
        ks = sorted(set(found.frame["k"]))
        ax.set_xticks(ks, [str(k) for k in ks])
        ax.minorticks_off()
        ax.set_xlabel("K (photos a species)")
        ax.set_ylim(bottom=0)
        ax.grid(axis="y", alpha=0.3)
    for ax in axes.values():
        ax.legend(fontsize=9, handlelength=3.4, **BESIDE)
    return fig


def _reliability(ax, confidence, right) -> None:
    found = calibration.reliability(confidence, right)
    ax.plot([0, 100], [0, 100], color=GREY, lw=1, ls="--", label="as sure as it is right")
    look = {"align": "edge", "color": "#CFE6F5", "edgecolor": "white", "label": "right, of a tenth of confidence"}
    ax.bar(100 * found["lo"], found["right"], 100 / calibration.BINS, **look)
    ax.plot(found["confidence"], found["right"], "o", color=BLUE, ms=5, label="at its mean confidence")
    ax.text(-2, 104, "photos", ha="right", va="bottom", fontsize=8)
    for row in found.itertuples():
        ax.text(50 * (row.lo + row.hi), 104, row.n, ha="center", va="bottom", fontsize=8)
    error = calibration.expected_error(confidence, right)
    ax.set_title(f"reliability (ECE {error:.1f} points)", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.9))
    ax.set(xlabel="confidence (%)", ylabel="right (%)", xlim=(0, 100), ylim=(0, 112), yticks=range(0, 101, 20))


def _coverage(ax, confidence, right, promises: pd.DataFrame, species: int) -> None:
    found = coverage.curve(confidence, right)
    ax.plot(found["checked"], found["percent"], color=BLACK, lw=1.6, drawstyle="steps-post", label="these photos")
    for row, colour in zip(promises.to_dict("records"), (BLUE, ORANGE), strict=True):
        name = f"{row['promise']:.0f} % promised"
        if math.isinf(row["threshold"]):
            ax.axhline(row["promise"], color=colour, lw=1.4, ls="--", label=f"{name}: check all")
            continue
        ax.axhline(row["promise"], color=colour, lw=1, ls="--")
        low = max(0.0, row["percent"] - row["lo"])  # at 100 % rounding may turn the sign
        high = max(0.0, row["hi"] - row["percent"])
        bars = None if math.isnan(row["lo"]) else [[low], [high]]
        said = f"{name}: check {row['check']:.0f} %"
        ax.errorbar(row["check"], row["percent"], bars, fmt="D", color=colour, ms=6, capsize=3, label=said)
    ax.set_title("right of the rest (bar: 95 % interval)", fontsize=10)
    ax.set(xlabel="checked by a person, the least sure first (%)", ylabel="right of the rest (%)", xlim=(0, 100))
    chance(ax, species)
    ax.set_ylim(0, 103)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.3, 0.62))


def _chosen(frame: pd.DataFrame, found: Sure) -> pd.DataFrame:
    return frame[frame["variant"] == found.chosen]


def _kept(row: dict) -> str:
    """Whether the half that did not choose the threshold bears the promise out."""
    if math.isnan(row["hi"]):
        return "No interval: the photos are in groups."
    if row["hi"] < row["promise"]:
        return "**The promise is not kept there.**"
    return "The promise is kept there." if row["percent"] >= row["promise"] else "The promise is within the interval."


def _share(row) -> str:
    if math.isnan(row["percent"]):
        return NOTHING
    return f"{row['percent']:.1f}{_range(row['lo'], row['hi'])}"


def _range(lo: float, hi: float) -> str:
    return "" if math.isnan(lo) else f" ({lo:.0f} to {hi:.0f})"
