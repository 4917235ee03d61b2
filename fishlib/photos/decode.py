"""The one gate that decodes photos, and photos read ahead.

Whatever a file holds, decoding it takes at most MEMORY bytes, foretold from its header (formats.memory):
- a file of more than MAX_BYTES and a picture of more than MAX_PIXELS are refused;
- a JPEG of more than WHOLE pixels, or one that needs more memory, is decoded reduced, to a half, a quarter or an eighth
  of its sides, as its format allows: 108 million pixels come whole, 200 million at half their sides;
- in every other format such a picture is refused.
A photo decoded reduced still knows its own size (Photo.height, Photo.width): boxes and masks are in its pixels.
"""

import hashlib
import io
import stat
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from fishlib.errors import UnreadablePhoto
from fishlib.photos import formats

MAX_BYTES = 256 << 20  # of a file
MAX_PIXELS = 200_000_000  # the largest phone cameras; more is an error or a decompression bomb
WHOLE = 120_000_000  # pixels; what is made of a photo later takes several times its 3 bytes a pixel
MEMORY = 900_000_000  # bytes for decoding one photo, so that a process stays under 1.5 GB a core
BAND = 4_000_000  # pixels turned into an array at a time
ORIENTATION = ExifTags.Base.Orientation
SIDEWAYS = (5, 6, 7, 8)
TURNED = {  # EXIF's orientation -> what turns the stored pixels upright
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # beyond it Pillow warns, and refuses beyond twice as many
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # what it warns of is held within MEMORY


class Photo(NamedTuple):
    """A decoded photo. pixels: uint8 (h, w, 3) RGB; height, width: its own size, larger where it was decoded reduced;
    sha256 of the file's bytes, hex."""

    pixels: np.ndarray
    height: int
    width: int
    sha256: str

    @property
    def shrunk(self) -> int:
        """1, or by what its sides were divided: 2, 4 or 8."""
        return round(max(self.height, self.width) / max(self.pixels.shape[:2]))


def decode(path: Path, background: str = "white") -> np.ndarray:
    """The pixels of `read`, uint8 (h, w, 3) RGB. UnreadablePhoto, naming the file, for what is no readable photo."""
    try:
        return read(path, background=background).pixels
    except UnreadablePhoto as error:
        raise UnreadablePhoto(f"{path} is no readable photo ({error}); replace or remove it.") from error


def read(path: Path, sha256: str = "", background: str = "white") -> Photo:
    """One photo: EXIF-turned, 16 bits scaled to 8, alpha laid over the background, first frame of several, no colour
    management; its name decides nothing, but for camera's raw files, which are TIFFs.

    sha256: what the file's bytes must have, when they were seen before. UnreadablePhoto, the reason alone as a row
    states it, where it has not, and for anything that is no readable photo.
    """
    path = Path(path)
    data = _bytes(path)
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise UnreadablePhoto("changed since the scan; scan the photos again (notebook 01)")
    return _decoded(data, path.suffix, lambda image, size: _photo(image, size, background, found))


def decode_bytes(data: bytes, background: str = "white") -> np.ndarray:
    """The pixels of a photo that is in memory already, uint8 (h, w, 3); UnreadablePhoto, the reason alone."""
    if not data:
        raise UnreadablePhoto("empty file, 0 bytes")
    _hold_kind(data[: formats.HEADER], None)
    return _decoded(data, "", lambda image, size: _photo(image, size, background, "")).pixels


def read_grey(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """A picture that says something of each pixel, as a mask does: (grey, alpha), both uint8 (H, W), never reduced.

    alpha is None where the format has nothing transparent. Errors as `read`.
    """
    path = Path(path)
    return _decoded(_bytes(path), path.suffix, _grey, whole=True)


def working(image: np.ndarray, side: int = 640) -> np.ndarray:
    """The photo, its long side at most side pixels (the paper: about 640), area-averaged, never larger."""
    height, width = working_shape(*image.shape[:2], side)
    if (height, width) == image.shape[:2]:
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def working_shape(height: int, width: int, side: int = 640) -> tuple[int, int]:
    """(height, width) of `working` for a photo of that size."""
    scale = side / max(height, width)
    if scale >= 1:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def ahead(items: list, load: Callable) -> Iterator[tuple]:
    """(item, load(item)) in order; while the caller works on one, a thread loads the next, and no more than that."""
    if not items:
        return
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(load, items[0])
        for item, following in zip(items, [*items[1:], None], strict=True):
            loaded = coming.result()
            if following is not None:
                coming = pool.submit(load, following)
            yield item, loaded


def _bytes(path: Path) -> bytes:
    """The bytes of a picture; UnreadablePhoto without having read on where it is none or too large."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UnreadablePhoto("no regular file")
        if facts.st_size == 0:
            raise UnreadablePhoto("empty file, 0 bytes")
        if facts.st_size > MAX_BYTES:
            raise UnreadablePhoto(f"{facts.st_size:,} bytes; files over {MAX_BYTES:,} are not read")
        with path.open("rb") as file:
            _hold_kind(file.read(formats.HEADER), path.suffix.lower())
            file.seek(0)
            data = file.read(facts.st_size + 1)
    except OSError as error:
        raise UnreadablePhoto(error.strerror or str(error)) from error
    except ValueError as error:  # a name with a null byte
        raise UnreadablePhoto(str(error)) from error
    if len(data) != facts.st_size:
        raise UnreadablePhoto("changed while it was read; run again")
    return data


def _hold_kind(header: bytes, suffix: str | None) -> None:
    """UnreadablePhoto where a file's first bytes are those of no picture that is read; suffix: None without a name."""
    if formats.is_heic(header):
        raise UnreadablePhoto("HEIC, which is not read: save it as JPEG")
    if formats.is_picture(header):
        return
    if suffix is None or suffix in formats.SUFFIXES:
        raise UnreadablePhoto("no picture in a format that is read")
    raise UnreadablePhoto(f"not a photo ({suffix or 'no suffix'})")


def _decoded(data: bytes, suffix: str, use: Callable, whole: bool = False):
    """use(loaded image, its size as (width, height) before it was reduced), errors as those of `read`."""
    try:
        try:
            return _loaded(data, suffix, use, whole)
        except ValueError:
            if not data.startswith(formats.PNG):
                raise
            return _loaded(
                formats.without_texts(data), suffix, use, whole
            )  # its texts may have been too long for Pillow
    except UnreadablePhoto:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePhoto("no picture in a format that is read") from error
    except Exception as error:  # a broken file makes Pillow's decoders raise nearly anything
        raise UnreadablePhoto(f"cannot be decoded: {error or type(error).__name__}") from error


def _loaded(data: bytes, suffix: str, use: Callable, whole: bool):
    with Image.open(io.BytesIO(data), formats=formats.FORMATS) as image:
        width, height = image.size
        suffix = suffix.lower()
        if image.format == "TIFF" and suffix and suffix not in formats.SUFFIXES:
            raise UnreadablePhoto(f"a camera's raw file ({suffix})? save it as JPEG")
        shrink = _shrink(image, data, whole)
        if shrink > 1:
            image.draft(None, (max(1, width // shrink), max(1, height // shrink)))
        image.load()
        return use(image, (width, height))


def _shrink(image: Image.Image, data: bytes, whole: bool) -> int:
    """By how much the sides are divided to decode the picture: 1, or 2, 4, 8; UnreadablePhoto if it cannot be at all.

    whole: only 1 will do, and only memory counts.
    """
    pixels = image.size[0] * image.size[1]
    millions = f"{pixels / 1e6:,.0f} million pixels"
    if pixels > MAX_PIXELS:
        raise UnreadablePhoto(f"{millions}, over the limit of {MAX_PIXELS / 1e6:.0f}: save it smaller")
    reducible = image.format in formats.REDUCIBLE and not whole
    for shrink in (1, 2, 4, 8) if reducible else (1,):
        small_enough = whole or pixels <= WHOLE * shrink**2
        if small_enough and formats.memory(image, data, shrink) <= MEMORY:
            return shrink
    advice = "save it smaller, or as JPEG (not progressive)"
    raise UnreadablePhoto(f"{millions} in {image.format} take too much memory to decode: {advice}")


def _photo(image: Image.Image, size: tuple[int, int], background: str, sha256: str) -> Photo:
    """The Photo of a loaded image; size: (width, height) of its own."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows, band in _bands(image):
        pixels[rows] = _rgb(band, background)
    orientation = _orientation(image)
    width, height = size[::-1] if orientation in SIDEWAYS else size
    return Photo(_turned(pixels, orientation), height, width, sha256)


def _rgb(image: Image.Image, background: str) -> np.ndarray:
    image = _eight_bits(image)
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _grey(image: Image.Image, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    grey = np.empty((image.height, image.width), np.uint8)
    alpha = np.empty_like(grey) if image.has_transparency_data else None
    for rows, band in _bands(image):
        band = _eight_bits(band)
        if alpha is not None:
            band = band.convert("RGBA")
            alpha[rows] = band.getchannel("A")
            band = band.convert("RGB")
        grey[rows] = band.convert("L")
    orientation = _orientation(image)
    return _turned(grey, orientation), None if alpha is None else _turned(alpha, orientation)


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """(rows, the part of the image in them), from top to bottom: what is made of each is small."""
    width, height = image.size
    step = max(1, BAND // width)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        yield rows, image if step >= height else image.crop((0, rows.start, width, rows.stop))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits scaled to 8, everything else as it is; ValueError for pixels without a fixed range."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range, save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("32-bit pixels have no fixed range, save it with 8 or 16 bits")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """How the camera was held, as EXIF says: 1 to 8."""
    with suppress(Exception):  # broken EXIF says nothing about the pixels: take them as they lie
        return image.getexif().get(ORIENTATION, 1)
    return 1


def _turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W) or (H, W, 3) as they are seen upright."""
    if orientation not in TURNED:
        return values
    return np.ascontiguousarray(TURNED[orientation](values))
