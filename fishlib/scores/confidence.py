"""How sure an answer is, from a network's outputs: shares, the margin to the second best, and how unlike any it is."""

import numpy as np

DIGITS = 4  # of what is kept in tables


def shares(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Shares, float64 (..., T), that add up to 1, of outputs (..., T): their softmax at a temperature.

    temperature: above 1 makes answers less sure, below 1 surer (Guo et al. 2017); which answer is best stays.
    """
    values = np.asarray(logits, np.float64) / temperature
    grown = np.exp(values - values.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def margin(given: np.ndarray) -> np.ndarray:
    """By how much the best share is ahead of the second, (...), of shares (..., T); 1 where there is one answer."""
    if given.shape[-1] == 1:
        return np.ones(given.shape[:-1])
    best = np.sort(given, axis=-1)[..., -2:]
    return best[..., 1] - best[..., 0]


def unknown_score(logits: np.ndarray) -> np.ndarray:
    """How unlike every species a photo is, (...), of outputs (..., T): the largest output, its sign turned.

    Shares add up to 1 whatever the photo shows, outputs do not (Vaze et al. 2022, "Open-set recognition: a good
    closed-set classifier is all you need"). It has no unit: scores of one namer and input compare, and no others.
    """
    return -np.asarray(logits, np.float64).max(axis=-1)
