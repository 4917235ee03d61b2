"""What notebook 05 shows: the verdict as text, and contrasts, shares and printed counts as tables that people read."""

from html import escape
from pathlib import Path

import pandas as pd

from fishlib.beyond import halves as fair
from fishlib.beyond.evidence import Evidence
from fishlib.beyond.verdict import Verdict
from fishlib.errors import UserError
from fishlib.files.frames import read_frame
from fishlib.photos.composite import LABELS
from fishlib.scores import printed
from fishlib.scores.contrasts import EXPLORATORY
from fishlib.study import Study

NOTHING = "–"


def answer(given: Verdict | None) -> str:
    """A verdict as HTML: the answer, then what it rests on and what would change it. Empty without one."""
    if given is None:
        return ""
    parts = [f"<p><strong>{escape(given.question)}</strong> {escape(given.answer)}</p>"]
    for title, sentences in (("It rests on:", given.rests_on), ("What would change it:", given.would_change)):
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        parts.append(f"<p>{title}</p><ul>{items}</ul>" if items else "")
    return "".join(parts)


def contrasts(frame: pd.DataFrame) -> pd.DataFrame:
    """scores.contrasts.COLUMNS as people read them, a row a contrast."""
    rows = []
    for row in frame.to_dict("records"):
        rows.append(
            {
                "family": row["family"],
                "input": input_label(row["variant"]),
                "against": input_label(row["against"]),
                "photos": row["n"],
                "right %": _number(row["percent"]),
                "against %": _number(row["percent_against"]),
                "points": _points(row["difference"]),
                "95 % interval": _interval(row["lo"], row["hi"]),
                "p": _p_value(row["p_value"]),
                "p in family": _p_value(row["p_holm"]),
                "test": row["test"],
                "note": "" if pd.isna(row["note"]) else row["note"],
            }
        )
    return pd.DataFrame(rows)


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """scores.contrasts.shares as people read them: micro-F1 with its interval, and macro-F1 beside it."""
    rows = []
    for row in frame.to_dict("records"):
        rows.append(
            {
                "input": input_label(row["variant"]),
                "right": f"{row['n_correct']} of {row['n']}",
                "micro-F1 %": _number(row["micro_f1"]),
                "95 % interval": _interval(row["lo"], row["hi"]),
                "macro-F1 %": _number(row["macro_f1"]),
            }
        )
    return pd.DataFrame(rows)


def figure3(frame: pd.DataFrame) -> pd.DataFrame:
    """scores.contrasts.figure3 as people read it."""
    rows = []
    for row in frame.to_dict("records"):
        rows.append(
            {
                "pre-training": row["pretraining"],
                "input": input_label(row["variant"]),
                "K": f"{row['k']:.0f}",
                "draws": f"{row['n']:.0f}",
                "points": _points(row["mean"]),
                "95 % interval": _interval(row["lo"], row["hi"]),
                "p in family": _p_value(row["p_holm"]),
            }
        )
    return pd.DataFrame(rows)


def beside(found: Evidence) -> pd.DataFrame:
    """Every contrast with groups, and as if each photo were evidence of its own; no rows where there are no groups."""
    rows = []
    alone = found.as_if_alone.set_index(["family", "variant"])
    for row in found.contrasts.to_dict("records") if len(alone) else []:
        other = alone.loc[(row["family"], row["variant"])]
        rows.append(
            {
                "asked": f"{row['family']}: {input_label(row['variant'])}",
                "groups: points": _points(row["difference"]),
                "groups: 95 % interval": _interval(row["lo"], row["hi"]),
                "groups: p": _p_value(row["p_value"]),
                "photos alone: points": _points(other["difference"]),
                "photos alone: 95 % interval": _interval(other["lo"], other["hi"]),
                "photos alone: p": _p_value(other["p_value"]),
            }
        )
    keys = ["pretraining", "variant", "k"]
    trained = found.figure3_as_if_alone.merge(found.figure3, on=keys, suffixes=("_alone", ""))
    for row in trained.to_dict("records"):
        rows.append(
            {
                "asked": f"figure 3, {row['pretraining']}, K = {row['k']:.0f}: {input_label(row['variant'])}",
                "groups: points": _points(row["mean"]),
                "groups: 95 % interval": _interval(row["lo"], row["hi"]),
                "groups: p": _p_value(row["p_value"]),
                "photos alone: points": _points(row["mean_alone"]),
                "photos alone: 95 % interval": _interval(row["lo_alone"], row["hi_alone"]),
                "photos alone: p": _p_value(row["p_value_alone"]),
            }
        )
    return pd.DataFrame(rows)


def halves(study: Study) -> pd.DataFrame:
    """What beyond.halves kept, both ways to learn side by side, a row an input; no rows where it had nothing to ask."""
    paths = [study.out / name for name in (fair.CONTRASTS, fair.SHARES)]
    if study.classifier is not None or not all(path.is_file() for path in paths):
        return pd.DataFrame()
    tested = _numbers(paths[0], ["difference", "lo", "hi", "p_holm"])
    tested = tested[tested["family"] != EXPLORATORY].set_index(["learnt_from", "variant"])
    right = _numbers(paths[1], ["micro_f1", "macro_f1"]).set_index(["learnt_from", "variant"])
    rows = []
    for variant in right.loc[fair.SAME].index:
        row = {"input": input_label(variant), "learnt from": input_label(fair.learns_from(variant))}
        for way, name in ((fair.SAME, "same input"), (fair.ORIGINALS, "originals")):
            row[f"{name}: micro-F1 %"] = _number(right.loc[(way, variant), "micro_f1"])
            row[f"{name}: macro-F1 %"] = _number(right.loc[(way, variant), "macro_f1"])
            contrast = tested.loc[(way, variant)] if (way, variant) in tested.index else None
            row[f"{name}: against"] = NOTHING if contrast is None else input_label(contrast["against"])
            row[f"{name}: points"] = NOTHING if contrast is None else _points(contrast["difference"])
            row[f"{name}: 95 % interval"] = NOTHING if contrast is None else _interval(contrast["lo"], contrast["hi"])
            row[f"{name}: p in family"] = NOTHING if contrast is None else _p_value(contrast["p_holm"])
        rows.append(row)
    return pd.DataFrame(rows)


def of_the_paper() -> pd.DataFrame:
    """Whether the paper's printed differences can be luck, as far as its counts tell (see scores.printed)."""
    rows = []
    for row in printed.contrasts().to_dict("records"):
        exploratory = pd.isna(row["p_holm_min"])
        ends = ("p_min", "p_max") if exploratory else ("p_holm_min", "p_holm_max")
        fewest = row["only_against_min"] + row["only_variant_min"]
        rows.append(
            {
                "family": row["family"],
                "input": input_label(row["variant"]),
                "against": input_label(row["against"]),
                "right": f"{row['n_correct']} against {row['n_correct_against']} of {row['n']}",
                "points": _points(row["difference"]),
                "disagree at least": f"{fewest} photos",
                "p": f"{_p_value(row[ends[0]])} to {_p_value(row[ends[1]])}",
                "can it be luck?": row["luck"],
            }
        )
    return pd.DataFrame(rows)


def input_label(variant: str) -> str:
    """A variant in words: Crop & Mask on red, dilated 3 times; what is none stays as it is."""
    if variant in LABELS:
        return LABELS[variant]
    rest = variant.removeprefix("crop_mask_")
    if rest == variant:
        return variant
    plain = LABELS["crop_mask"]
    times = rest.removeprefix("d")
    return f"{plain}, dilated {times} times" if rest != times and times.isdigit() else f"{plain} on {rest}"


def _number(value: float) -> str:
    return NOTHING if pd.isna(value) else f"{value:.1f}"


def _points(value: float) -> str:
    return NOTHING if pd.isna(value) else f"{value:+.1f}".replace("-", "−")


def _interval(lo: float, hi: float) -> str:
    return NOTHING if pd.isna(lo) else f"{lo:.1f} to {hi:.1f}".replace("-", "−")


def _p_value(value: float) -> str:
    if pd.isna(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _numbers(path: Path, columns: list[str]) -> pd.DataFrame:
    """A table that notebook 05 kept, these columns as numbers (NaN where empty). UserError where it was damaged."""
    frame = read_frame(path, ["learnt_from", "variant", *columns])
    try:
        frame[columns] = frame[columns].apply(pd.to_numeric)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); run notebook 05 again.") from error
    return frame
