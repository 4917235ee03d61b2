"""A downloaded file becomes a small JPEG that says nothing but its pixels, and a number for how it looks."""

import cv2
import imagehash
import numpy as np
from PIL import Image

from fishlib.photos import decode

QUALITY = 92
LOOK = 240  # pixels: as notebook 01 looks for near duplicates


def prepared(data: bytes, side: int) -> tuple[bytes, int]:
    """(JPEG of at most `side` pixels without EXIF, place or colour profile, perceptual hash of 64 bits).

    Decoded by the gate for all photos. UnreadablePhoto, with the reason, for what it does not take.
    """
    image = decode.working(decode.decode_bytes(data), side)
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return encoded.tobytes(), look(image)


def look(image: np.ndarray) -> int:
    """Perceptual hash (64 bits) of a picture, uint8 (H, W, 3)."""
    small = Image.fromarray(np.ascontiguousarray(decode.working(image, LOOK)))
    return int(str(imagehash.phash(small)), 16)
