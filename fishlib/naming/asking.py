"""One picture, asked about: the best answers of a classifier."""

import numpy as np

from fishlib.errors import UserError
from fishlib.naming import classifier as classifiers
from fishlib.photos import composite, matching

SIDE = 224  # pixels, the paper's


def best(
    model: classifiers.Classifier, photo: np.ndarray, species: list[str] | None = None, top: int = 5
) -> list[tuple[str, float]]:
    """(species, share) of the `top` best answers. photo: uint8 (H, W, 3). species: the outputs that are not masked.

    UserError where the classifier has no class list or does not know one of the species.
    """
    names = species or model.classes
    if not names:
        raise UserError("The classifier has no class list; put one beside it as <file>.classes.csv.")
    square = composite.to_square(photo, SIDE)
    outputs = classifiers.logits(model, classifiers.features(model, square[None]))  # (1, C)
    if species:
        indices = matching.match_classes(species, model.classes)
        outputs = matching.masked_logits(outputs, list(indices.values()))

    [values] = outputs.astype(np.float64)
    chances = np.exp(values - values.max())
    shares = chances / chances.sum()
    order = np.argsort(-shares, kind="stable")[:top]
    return [(names[index], float(shares[index])) for index in order]
