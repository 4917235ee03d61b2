"""New last layers on K photos a species that differ in how they learn: all draws in one batched computation.

The paper's learns by Adam (see transfer); SimpleShot's is the nearest class mean (Wang et al. 2019) and has no step
size and no rounds. Both give scores, of which the largest names the species, and both can be asked about the photos
that they learn from, each left out in turn.
"""

from collections.abc import Callable, Sequence

import numpy as np

from fishlib.errors import UserError

# (features (N, D), labels int (N,), draws int (R, n), number of classes C) -> scores float64 (R, N, C)
Head = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
ADAM, SIMPLE_SHOT = "Adam", "SimpleShot"
MOST_FOLDS = 10  # ours: from so many photos a species on, a tenth of them is left out at a time
SMALLEST = 1e-12  # a photo that is the very centre has no direction


def adam(settings, seeds: Sequence[int], device: str = "cpu") -> Head:
    """The paper's head. settings: epochs and learning_rate; seeds: of the first weights, one a draw."""

    def scores(features: np.ndarray, labels: np.ndarray, draws: np.ndarray, n_classes: int) -> np.ndarray:
        from fishlib.naming import transfer  # imports torch, which a cached run never needs

        weight, bias = transfer.train_heads(
            features, labels, draws, n_classes, settings.epochs, settings.learning_rate, seeds, device
        )
        return linear_scores(features, weight, bias)

    return scores


def linear_scores(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """float64 (R, N, C) of features (N, D), weight (R, C, D) and bias (R, C)."""
    x = np.asarray(features, np.float64)
    return np.stack([x @ w.T + b for w, b in zip(weight.astype(np.float64), bias, strict=True)])


def simple_shot(features: np.ndarray, labels: np.ndarray, draws: np.ndarray, n_classes: int) -> np.ndarray:
    """Scores of nearest class means, float64 (R, N, C): minus half the squared distance to each, up to -2.

    Features are centred on the mean of what that draw learns from and scaled to length 1; a class is the mean of its
    photos. -inf for a class of which the draw has no photo. UserError for an empty draw.
    """
    draws = np.asarray(draws)
    if draws.ndim != 2 or 0 in draws.shape:
        raise UserError("No photo was drawn to learn from; give more photos a species.")
    x = np.asarray(features, np.float64)
    centre = x[draws].mean(axis=1)  # (R, D)

    learnt = _directions(x[draws] - centre[:, None])  # (R, n, D)
    of_class = np.eye(n_classes)[np.asarray(labels)[draws]]  # (R, n, C)
    counts = of_class.sum(axis=1)  # (R, C)
    means = of_class.swapaxes(1, 2) @ learnt / np.maximum(counts, 1)[..., None]  # (R, C, D)

    # a photo's centred features are not made for every draw: ((x - centre) . mean) / |x - centre|
    toward = np.einsum("nd,rcd->rnc", x, means, optimize=True) - np.einsum("rd,rcd->rc", centre, means)[:, None]
    squared = (x**2).sum(axis=1) - 2 * centre @ x.T + (centre**2).sum(axis=1)[:, None]  # (R, N)
    length = np.sqrt(np.maximum(squared, SMALLEST))
    cosine = toward / length[..., None]
    scores = cosine - 0.5 - 0.5 * (means**2).sum(axis=-1)[:, None]  # -|x - mean|^2 / 2 of x of length 1
    return np.where(counts[:, None] > 0, scores, -np.inf)


def left_out(head: Head, features: np.ndarray, labels: np.ndarray, draws: np.ndarray, n_classes: int, fold_of=None):
    """Scores of the drawn photos by heads that did not learn from them, float64 (R, n, C); NaN where none could.

    One photo of each species is left out at a time, so that the species stay as even as they were. fold_of: int (n,),
    which are left out together, -1 for never (see folds); the same for all draws.
    """
    labels, draws = np.asarray(labels), np.asarray(draws)
    fold_of = folds(labels[draws[0]]) if fold_of is None else fold_of
    rows, places = np.unique(draws, return_inverse=True)
    places = places.reshape(draws.shape)  # of the drawn photos among `rows`
    found = np.full((*draws.shape, n_classes), np.nan)
    for fold in range(fold_of.max(initial=-1) + 1):
        out = fold_of == fold
        scores = head(features[rows], labels[rows], places[:, ~out], n_classes)  # (R, len(rows), C)
        found[:, out] = np.take_along_axis(scores, places[:, out, None], axis=1)
    return found


def folds(labels: np.ndarray, groups: Sequence[str] | None = None, most: int = MOST_FOLDS) -> np.ndarray:
    """int (n,), which photos are left out together: of each species one a fold, in at most `most` folds; -1 for never.

    groups: names of the photos' groups, which stay together. Never left out are photos without which nothing would be
    left of their species.
    """
    labels = np.asarray(labels)
    if groups is None:
        fold_of = np.zeros(len(labels), int)
        for species in np.unique(labels):
            mine = labels == species
            fold_of[mine] = np.arange(mine.sum())
    else:
        number = {name: place for place, name in enumerate(dict.fromkeys(groups))}
        fold_of = np.array([number[name] for name in groups])
    fold_of %= most

    for species in np.unique(labels):
        mine = labels == species
        if len(set(fold_of[mine])) == 1:
            fold_of[mine] = -1
    return fold_of


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) at length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.sqrt(SMALLEST))
