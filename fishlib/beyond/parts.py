"""A photo taken apart at the network's size: fish, how much of each pixel is fish, and the background without it.

Every picture that asks what a background, an outline or a fill tells is put together of these (see pictures).
"""

from typing import NamedTuple

import cv2
import numpy as np

from fishlib.beyond import fills
from fishlib.photos import composite, masks

REACH = 0.02  # of the long side, ours: so far around the fish its shadow and soft edge are taken out with it


class Parts(NamedTuple):
    """One photo, S x S. photo: uint8 (S, S, 3) as it is. fish: uint8 (S, S, 3) on black, the variant Mask. share:
    float32 (S, S), 0..1 of each pixel that is fish. background: uint8 (S, S, 3), the fish and REACH around it filled
    from the rest. box: bool (S, S), the pixels that the fish's box touches.
    """

    photo: np.ndarray
    fish: np.ndarray
    share: np.ndarray
    background: np.ndarray
    box: np.ndarray


def apart(image: np.ndarray, mask: np.ndarray, size: int = 224, fit: str = "squash") -> Parts:
    """Parts of a photo. image: uint8 (H, W, 3); mask: bool (H, W), some of it fish."""
    photo = composite.to_square(image, size, fit)
    around = _share(_grown(mask), size, fit) > 0
    return Parts(
        photo=photo,
        fish=composite.to_square(composite.fill(image, mask, (0, 0, 0)), size, fit),
        share=_share(mask, size, fit),
        background=fills.fill(photo, around),
        box=_share(_box(mask), size, fit) > 0,
    )


def _share(mask: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Float32 (size, size): how much of each pixel of the square is in the mask, transformed as a picture is."""
    white = np.repeat(mask.astype(np.uint8)[..., None] * 255, 3, axis=2)
    return composite.to_square(white, size, fit)[..., 0].astype(np.float32) / 255


def _grown(mask: np.ndarray) -> np.ndarray:
    reach = max(1, round(REACH * max(mask.shape)))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), disk).astype(bool)


def _box(mask: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = masks.box_of(mask).astype(int)
    filled = np.zeros(mask.shape, bool)
    filled[y0:y1, x0:x1] = True
    return filled
