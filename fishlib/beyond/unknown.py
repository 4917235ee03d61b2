"""None of these: does a namer see that a photo shows a species that it was never given to choose?

Each species is left out in turn: its photos are then unknown, all others known. The area under the ROC curve is the
chance that an unknown photo has a higher score than a known one: 0.5 tells nothing, 1 everything.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from fishlib.scores.confidence import margin, shares, unknown_score

SCORES = {  # how unlike a species a photo is, from its outputs; the first is kept as unknown_score
    "unknown_score": unknown_score,
    "one minus confidence": lambda logits: 1 - shares(logits).max(axis=-1),
    "one minus margin": lambda logits: 1 - margin(shares(logits)),
}
COLUMNS = ["species", "n", "n_known", *SCORES]
KNOWN_KEPT = 0.95  # ours: of the known photos so many stay below the threshold that is suggested


def area(scores: np.ndarray, is_unknown: np.ndarray) -> float:
    """The area under the ROC curve; NaN where all photos are known, or all unknown."""
    if is_unknown.all() or not is_unknown.any():
        return float("nan")
    return float(roc_auc_score(is_unknown, scores))


def areas(labels: np.ndarray, species: list[str], without: Callable[[int], np.ndarray]) -> pd.DataFrame:
    """COLUMNS, a row a species that is left out, then their mean. labels: int (N,), which of T species a photo shows.

    without(t): outputs (N, T - 1) of a namer that was not given species t to choose.
    """
    rows = []
    for at, name in enumerate(species):
        is_unknown = labels == at
        if not is_unknown.any() or is_unknown.all():
            continue
        logits = without(at)
        found = [area(score(logits), is_unknown) for score in SCORES.values()]
        rows.append((name, int(is_unknown.sum()), int((~is_unknown).sum()), *found))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    if len(frame) > 1:
        means = frame[list(SCORES)].mean()
        frame.loc[len(frame)] = ["mean over species", frame["n"].sum(), frame["n_known"].max(), *means]
    return frame


def threshold(scores: np.ndarray) -> float:
    """The score that KNOWN_KEPT of these known photos do not pass; infinity without any."""
    return float(np.quantile(scores, KNOWN_KEPT)) if len(scores) else float("inf")
