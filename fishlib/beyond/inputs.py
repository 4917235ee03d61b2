"""How often each of the four inputs was named right, with an interval, in every way that a run asked.

In: what evidence.of reads of a run. Out: one frame, which the report's first picture shows.
"""

import math

import pandas as pd
from scipy import stats

from fishlib.photos.composite import BASIC
from fishlib.scores import evaluation

COLUMNS = ["way", "variant", "n", "percent", "lo", "hi"]
WITHOUT = "without further training"
FROM_SAME = "learnt from the same input, half of the photos"
FROM_ORIGINALS = "learnt from originals, half of the photos"


def of_answers(shares: pd.DataFrame, way: str) -> pd.DataFrame:
    """COLUMNS of one answer a photo. shares: contrasts.shares (lo and hi are NaN where photos share groups)."""
    rows = shares[shares["variant"].isin(BASIC)].rename(columns={"micro_f1": "percent"})
    return _ordered(rows.assign(way=way))


def of_halves(shares: pd.DataFrame, learnt_from: str, way: str, grouped: bool) -> pd.DataFrame:
    """COLUMNS of heads that learnt from half of the photos. shares: halves.SHARE_COLUMNS, numbers.

    The interval is Wilson's for the photos that one split judges: wider than that of the mean over splits.
    """
    rows = shares[(shares["learnt_from"] == learnt_from) & shares["variant"].isin(BASIC)]
    found = []
    for row in rows.to_dict("records"):
        n = int(row["n"])
        ends = (math.nan, math.nan) if grouped else evaluation.wilson(round(row["micro_f1"] / 100 * n), n)
        found.append([way, row["variant"], n, row["micro_f1"], *ends])
    return _ordered(pd.DataFrame(found, columns=COLUMNS))


def of_draws(draws: pd.DataFrame, way: str, grouped: bool) -> pd.DataFrame:
    """COLUMNS of heads that learnt from K photos a species. draws: variant, n_test and n_correct of one K."""
    found = []
    for variant, rows in draws[draws["variant"].isin(BASIC)].groupby("variant"):
        percents = 100 * rows["n_correct"] / rows["n_test"]
        n = int(rows["n_test"].max())
        ends = (math.nan, math.nan) if grouped else _two_way(percents, n)
        found.append([way, variant, n, percents.mean(), *ends])
    return _ordered(pd.DataFrame(found, columns=COLUMNS))


def _two_way(percents: pd.Series, n: int) -> tuple[float, float]:
    """95 % interval of a mean over draws that share their photos, as evaluation.two_way_interval of differences.

    The variance over photos is at most that of n answers of one draw, p (1 - p) / n; it errs to the wide side.
    NaN below two draws.
    """
    draws = len(percents)
    if draws < 2:
        return math.nan, math.nan
    mean = percents.mean()
    variance = percents.var(ddof=1) / draws + mean * (100 - mean) / n
    half = float(stats.t.ppf(0.975, draws - 1)) * math.sqrt(variance)
    return max(0.0, mean - half), min(100.0, mean + half)


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    place = {variant: at for at, variant in enumerate(BASIC)}
    return rows.sort_values("variant", key=lambda names: names.map(place))[COLUMNS].reset_index(drop=True)
