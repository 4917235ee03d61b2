"""Another background, or none, at a photo's own size."""

import re

import numpy as np

from fishlib.errors import UserError
from fishlib.photos import composite, masks

TRANSPARENT = None  # as a colour


def colour(background: str) -> tuple[int, int, int] | None:
    """RGB of a name or #rrggbb, TRANSPARENT for transparent; UserError for another word."""
    if re.fullmatch(r"#[0-9a-fA-F]{6}", background):
        return tuple(bytes.fromhex(background[1:]))
    colours = {"transparent": TRANSPARENT, **composite.BACKGROUNDS}
    if background not in colours:
        raise UserError(f"Unknown background {background!r}; choose {', '.join(colours)} or #rrggbb.")
    return colours[background]


def put(
    photo: np.ndarray,
    mask: np.ndarray | None,
    box: np.ndarray | None,
    background: tuple[int, int, int] | None,
    crop: bool = False,
    dilate: int = 0,
) -> np.ndarray:
    """uint8 (h, w, 3) RGB, or (h, w, 4) on a TRANSPARENT background; (h, w) is the box's size with crop.

    photo: uint8 (H, W, 3); mask: bool (H, W), None leaves the photo as it is; box: XYXY, None leaves its frame.
    """
    height, width = photo.shape[:2]
    if mask is not None and mask.shape != (height, width):
        raise UserError(f"The mask is {mask.shape}, the photo {(height, width)}; they must have one size.")
    picture = photo
    if mask is not None:
        grown = masks.dilate(mask, dilate) if dilate else mask.astype(bool)
        picture = composite.fill(photo, grown, background or (0, 0, 0))
        if background is TRANSPARENT:
            picture = np.dstack([picture, grown.astype(np.uint8) * 255])
    if crop and box is not None:
        x0, y0, x1, y1 = composite.crop_window(box, height, width)
        picture = picture[y0:y1, x0:x1]
    return np.ascontiguousarray(picture)
