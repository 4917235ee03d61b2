"""The one gate that decodes photos, and photos read ahead."""

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fishlib.errors import UnreadablePhoto

MAX_PIXELS = 200_000_000  # the largest phone cameras; more is an error or a decompression bomb
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns from here on and refuses beyond twice this
Image.init()
# a fixed list, since Pillow would hand a PostScript file named .jpg to Ghostscript
FORMATS = [f for f in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF") if f in Image.OPEN]
HEIC = {".heic", ".heif"}
SUFFIXES = HEIC | {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}


class Photo(NamedTuple):
    """A decoded photo. pixels: uint8 (h, w, 3) RGB; height, width: its own size; sha256 of the file's bytes, hex."""

    pixels: np.ndarray
    height: int
    width: int
    sha256: str


def read(path: Path, sha256: str = "", background: str = "white") -> Photo:
    """One photo, as `decode` reads it. sha256: what the file's bytes must have, when they were seen before.

    UnreadablePhoto, the reason alone as a row states it, where they have not, and for what is no readable photo.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadablePhoto(error.strerror or str(error)) from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise UnreadablePhoto("changed since the scan; scan the photos again (notebook 01)")
    pixels = decode_bytes(data, background)
    return Photo(pixels, *pixels.shape[:2], found)


def decode(path: Path, background: str = "white") -> np.ndarray:
    """One photo as uint8 (H, W, 3) RGB: EXIF-turned, 16 bits scaled to 8, alpha laid over the background,
    first frame of several, no colour management. UnreadablePhoto, naming the file, for anything else."""
    try:
        return decode_bytes(Path(path).read_bytes(), background)
    except (OSError, UnreadablePhoto) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadablePhoto(f"{path} is no readable photo ({reason}); replace or remove it.") from error


def decode_bytes(data: bytes, background: str = "white") -> np.ndarray:
    if not data:
        raise UnreadablePhoto("empty file, 0 bytes")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
            return _to_rgb(image, background)
    except UnidentifiedImageError as error:
        raise UnreadablePhoto("no picture in a format that is read") from error
    except Exception as error:  # a broken file makes Pillow's decoders raise nearly anything
        raise UnreadablePhoto(f"cannot be decoded: {error or type(error).__name__}") from error


def _to_rgb(image: Image.Image, background: str) -> np.ndarray:
    with suppress(Exception):  # broken EXIF says nothing about the pixels: take them as they lie
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels have no fixed range, save it with 8 or 16 bits")
        image = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range, save it with 8 or 16 bits")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def working(image: np.ndarray, side: int = 640) -> np.ndarray:
    """The photo, its long side at most side pixels (the paper: about 640), area-averaged, never larger."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image if scale >= 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def ahead(items: list, load: Callable) -> Iterator[tuple]:
    """(item, load(item)) in order; while the caller works on one, a thread loads the next, and no more than that."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(load, items[0]) if items else None
        for item, following in zip(items, [*items[1:], None], strict=False):
            loaded, coming = coming.result(), None if following is None else pool.submit(load, following)
            yield item, loaded
