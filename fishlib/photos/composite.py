"""Crop and Mask: the two operations of the paper (section 4.3.1), alone or together, at 224 px.

Mask fills the background, I' = M * I + (1 - M) * B (section 3); Crop cuts to the detected box.
"""

from typing import NamedTuple

import cv2
import numpy as np

from fishlib.errors import UserError
from fishlib.photos.masks import dilate
from fishlib.profiles import BACKGROUNDS


class Variant(NamedTuple):
    """One way to show a photo to the classifier."""

    crop: bool = False
    mask: bool = False
    background: str = "black"  # the paper's default
    dilations: int = 0

    @property
    def name(self) -> str:
        parts = []
        if self.crop:
            parts.append("crop")
        if self.mask:
            parts.append("mask")
        if self.background != "black":
            parts.append(self.background)
        if self.dilations:
            parts.append(f"d{self.dilations}")
        return "_".join(parts) or "original"


ORIGINAL = Variant()
CROP = Variant(crop=True)
MASK = Variant(mask=True)
CROP_MASK = Variant(crop=True, mask=True)
BASIC = {variant.name: variant for variant in (ORIGINAL, CROP, MASK, CROP_MASK)}
LABELS = {"original": "Original", "crop": "Crop", "mask": "Mask", "crop_mask": "Crop & Mask"}


def variants_of_tables(backgrounds: list[str], dilations: list[int]) -> list[Variant]:
    """The variants of tables 2 to 4, each once: the four basic ones, then colours, then dilations."""
    colours = [CROP_MASK._replace(background=background) for background in backgrounds]
    grown = [CROP_MASK._replace(dilations=count) for count in dilations]
    return list(dict.fromkeys([*BASIC.values(), *colours, *grown]))


def fill(image: np.ndarray, mask: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """I' = M * I + (1 - M) * B. image: uint8 (H, W, 3); mask: bool (H, W); uint8 (H, W, 3) of the same size."""
    height, width = image.shape[:2]
    row = np.tile(np.array(background, np.uint8), width)
    filled = np.tile(row, (height, 1)).reshape(image.shape)  # row by row: colour by colour takes thirty times as long
    return cv2.copyTo(image, mask.view(np.uint8), filled)  # twice as fast as np.where


def crop_window(box: np.ndarray, height: int, width: int, margin: float = 0.0) -> tuple[int, int, int, int]:
    """Whole pixels (x0, y0, x1, y1) that cover an XYXY box and `margin` of its longer side, inside the photo."""
    x0, y0, x1, y1 = (float(side) for side in box)
    pad = margin * max(x1 - x0, y1 - y0)
    left = int(np.clip(np.floor(x0 - pad), 0, width - 1))
    top = int(np.clip(np.floor(y0 - pad), 0, height - 1))
    right = int(np.clip(np.ceil(x1 + pad), left + 1, width))
    bottom = int(np.clip(np.ceil(y1 + pad), top + 1, height))
    return left, top, right, bottom


def to_square(image: np.ndarray, size: int = 224, fit: str = "squash", background=(0, 0, 0)) -> np.ndarray:
    """uint8 (size, size, 3). fit: "squash" stretches both sides (our reading of the paper's "224 x 224");
    "letterbox" keeps the shape and pads with `background`."""
    height, width = image.shape[:2]
    if fit == "squash":
        return _resized(image, size, size)
    if fit != "letterbox":
        raise UserError(f"Unknown fit {fit!r}; choose squash or letterbox.")

    scale = size / max(height, width)
    new_height = max(1, round(height * scale))
    new_width = max(1, round(width * scale))
    top = (size - new_height) // 2
    left = (size - new_width) // 2
    square = np.full((size, size, 3), background, np.uint8)
    square[top : top + new_height, left : left + new_width] = _resized(image, new_height, new_width)
    return square


def compose(
    image: np.ndarray,
    mask: np.ndarray | None,
    box: np.ndarray | None,
    variant: Variant,
    size: int = 224,
    fit: str = "squash",
    margin: float = 0.0,
) -> np.ndarray:
    """One variant of a photo, uint8 (size, size, 3) RGB.

    image: uint8 (H, W, 3) RGB at working resolution; mask: bool (H, W) or None; box: (4,) XYXY in pixels of
    the image or None. Without a box Crop leaves the photo as it is, without a mask so does Mask (section
    4.3.1: an undetected photo stays unmasked). Dilation is 3 x 3, n times (our kernel; the paper gives none).
    """
    background = BACKGROUNDS[variant.background]
    masked = variant.mask and mask is not None
    if masked:
        mask = dilate(mask, variant.dilations)
    if variant.crop and box is not None:  # before the background is filled: less to fill
        x0, y0, x1, y1 = crop_window(box, *image.shape[:2], margin)
        image = image[y0:y1, x0:x1]
        if masked:
            mask = mask[y0:y1, x0:x1]
    if masked:
        image = fill(image, mask, background)
    padding = background if variant.mask else (0, 0, 0)
    return to_square(image, size, fit, padding)


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image at another size, area-averaged where a side shrinks, else cubic."""
    shrinks = height < image.shape[0] or width < image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=how)
