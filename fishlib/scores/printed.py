"""Could the paper's printed differences be luck? As far as its counts bound the photos on which two inputs disagree.

The paper prints how many photos each input names right, not on which photos the two disagree, and McNemar's test needs
the latter. Each row of a table bounds it: of n photos, a right with one input and b with the other, at least |a - b|
were right with one of them only, and at most as many as fit. Tables 3 and 4 print no rows of species, so that their
bounds lie far apart.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from fishlib.scores import published
from fishlib.scores.contrasts import ALPHA, EXPLORATORY, holm

COLUMNS = ["family", "variant", "against", "n", "n_correct", "n_correct_against", "difference"]
COLUMNS += ["only_against_min", "only_against_max", "only_variant_min", "only_variant_max"]
COLUMNS += ["p_min", "p_max", "p_holm_min", "p_holm_max", "luck"]
COULD_BE, CANNOT_BE, OPEN = "could be luck", "cannot be luck", "the printed counts do not tell"


class Bounds(NamedTuple):
    """Photos right with the first input alone: fewest and most that the counts allow; the same of the second."""

    only_first_min: int
    only_first_max: int
    only_second_min: int
    only_second_max: int


def discordant(first, second, n) -> Bounds:
    """Bounds from counts a row, int (S,): right with the first input, right with the second, and photos.

    Rows bound more than their sums do: what one species gains cannot make up for what another loses. Every number
    between the bounds can be, and the two numbers always differ by sum(first) - sum(second). ValueError where more
    photos are right than there are.
    """
    first, second, n = (np.atleast_1d(np.asarray(counts, int)) for counts in (first, second, n))
    if (first < 0).any() or (second < 0).any() or (first > n).any() or (second > n).any():
        raise ValueError("More photos are right than there are.")
    return Bounds(
        only_first_min=int(np.maximum(first - second, 0).sum()),
        only_first_max=int(np.minimum(first, n - second).sum()),
        only_second_min=int(np.maximum(second - first, 0).sum()),
        only_second_max=int(np.minimum(second, n - first).sum()),
    )


def p_range(bounds: Bounds) -> tuple[float, float]:
    """(smallest, largest) p-value of exact McNemar among all numbers of discordant photos that the bounds allow."""
    only_first = np.arange(bounds.only_first_min, bounds.only_first_max + 1)
    only_second = only_first - bounds.only_first_min + bounds.only_second_min
    fewer = np.minimum(only_first, only_second)
    p_values = np.minimum(1.0, 2 * stats.binom.cdf(fewer, only_first + only_second, 0.5))
    return float(p_values.min()), float(p_values.max())


def contrasts() -> pd.DataFrame:
    """COLUMNS, a row a contrast of the paper's tables: the families of scores.contrasts for tables 2 to 4, and table 1
    (GDINO-SAM against its rivals), which is exploratory.

    difference: points, from the counts. p_min and p_max: exact McNemar at the ends of what the counts allow; p_holm_*
    are corrected within the family, each end on its own (Holm's p never falls where a p rises, so they bound it too).
    luck: COULD_BE or CANNOT_BE where both ends agree at 5 %, else OPEN.
    """
    return pd.concat([_of_table(n) for n in (1, 2, 3, 4)], ignore_index=True)


def _of_table(n: int) -> pd.DataFrame:
    against, counts, photos = _counts(n)
    family = f"table {n}" if n > 1 else EXPLORATORY
    rows = [_row(variant, counts[variant], counts[against], photos) for variant in counts if variant != against]
    frame = pd.DataFrame(rows)
    frame["family"] = family
    frame["against"] = against
    for end in ("min", "max"):
        frame[f"p_holm_{end}"] = np.nan if family == EXPLORATORY else holm(frame[f"p_{end}"])
    ends = ["p_min", "p_max"] if family == EXPLORATORY else ["p_holm_min", "p_holm_max"]
    frame["luck"] = [_luck(low, high) for low, high in frame[ends].to_numpy()]
    return frame[COLUMNS]


def _counts(n: int) -> tuple[str, dict[str, np.ndarray], np.ndarray]:
    """(what is compared with, name -> photos right a row, photos a row) of the paper's table n."""
    table = published.table(n)
    if n in (1, 2):
        names = [column.removesuffix("_count") for column in table if column.endswith("_count")]
        counts = {name: table[f"{name}_count"].to_numpy() for name in names}
        return ("gdino_sam" if n == 1 else "original"), counts, table["n"].to_numpy()
    first = "background" if n == 3 else "n_dilations"
    counts = {str(row[first]): np.array([row["micro_f1_count"]]) for row in table.to_dict("records")}
    return ("black" if n == 3 else "0"), counts, np.array([published.N_PHOTOS])


def _row(variant: str, right: np.ndarray, right_against: np.ndarray, photos: np.ndarray) -> dict:
    bounds = discordant(right_against, right, photos)
    p_min, p_max = p_range(bounds)
    return {
        "variant": variant,
        "n": int(photos.sum()),
        "n_correct": int(right.sum()),
        "n_correct_against": int(right_against.sum()),
        "difference": 100 * int(right.sum() - right_against.sum()) / int(photos.sum()),
        "only_against_min": bounds.only_first_min,
        "only_against_max": bounds.only_first_max,
        "only_variant_min": bounds.only_second_min,
        "only_variant_max": bounds.only_second_max,
        "p_min": p_min,
        "p_max": p_max,
    }


def _luck(p_min: float, p_max: float) -> str:
    if p_min >= ALPHA:
        return COULD_BE
    if p_max < ALPHA:
        return CANNOT_BE
    return OPEN
