"""The paper's printed tables, for columns beside a run's own. The CSV files hold the digits as printed."""

from pathlib import Path

import pandas as pd

N_PHOTOS = 601  # tables 3 and 4 print no n: they use the same photos as tables 1 and 2
_TEXT = {"name_ja", "scientific_name", "name_en", "n", "background", "n_dilations"}


def table(n: int) -> pd.DataFrame:
    """Table n (1 to 4) of the paper: percentages as printed, and the exact counts behind them.

    1: name_ja, scientific_name, name_en, n, then detic, sam_clip, gdino_sam (share of photos well cut).
    2: name_ja, scientific_name, n, then original, crop, mask, crop_mask (recall); 3: background, n, micro_f1;
    4: n_dilations, n, micro_f1. One row a species in the paper's order, without the row of totals.
    Beside each percent column `c` stands `c_count` (int): the one whole number of photos that prints so.
    """
    if n not in (1, 2, 3, 4):
        raise ValueError(f"The paper has tables 1 to 4, not {n}.")
    frame = pd.read_csv(Path(__file__).with_name(f"published_table{n}.csv"))
    if "n" not in frame:
        frame.insert(1, "n", N_PHOTOS)
    for column in [c for c in frame if c not in _TEXT]:
        frame[column] = frame[column].astype(float)
        place = frame.columns.get_loc(column) + 1
        frame.insert(place, f"{column}_count", (frame[column] * frame["n"] / 100).round().astype(int))
    return frame


def totals(n: int) -> pd.Series:
    """The last row of table 1 or 2 (総計, micro-F1): n, and for each column its count and percent."""
    frame = table(n)
    sums = frame[["n", *[c for c in frame if c.endswith("_count")]]].sum()
    percents = {c.removesuffix("_count"): round(100 * sums[c] / sums["n"], 1) for c in sums.index[1:]}
    return pd.concat([sums, pd.Series(percents)])
