"""Which inputs differ, and is it luck: the contrasts of tables 2 to 4 and figure 3, in families.

A family holds the contrasts that answer one question of the paper; Holm's correction holds the chance of a single
false alarm in a family at 5 %. What belongs to no family is called exploratory and stays uncorrected.

| family | contrasts |
| --- | --- |
| table 2 | Crop, Mask, Crop & Mask, each against the original |
| table 3 | Crop & Mask on each other colour against black |
| table 4 | Crop & Mask with the mask dilated n times against n = 0 |
| figure 3 | every K and input against the original, within one pre-training |
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib.scores import evaluation, intervals

ALPHA = 0.05
EXPLORATORY = "exploratory"
COLUMNS = ["family", "variant", "against", "n", "n_groups", "percent", "percent_against", "difference"]
COLUMNS += ["lo", "hi", "only_against", "only_variant", "p_value", "p_holm", "test", "note"]
_WHOLE = ["n", "n_groups", "only_against", "only_variant"]
_DILATED = re.compile(r"crop_mask_d\d+")
_COLOURED = re.compile(r"crop_mask_(?!d\d+$).+")


class Family(NamedTuple):
    """Contrasts that answer one question: each of `variants` against one input."""

    name: str
    against: str
    variants: list[str]


def families(variants: Iterable[str]) -> list[Family]:
    """The families of tables 2 to 4 among these variants, in their order; then what is exploratory: every variant of
    tables 3 and 4 against the original. A family without its input to compare with, or with nothing to compare, is
    left out."""
    there = list(dict.fromkeys(variants))
    coloured = [v for v in there if _COLOURED.fullmatch(v)]
    dilated = [v for v in there if _DILATED.fullmatch(v)]
    wanted = [
        Family("table 2", "original", [v for v in ("crop", "mask", "crop_mask") if v in there]),
        Family("table 3", "crop_mask", coloured),
        Family("table 4", "crop_mask", dilated),
        Family(EXPLORATORY, "original", [*coloured, *dilated]),
    ]
    return [family for family in wanted if family.against in there and family.variants]


def holm(p_values) -> np.ndarray:
    """p-values of one family, (V,), corrected after Holm (1979); NaN (no test was made) stays and counts as none.

    statsmodels' multipletests gives the same, but collects garbage at every call, which takes a tenth of a second.
    """
    p_values = np.asarray(p_values, float)
    corrected = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]  # smallest first
    left = len(order) - np.arange(len(order))  # hypotheses not yet rejected
    corrected[order] = np.minimum(1, np.maximum.accumulate(left * p_values[order]))
    return corrected


def sign_flip(differences, groups=None) -> float:
    """Exact p-value of "no difference" where groups, not photos, are independent.

    differences: (N,), +1, 0 or -1 a photo; groups: N names or None. Were the two inputs alike, a group's sum could as
    well have had the other sign: p is the share of all 2^G ways to choose the signs whose sum lies at least as far
    from 0. It is counted exactly, group by group, and is McNemar's exact p where every photo is its own group.
    """
    sums = intervals.group_sums(np.asarray(differences, float)[:, None], groups)[:, 0]
    steps = np.abs(np.rint(sums)).astype(int)
    reach = int(steps.sum())
    chances = np.zeros(2 * reach + 1)  # of each total from -reach to reach
    chances[reach] = 1
    for step in steps[steps > 0]:
        chances = (np.roll(chances, step) + np.roll(chances, -step)) / 2  # totals never leave the ends
    totals = np.arange(-reach, reach + 1)
    seen = abs(int(np.rint(sums.sum())))
    return min(1.0, float(chances[np.abs(totals) >= seen].sum()))


def from_predictions(
    predictions: pd.DataFrame, groups: pd.Series | None = None, draws: int = 10_000, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """Family -> COLUMNS, a row a contrast, from one answer a photo and variant.

    predictions: photo_id, variant, correct (0/1), counted; uncounted rows are left out. groups: name a photo_id (see
    photos.groups), None where every photo is evidence of its own. difference, lo and hi are percentage points, a 95 %
    interval of that contrast alone; p_holm is corrected within the family and decides. Independent photos: exact
    McNemar and a bootstrap over photos; groups: sign-flip and bootstrap over groups, and no interval below
    intervals.FEWEST_GROUPS, which `note` says. No family without a counted photo. ValueError unless every variant has
    every photo once, or where a photo has no group.
    """
    wide = _answers(predictions)
    wanted = families(wide.columns)
    if not wanted or wide.empty:
        return {}
    names = None if groups is None else _groups_of(wide.index, groups)
    n_units = len(wide) if names is None else len(set(names))
    note = _too_few(n_units, names is not None)

    pairs = [(variant, family.against) for family in wanted for variant in family.variants]
    differences = np.stack([wide[variant] - wide[against] for variant, against in pairs], axis=1)  # (N, V)
    lo, hi = intervals.paired_bootstrap(differences, names, draws=draws, seed=seed)

    rows = [_paired_row(wide, variant, against, names) for variant, against in pairs]
    rows = [row | {"lo": low, "hi": high} for row, low, high in zip(rows, lo, hi, strict=True)]
    frames = {}
    for family in wanted:
        mine, rows = rows[: len(family.variants)], rows[len(family.variants) :]
        frames[family.name] = _frame(family, mine, note)
    return frames


def from_draws(right: Mapping[str, np.ndarray]) -> dict[str, pd.DataFrame]:
    """Family -> COLUMNS as from_predictions, where each input was asked about by several trained heads.

    right: variant -> float (R, N), 1 where a draw's head named the photo, 0 where not, NaN where it learnt from the
    photo; the draws and photos of all variants are the same. Interval and test are evaluation.two_way_interval's.
    """
    frames = {}
    for family in families(right):
        rows = [_two_way_row(right, variant, family.against) for variant in family.variants]
        missing = any(np.isnan(row["lo"]) for row in rows)
        frames[family.name] = _frame(family, rows, "a single draw or photo: no interval" if missing else "")
    return frames


def figure3(paired: pd.DataFrame) -> pd.DataFrame:
    """Figure 3's differences (sweep.PAIRED: pretraining, variant, k, n draws, mean, lo, hi) with p_value and p_holm,
    every pre-training a family; rows and their order stay."""
    frame = paired.astype({"mean": float, "lo": float, "hi": float, "n": int})
    p_values = [intervals.p_of_two_way(row.mean, row.lo, row.hi, row.n) for row in frame.itertuples()]
    frame["p_value"] = np.array(p_values, float)
    frame["p_holm"] = frame.groupby("pretraining")["p_value"].transform(holm)
    return frame


def against_best(right: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Which inputs can be told from the best one: variant, percent, best (bool), difference (best minus it, points), lo
    and hi (95 % of that difference alone), p_holm (among all pairs, since the best was itself found on these photos).

    right: as from_draws; rows in its order. The best has a difference of 0 and no interval; of two equally good ones
    the first is called best.
    """
    names = list(right)
    percents = {name: _percent(right[name]) for name in names}
    best = max(names, key=percents.__getitem__)

    pairs = list(itertools.combinations(names, 2))
    tested = [_two_way_row(right, variant, against) for against, variant in pairs]
    corrected = holm([row["p_value"] for row in tested])
    of_pair = {frozenset(pair): row | {"p_holm": p} for pair, row, p in zip(pairs, tested, corrected, strict=True)}

    rows = []
    for name in names:
        row = {"variant": name, "percent": percents[name], "best": name == best, "difference": 0.0}
        if name != best:
            found = of_pair[frozenset((name, best))]
            sign = 1 if found["variant"] == best else -1
            lo, hi = sorted([sign * found["lo"], sign * found["hi"]])
            row |= {"difference": sign * found["difference"], "lo": lo, "hi": hi, "p_holm": found["p_holm"]}
        rows.append(row)
    return pd.DataFrame(rows, columns=["variant", "percent", "best", "difference", "lo", "hi", "p_holm"])


def shares(predictions: pd.DataFrame, grouped: bool = False) -> pd.DataFrame:
    """variant, n, n_correct, micro_f1 with lo and hi (percent, 95 % Wilson), macro_f1: a row a variant, in the order
    in which variants come. grouped: photos are no independent evidence, so that lo and hi are NaN."""
    rows = []
    for variant, mine in evaluation.counted(predictions).groupby("variant", sort=False):
        n = len(mine)
        n_correct = int(mine["correct"].sum())
        lo, hi = (np.nan, np.nan) if grouped else evaluation.wilson(n_correct, n)
        macro = evaluation.macro_f1(mine["species"], mine["predicted"])
        rows.append((variant, n, n_correct, 100 * n_correct / n, lo, hi, macro))
    return pd.DataFrame(rows, columns=["variant", "n", "n_correct", "micro_f1", "lo", "hi", "macro_f1"])


def _answers(predictions: pd.DataFrame) -> pd.DataFrame:
    """1/0, one row a counted photo (index photo_id), one column a variant in the order in which variants come."""
    rows = evaluation.counted(predictions)
    wide = rows.pivot(index="photo_id", columns="variant", values="correct").astype(float)
    if wide.isna().any(axis=None):
        raise ValueError("The variants cover different photos, so they cannot be compared photo by photo.")
    return wide[list(dict.fromkeys(rows["variant"]))]


def _groups_of(photo_ids: pd.Index, groups: pd.Series) -> list:
    names = groups.reindex(photo_ids)
    if names.isna().any():
        raise ValueError(f"{names.index[names.isna()][0]} has no group; a photo alone is a group of its own.")
    return names.tolist()


def _paired_row(wide: pd.DataFrame, variant: str, against: str, names: list | None) -> dict:
    paired = evaluation.mcnemar(wide[against], wide[variant])
    row = {
        "variant": variant,
        "n": paired["n"],
        "percent": 100 * wide[variant].mean(),
        "percent_against": 100 * wide[against].mean(),
        "difference": paired["difference"],
        "only_against": paired["only_a"],
        "only_variant": paired["only_b"],
        "p_value": paired["p_value"],
        "test": "exact McNemar",
    }
    if names is None:
        return row
    row["n_groups"] = len(set(names))
    row["p_value"] = sign_flip(wide[variant] - wide[against], names)
    row["test"] = f"sign-flip over {row['n_groups']} groups"
    return row


def _percent(right: np.ndarray) -> float:
    """Mean over draws of the share each named right, in percent; right: (R, N), NaN where a photo was not judged."""
    judged = right[~np.isnan(right).all(axis=1)]
    return 100 * float(np.nanmean(judged, axis=1).mean())


def _two_way_row(right: Mapping[str, np.ndarray], variant: str, against: str) -> dict:
    differences = right[variant] - right[against]
    judged = differences[~np.isnan(differences).all(axis=1)]  # a draw may have left no photo to judge
    found = evaluation.two_way_interval(judged)
    return {
        "variant": variant,
        "n": int((~np.isnan(right[variant])).any(axis=0).sum()),
        "percent": _percent(right[variant]),
        "percent_against": _percent(right[against]),
        "difference": found["mean"],
        "lo": found["lo"],
        "hi": found["hi"],
        "p_value": intervals.p_of_two_way(found["mean"], found["lo"], found["hi"], found["n"]),
        "test": f"two-way, {found['n']} draws",
    }


def _too_few(n: int, grouped: bool) -> str:
    """Why there is no interval over n photos or groups; nothing where there is one."""
    if not intervals.too_few(n, grouped):
        return ""
    if grouped:
        return f"{n} groups: below {intervals.FEWEST_GROUPS} no interval"
    return "a single photo: no interval"


def _frame(family: Family, rows: list[dict], note: str) -> pd.DataFrame:
    """COLUMNS of one family; exploratory ones have no corrected p."""
    frame = pd.DataFrame(rows).reindex(columns=COLUMNS)
    frame["family"] = family.name
    frame["against"] = family.against
    exploratory = family.name == EXPLORATORY
    frame["p_holm"] = np.nan if exploratory else holm(frame["p_value"])
    frame["note"] = "; ".join(text for text in (EXPLORATORY if exploratory else "", note) if text)
    return frame.astype(dict.fromkeys(_WHOLE, "Int64"))
