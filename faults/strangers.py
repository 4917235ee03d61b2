"""Strangers' files: good ones of each kind, and hypothesis strategies that spoil them."""

import io
import json
import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

EDITS = ("flip", "drop", "insert", "repeat", "cut", "large", "zero")
NUMBERS = [0, 1, -1, 2, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**63, -(2**63), 10**30, 10**400]
FRACTIONS = [0.5, -0.0, 1e-320, 1e308, math.nan, math.inf, -math.inf]
TEXTS = [
    "",
    " ",
    "0",
    "nan",
    "true",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "..",
    "a/../../b",
    "file:///etc/passwd",
    "{out}",
    "%s%n",
    "=cmd|' /C calc'!A0",
    "<img src=x onerror=alert(1)>",
    "`<img src=x onerror=alert(1)>`",
    "\r",
    "a\nb",
    "a\u2028b",
    "\x00",
    "\x1b[31m",
    "\u202egpj.exe",
    "マサバ",
    "é",
    "e\u0301",
    "𝔉" * 100,
    "a" * 300,
    "9" * 5000,
    "Icon\r",
    "CON",
    "~root",
]
FACTS = {
    "backbone": "mobilenetv3_small_050",
    "pretraining": "none",
    "classes": ["a", "b"],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "history": {"epochs": 1},
    "training_hashes": ["0" * 64],
}

texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(FRACTIONS) | st.floats() | texts
odd_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoiled_bytes(draw, goods: list[bytes]) -> bytes:
    """One of the good files with some bytes changed, lost, repeated; rarely no such file at all."""
    if draw(st.integers(0, 24)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(goods)))
    for _ in range(draw(st.integers(1, 8))):
        edit = draw(st.sampled_from(EDITS))
        # headers decide most: every other change falls into the first 200 bytes
        reach = len(data) if draw(st.booleans()) else min(200, len(data))
        at = draw(st.integers(0, max(0, reach - 1)))
        piece = draw(st.binary(min_size=1, max_size=8))
        _edit(data, edit, at, piece)
    return bytes(data)


def _edit(data: bytearray, edit: str, at: int, piece: bytes) -> None:
    span = len(piece)
    if edit == "flip" and data:
        data[at] ^= piece[0] or 1
    elif edit == "drop":
        del data[at : at + span]
    elif edit == "insert":
        data[at:at] = piece
    elif edit == "repeat":
        data[at:at] = data[at : at + 16 * span]
    elif edit == "cut" and piece[0] > 128:
        del data[at:]
    elif edit == "large":
        data[at : at + 4] = b"\x7f\xff\xff\xff"
    elif edit == "zero":
        data[at : at + span] = bytes(span)


@st.composite
def spoiled_values(draw, good: Any) -> Any:
    """A document (nested lists and objects) with one to four of its values odd, missing, or there twice."""
    value = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 4))):
        all_places = list(places(value))
        if not all_places:
            return draw(odd_values)
        holder, key = draw(st.sampled_from(all_places))
        kind = draw(st.sampled_from(("odd", "odd", "odd", "gone", "twice", "deep")))
        if kind == "odd":
            holder[key] = draw(odd_values)
        elif kind == "gone":
            del holder[key]
        elif kind == "twice" and isinstance(holder, list):
            holder.append(holder[key])
        elif kind == "deep":
            holder[key] = _nested(draw(st.sampled_from([5, 70, 2000])))
    return value


def places(value: Any):
    """(holder, key) of every value inside a document."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = holder if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in list(keys):
            yield holder, key
            waiting.append(holder[key])


def _nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def as_json(value: Any) -> bytes:
    """JSON in UTF-8; what is nested deeper than Python's own writer follows is written as brackets alone."""
    try:
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except RecursionError:
        return b"[" * 2000 + b"]" * 2000


def tables(header: list[str], rows: list[list[str]]) -> st.SearchStrategy[bytes]:
    """CSV files: cells odd, the header changed, other separators and encodings, bytes spoiled."""
    good = _csv([header, *rows], ",")

    @st.composite
    def table(draw) -> bytes:
        cells = [list(header), *(list(row) for row in rows)]
        for _ in range(draw(st.integers(0, 4))):
            row = draw(st.sampled_from(cells))
            if row:
                row[draw(st.integers(0, len(row) - 1))] = draw(texts)
            if draw(st.integers(0, 5)) == 0:
                row.append(draw(texts))
            if row and draw(st.integers(0, 8)) == 0:
                row.pop()
        separator = draw(st.sampled_from([",", ",", ";", "\t", "|"]))
        encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp932", "latin-1"]))
        return _csv(cells, separator).decode("utf-8").encode(encoding, "replace")

    return table() | spoiled_bytes([good])


def _csv(rows: list[list[str]], separator: str) -> bytes:
    quoted = [[f'"{cell}"' if separator in cell or '"' in cell else cell for cell in row] for row in rows]
    return ("\n".join(separator.join(row) for row in quoted) + "\n").encode("utf-8", "replace")


# Good files of each kind


def pictures() -> list[bytes]:
    """Small pictures of every format and pixel mode that people send."""
    random = np.random.default_rng(0)
    colours = Image.fromarray(random.integers(0, 256, (24, 40, 3), np.uint8))
    alpha = colours.convert("RGBA")
    alpha.putalpha(Image.fromarray(random.integers(0, 2, (24, 40), np.uint8) * 255))
    deep = Image.fromarray(random.integers(0, 65536, (24, 40)).astype(np.uint16))
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a fish " * 200, zip=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    made = [
        _encoded(colours, "JPEG", exif=exif),
        _encoded(colours, "JPEG", progressive=True),
        _encoded(colours.convert("CMYK"), "JPEG"),
        _encoded(colours, "PNG", pnginfo=text),
        _encoded(alpha, "PNG"),
        _encoded(colours.convert("P"), "PNG"),
        _encoded(deep, "PNG"),
        _encoded(colours, "WEBP"),
        _encoded(alpha, "WEBP", lossless=True),
        _encoded(colours, "TIFF", compression="tiff_lzw"),
        _encoded(deep, "TIFF"),
        _encoded(colours.convert("F"), "TIFF"),
        _encoded(colours, "BMP"),
        _encoded(colours.convert("P"), "GIF", save_all=True, append_images=[colours.convert("P")]),
    ]
    return [data for data in made if data]


def mask_pictures() -> list[bytes]:
    """Masks as people and programs write them: black and white, 0 and 1, palettes, cut-outs with alpha."""
    mask = np.zeros((24, 40), np.uint8)
    mask[6:18, 8:30] = 255
    colours = Image.fromarray(np.dstack([mask, mask // 2, mask // 3]))
    cut_out = colours.convert("RGBA")
    cut_out.putalpha(Image.fromarray(mask))
    made = [Image.fromarray(mask), Image.fromarray(mask // 255), Image.fromarray(mask).convert("1"), colours, cut_out]
    return [_encoded(picture, "PNG") for picture in made]


def _encoded(picture: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    try:
        picture.save(file, format, **options)
    except (OSError, KeyError, ValueError):
        return b""  # this machine's Pillow cannot write it
    return file.getvalue()


def coco() -> dict[str, Any]:
    """A COCO file of two photos of 40 x 24 pixels: an outline, uncompressed and compressed run lengths."""
    sizes = {"height": 24, "width": 40}
    outline = [8, 6, 30, 6, 30, 18, 8, 18]
    return {
        "images": [{"id": 1, "file_name": "a/1.png", **sizes}, {"id": 2, "file_name": "a/2.png", **sizes}],
        "categories": [{"id": 1, "name": "fish"}, {"id": 2, "name": "ruler"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [outline], "bbox": [8, 6, 22, 12]},
            {
                "id": 2,
                "image_id": 2,
                "category_id": 1,
                "segmentation": {"size": [24, 40], "counts": [240, 240, 480]},
                "iscrowd": 1,
            },
            {"id": 3, "image_id": 2, "category_id": 2, "segmentation": {"size": [24, 40], "counts": "`7`7`>"}},
        ],
    }


def with_metadata(said: bytes) -> bytes:
    """A .safetensors file of one small tensor whose metadata holds these facts, well-formed or not."""
    header = {
        "__metadata__": {"fishlib": said.decode("utf-8", "replace")},
        "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(16)


def checkpoints() -> list[bytes]:
    """Small checkpoint files: safetensors with fishlib's facts, torch's own, and nested as trainers write them."""
    import torch

    tensor = torch.zeros(2, 2)
    made = [with_metadata(json.dumps(FACTS).encode())]
    for content in ({"w": tensor}, {"model": {"w": tensor}, "epoch": 3}, {"state_dict": {"module.w": tensor}}):
        file = io.BytesIO()
        torch.save(content, file)
        made.append(file.getvalue())
    return made
