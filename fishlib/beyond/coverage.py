"""How many photos must a person check so that so many percent of the rest are right?

Photos whose answer is surer than a threshold are not checked. The threshold is chosen on one half of the photos and
judged on the other. It is the smallest at which (wrong + 1) / (unchecked + 1) is no more than what the promise allows:
one imaginary error beside those that were seen, since a threshold that is chosen for having few errors was lucky
(Angelopoulos et al. 2022, "Conformal risk control"). So 95 % need at least 19 photos without an error, 99 % need 99.
"""

import math

import numpy as np
import pandas as pd

from fishlib.scores import evaluation

PROMISES = (95, 99)  # percent of the unchecked that shall be right
HELD = ["promise", "threshold", "n", "unchecked", "right", "percent", "lo", "hi", "check", "check_lo", "check_hi"]


def fewest(promise: float) -> int:
    """How many photos without a single error it takes to promise so many percent."""
    return math.ceil(100 / (100 - promise)) - 1


def threshold(confidence: np.ndarray, right: np.ndarray, promise: float) -> float:
    """The confidence from which on answers need no check; infinity where no threshold keeps the promise.

    confidence: (N,); right: (N,), 1 where the answer was right. Photos of one confidence are on one side.
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    sorted_confidence = np.asarray(confidence, float)[order]
    wrong = np.cumsum(1 - np.asarray(right, float)[order])
    unchecked = np.arange(1, len(order) + 1)

    last_of_its_kind = np.append(sorted_confidence[1:] != sorted_confidence[:-1], True)[: len(order)]
    kept = (wrong + 1) / (unchecked + 1) <= (100 - promise) / 100 + 1e-12
    allowed = np.flatnonzero(kept & last_of_its_kind)
    return float(sorted_confidence[allowed[-1]]) if len(allowed) else math.inf


def held(confidence: np.ndarray, right: np.ndarray, at: float, promise: float, grouped: bool = False) -> dict:
    """HELD of photos that did not choose the threshold `at`.

    percent of the unchecked that are right, and of all photos that are to be checked, each with a 95 % Wilson interval;
    grouped: photos are no independent evidence, and there is none. NaN where nothing is left unchecked.
    """
    unchecked = np.asarray(confidence) >= at
    n = len(unchecked)
    n_unchecked = int(unchecked.sum())
    n_right = int(np.asarray(right)[unchecked].sum())
    nothing = (math.nan, math.nan)
    lo, hi = evaluation.wilson(n_right, n_unchecked) if n_unchecked and not grouped else nothing
    check_lo, check_hi = nothing if grouped else evaluation.wilson(n - n_unchecked, n)
    return {
        "promise": promise,
        "threshold": at,
        "n": n,
        "unchecked": n_unchecked,
        "right": n_right,
        "percent": 100 * n_right / n_unchecked if n_unchecked else math.nan,
        "lo": lo,
        "hi": hi,
        "check": 100 * (n - n_unchecked) / n if n else math.nan,
        "check_lo": check_lo,
        "check_hi": check_hi,
    }


def by_species(named: list[str], confidence: np.ndarray, right: np.ndarray, at: float, grouped: bool = False):
    """species, and `held` of the photos named so: what a person knows of a photo is its name, not its truth."""
    rows = []
    names = np.asarray(named, dtype=object)
    for species in sorted(set(named)):
        mine = names == species
        found = held(np.asarray(confidence)[mine], np.asarray(right)[mine], at, math.nan, grouped)
        rows.append({"species": species, **found})
    return pd.DataFrame(rows, columns=["species", *HELD]).drop(columns="promise")


def curve(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """checked and percent: so many percent of the photos checked, the least sure first, so many of the rest are right.

    Where several photos are equally sure, a row stands behind the last of them.
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    sorted_confidence = np.asarray(confidence, float)[order]
    n = len(order)
    unchecked = np.arange(1, n + 1)
    percent = 100 * np.cumsum(np.asarray(right, float)[order]) / unchecked
    ends = np.append(sorted_confidence[1:] != sorted_confidence[:-1], True)[:n]
    frame = pd.DataFrame({"checked": 100 * (n - unchecked) / n, "percent": percent})
    return frame[ends].sort_values("checked", ignore_index=True)
