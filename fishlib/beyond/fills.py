"""A hole in a photo filled from the rest of it: the one fill of every background whose fish is taken out."""

import cv2
import numpy as np

GREY = 128  # where nothing of a photo is left to fill from


def fill(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The image with its hole filled from what lies around, uint8 (H, W, 3). image: uint8 (H, W, 3); hole: bool (H, W).

    Pull-push (Gortler et al. 1996, "The Lumigraph", section 4.2): the hole takes the mean colour of its surroundings,
    from ever further away towards its middle. Smooth, the same every time, and a few milliseconds; nothing of the
    hole's own pixels is left in it. A hole without surroundings is GREY.
    """
    if hole.all():
        return np.full_like(image, GREY)
    weight = (~hole).astype(np.float32)
    filled = _filled(image.astype(np.float32) * weight[..., None], weight)
    answer = np.clip(np.rint(filled), 0, 255).astype(np.uint8)
    answer[~hole] = image[~hole]
    return answer


def _filled(colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Float32 (h, w, 3): what is known where the weight is 1, from a picture of half the size where it is 0.

    colour: float32 (h, w, 3) times weight: float32 (h, w) in 0..1, how much is known of a pixel.
    """
    height, width = weight.shape
    known = colour / np.maximum(weight, 1e-6)[..., None]
    if weight.min() >= 1 or max(height, width) == 1:
        return known

    half = max(1, (width + 1) // 2), max(1, (height + 1) // 2)
    smaller_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    smaller_colour = cv2.resize(colour, half, interpolation=cv2.INTER_AREA)
    # what is known in part is taken for known: its colour is already a mean of known pixels alone
    more = np.minimum(1, 2 * smaller_weight) / np.maximum(smaller_weight, 1e-6)
    smaller = _filled(smaller_colour * more[..., None], smaller_weight * more)

    larger = cv2.resize(smaller, (width, height), interpolation=cv2.INTER_LINEAR)
    return known * weight[..., None] + larger * (1 - weight)[..., None]
