"""Is a confidence of 80 % right in 80 of 100 cases? Reliability, expected calibration error, and a temperature.

A temperature is fitted on photos other than those it is reported on.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from fishlib.scores.confidence import shares

BINS = 10  # ours; Guo et al. (2017) take 15 for thousands of photos
RANGE = (0.01, 100.0)  # in which a temperature is looked for


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """lo, hi (of a bin, its upper end belongs to it), n, confidence and right (percent, means), by bin.

    confidence: (N,), 0 to 1, of the answers; right: (N,), 1 where the answer was right, else 0.
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], confidence)
    rows = []
    for at in np.unique(place):
        mine = place == at
        means = 100 * float(np.mean(confidence[mine])), 100 * float(np.mean(right[mine]))
        rows.append((edges[at], edges[at + 1], int(mine.sum()), *means))
    return pd.DataFrame(rows, columns=["lo", "hi", "n", "confidence", "right"])


def expected_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error (ECE) in points: the mean gap between confidence and share right, by photos."""
    found = reliability(np.asarray(confidence), np.asarray(right), bins)
    gaps = (found["confidence"] - found["right"]).abs()
    return float((gaps * found["n"]).sum() / found["n"].sum())


def mean_surprise(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log likelihood of the true species (nats): outputs (N, T), labels int (N,)."""
    chance = shares(logits, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chance, 1e-300)).mean())


def temperature(logits: np.ndarray, labels: np.ndarray, otherwise: float = 1.0) -> float:
    """The temperature at which outputs (N, T) surprise least by the true species, int (N,).

    `otherwise` where it cannot be told: no photo, or no answer that is wrong (any smaller one would be better still).
    """
    if not len(labels) or (logits.argmax(axis=1) == labels).all():
        return otherwise
    ends = np.log(RANGE)
    found = minimize_scalar(lambda log: mean_surprise(logits, labels, np.exp(log)), bounds=ends, method="bounded")
    return float(np.exp(found.x))
