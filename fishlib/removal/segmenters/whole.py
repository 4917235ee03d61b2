"""One photo as it is: segmented at the working size, answered at its own."""

import numpy as np

from fishlib.photos import decode, masks
from fishlib.removal.segmenters import Segmentation, Segmenter

SIDE = 640  # pixels of the long side, as in the paper


def segment(segmenter: Segmenter, photo: np.ndarray, photo_id: str = "the photo") -> Segmentation:
    """photo: uint8 (H, W, 3) RGB; mask and box of the answer are those of this very size."""
    height, width = photo.shape[:2]
    small = decode.working(photo, SIDE)
    [found] = segmenter.segment([small], [photo_id])

    box = found.box
    if box is not None:
        scale = np.array([width / small.shape[1], height / small.shape[0]] * 2, np.float32)
        box = np.asarray(box, np.float32) * scale
    mask = found.mask
    if mask is not None:
        mask = masks.resize_mask(mask, (height, width))
    return Segmentation(mask, box, found.score, found.status, found.reason, found.detail)
