"""What must be known of a picture file before it is decoded: is it read at all, and how much memory it takes."""

import struct

from PIL import Image

Image.init()
# a fixed list, since Pillow would hand a PostScript file named .jpg to Ghostscript
FORMATS = [f for f in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF") if f in Image.OPEN]
SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
REDUCIBLE = ("JPEG", "MPO")  # MPO: a JPEG with further pictures behind it, of which the first is taken
PNG = b"\x89PNG\r\n\x1a\n"
HEADER = 4096  # bytes that tell a format

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
HEIF_BRANDS = (b"mif1", b"msf1")  # a container of any codec: the compatible brands say which

STORAGE = {"1": 1, "L": 1, "P": 1, "I;16": 2}  # bytes a pixel in Pillow; in every other mode 4
# Bytes a pixel that these decoders hold beside or before that (Pillow 13, measured on pictures of 49 million pixels;
# AVIF with an allowance for 10 bits and alpha, JPEG2000 for a fourth channel). What depends on the file comes on top.
DECODER = {"WEBP": 16, "AVIF": 24, "JPEG2000": 26}

# what may be long and says nothing of the pixels; eXIf stays, it knows how the photo was held
TEXTS = (b"tEXt", b"zTXt", b"iCCP")
XMP = b"XML:com.adobe.xmp\0\0"  # uncompressed; it may know how the photo was held, too
LONGEST_XMP = 1 << 20


def is_picture(header: bytes) -> bool:
    """Do a file's first bytes look like one of FORMATS? (Its name says nothing sure.)"""
    accepts = [Image.OPEN[name][1] for name in FORMATS]
    return any(accept is None or accept(header) for accept in accepts)


def is_heic(header: bytes) -> bool:
    """Is it the format of iPhones, which is not read here, whatever suffix it has?"""
    if header[4:8] != b"ftyp":
        return False
    brand = header[8:12]
    if brand in HEIC_BRANDS:
        return True
    size = int.from_bytes(header[:4], "big")
    compatible = [header[i : i + 4] for i in range(16, min(size, len(header)), 4)]
    return brand in HEIF_BRANDS and not {b"avif", b"avis"} & {*compatible}


def memory(image: Image.Image, data: bytes, shrink: int = 1) -> int:
    """Bytes that decoding takes at its peak, the file's own among them; foretold from the header.

    image: as Pillow opened it, not yet loaded. data: the file. shrink: 1, or 2, 4, 8 for a JPEG decoded reduced.
    """
    width, height = image.size
    pixels = width * height // shrink**2
    kept = STORAGE.get(image.mode, 4)  # by Pillow, from which our array of 3 bytes a pixel is filled
    a_pixel = max(kept + 3, DECODER.get(image.format, 0))
    return len(data) + a_pixel * pixels + _extra(image, data)


def without_texts(png: bytes) -> bytes:
    """A PNG without its texts and colour profile, of which Pillow decodes no more than a megabyte; pixels untouched."""
    kept, start = [png[:8]], 8
    while start + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        end = start + 12 + length
        text = png[start + 8 : start + 8 + len(XMP)]
        drop = kind in TEXTS or (kind == b"iTXt" and (text != XMP or length > LONGEST_XMP))
        if not drop:
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


def _extra(image: Image.Image, data: bytes) -> int:
    """Bytes a decoder holds beside the pixels: a JPEG's coefficients, a strip or tile of a TIFF."""
    if image.format in ("JPEG", "MPO"):
        return _coefficients(data, image.size[0] * image.size[1])
    if image.format == "TIFF":
        compression = image.info.get("compression")
        copies = {"raw": 0, "jpeg": 3, "tiff_jpeg": 3}.get(compression, 1)  # a JPEG inside holds coefficients, too
        return copies * _strip(image)
    return 0


def _coefficients(jpeg: bytes, pixels: int) -> int:
    """Bytes of coefficients that libjpeg keeps: 2 each, of all components of the whole picture, where it comes in
    several scans (progressive or not); none where one scan holds everything."""
    most = 8 * pixels  # four components, none of them subsampled
    components: dict[int, int] = {}  # id -> samples in a block of pixels
    progressive, block, place = False, 1, 2
    while True:
        place = jpeg.find(b"\xff", place) + 1
        if place == 0 or place + 9 > len(jpeg):
            return most
        marker = jpeg[place]
        if marker in (0x00, 0xFF, 0x01) or 0xD0 <= marker <= 0xD8:  # padding, or a marker without a length
            place += marker != 0xFF
            continue
        length = int.from_bytes(jpeg[place + 1 : place + 3], "big")
        segment = jpeg[place + 3 : place + 1 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the frame
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
            factors = [(segment[i], segment[i + 1] >> 4, segment[i + 1] & 15) for i in range(6, len(segment) - 2, 3)]
            components = {name: across * down for name, across, down in factors}
            block = max([across for _, across, _ in factors], default=1) * max([d for *_, d in factors], default=1)
        if marker == 0xDA:  # the first scan
            if not progressive and segment and segment[0] == len(components):
                return 0
            share = sum(components.values()) / max(block, 1)
            return min(most, int(2 * pixels * share)) if components else most
        place += 1 + length


def _strip(image: Image.Image) -> int:
    """Bytes of a strip or tile of a TIFF, decoded: its decoder holds one."""
    tags = image.tag_v2
    width, height = image.size
    try:
        bits = max(tags.get(258, (8,))) * int(tags.get(277, 4))
        rows, columns = min(int(tags.get(278, height)), height), width
        if 322 in tags:  # tiled, and a tile may be larger than the picture
            rows, columns = int(tags[323]), int(tags[322])
        return rows * columns * bits // 8
    except (TypeError, ValueError):  # tags of another kind than they should be
        return 16 * width * height
