"""Photos in: the one gate that decodes them, a manifest with a row for every file, and the seeded draws."""

import hashlib
import io
import os
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from fishlib import cache
from fishlib.errors import UnreadablePhoto, UserError

COLUMNS = ["photo_id", "species", "path", "sha256", "width", "height", "status", "reason"]
IGNORED = {"thumbs.db", "desktop.ini", "curation.csv"}
MAX_PIXELS = 200_000_000  # the largest phone cameras; more is an error or a decompression bomb
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns from here on and refuses beyond twice this
Image.init()
# a fixed list, since Pillow would hand a PostScript file named .jpg to Ghostscript
FORMATS = [f for f in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF") if f in Image.OPEN]
HEIC = {".heic", ".heif"}
SUFFIXES = HEIC | {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}


def decode(path: Path, background: str = "white") -> np.ndarray:
    """One photo as uint8 (H, W, 3) RGB: EXIF-turned, 16 bits scaled to 8, alpha laid over the background,
    first frame of several, no colour management. UnreadablePhoto, naming the file, for anything else."""
    try:
        return _decode(Path(path).read_bytes(), background)
    except (OSError, UnreadablePhoto) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadablePhoto(f"{path} is no readable photo ({reason}); replace or remove it.") from error


def _decode(data: bytes, background: str = "white") -> np.ndarray:
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


def scan(photos: Path, progress: bool = False) -> pd.DataFrame:
    """The manifest of a folder-per-species tree: COLUMNS, one row for every file, sorted by photo_id.

    Each is decoded once. status: ok, unreadable, or excluded (not right inside a species folder, or its mask
    would have another's name); width and height 0, sha256 empty where unknown. Hidden files and IGNORED are
    no rows. UserError for a missing folder, and for one without a readable photo in a species folder.
    """
    root = Path(photos)
    if not root.is_dir():
        what = "no folder" if root.exists() else "not there"
        raise UserError(f"The photos folder {root} is {what}; give one that holds a folder for each species.")
    files = list(_files(root))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        rows = pool.map(lambda file: _row(root, file), files)
        rows = tqdm(rows, "reading photos", len(files), disable=not progress)
        rows = sorted(rows, key=lambda row: row["photo_id"])
    taken = {}
    for row in (row for row in rows if row["status"] == "ok"):
        # some file systems see no difference in case or in Unicode form
        stem = unicodedata.normalize("NFC", row["photo_id"].rsplit(".", 1)[0]).casefold()
        if (first := taken.setdefault(stem, row["photo_id"])) != row["photo_id"]:
            row |= {"status": "excluded", "reason": f"same name as {first}, rename one of them"}
    if not taken:
        first = f" (first: {rows[0]['photo_id']}, {rows[0]['reason']})" if rows else ""
        raise UserError(f"{root} holds no readable photo in a species folder{first}; add photos.")
    return pd.DataFrame(rows, columns=COLUMNS)


def _files(root: Path):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names + [name for name in folders if Path(folder, name).is_symlink()]:
            if not name.startswith(".") and name.lower() not in IGNORED:
                yield Path(folder, name)


def _row(root: Path, file: Path) -> dict:
    name = file.relative_to(root).as_posix()
    photo_id = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    species = unicodedata.normalize("NFC", photo_id.split("/")[0]) if "/" in photo_id else ""
    row = dict(zip(COLUMNS, [photo_id, species, photo_id, "", 0, 0, "unreadable", ""], strict=True))
    try:
        if photo_id != name:
            raise UnreadablePhoto("its name is not UTF-8, rename it")
        if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
            raise UnreadablePhoto("a link that leads out of the photos folder")
        if not file.is_file():
            raise UnreadablePhoto("a link to a folder or to nothing, or no regular file")
        if (suffix := file.suffix.lower()) not in SUFFIXES:
            raise UnreadablePhoto(f"not a photo ({suffix or 'no suffix'})")
        data = file.read_bytes()
        row["sha256"] = hashlib.sha256(data).hexdigest()
        row["height"], row["width"] = _decode(data).shape[:2]
    except (OSError, RuntimeError, UnreadablePhoto) as error:  # RuntimeError: links in a loop, Python < 3.13
        hint = " (HEIC: save it as JPEG)" if file.suffix.lower() in HEIC else ""
        return row | {"reason": " ".join(str(getattr(error, "strerror", None) or error).split()) + hint}
    if (depth := photo_id.count("/")) != 1:
        why = "in a subfolder" if depth else "in no species folder"
        return row | {"status": "excluded", "reason": f"{why}, put it right into a species folder"}
    return row | {"status": "ok"}


def read_manifest(csv: Path) -> pd.DataFrame:
    """A manifest as scan gives it, from its CSV; UserError where it cannot be read or lacks columns."""
    try:
        frame = pd.read_csv(csv, dtype=str, keep_default_na=False, encoding="utf-8")
        return frame.astype({"width": int, "height": int})[COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The manifest {csv} cannot be read ({error}); delete it, then run again.") from error


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """A CSV (UTF-8, \\n, no index), atomically; 9 digits hold a float32 and drop the noise of a float64."""
    cache.write_text(path, frame.to_csv(index=False, lineterminator="\n", float_format="%.9g"))


def ahead(items: list, load: Callable) -> Iterator[tuple]:
    """(item, load(item)) in order; while the caller works on one, a thread loads the next, and no more than that."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(load, items[0]) if items else None
        for item, following in zip(items, [*items[1:], None], strict=False):
            loaded, coming = coming.result(), None if following is None else pool.submit(load, following)
            yield item, loaded


def _shuffled(ids, species: str, *entropy: int) -> list[str]:
    name = hashlib.sha256(unicodedata.normalize("NFC", species).encode()).digest()
    random = np.random.default_rng(np.random.SeedSequence([*entropy, int.from_bytes(name[:8], "big")]))
    return random.permutation(np.array(sorted(ids), dtype=object)).tolist()


def draw_shots(manifest_ok: pd.DataFrame, shots: int, trial: int, seed: int) -> list[str]:
    """The photo_ids of one K-shot draw, species sorted, each the first K of a permutation seeded by (seed,
    trial, species): nested in K, the same whatever the other species and the rows' order. manifest_ok holds
    evaluated rows alone. UserError where a species has fewer than K + 1 photos (one must be left to test)."""
    groups = sorted(manifest_ok.groupby("species")["photo_id"])
    if few := [f"{name} ({len(ids)})" for name, ids in groups if len(ids) <= shots]:
        raise UserError(f"K = {shots} needs {shots + 1} photos each: lower K or add to {', '.join(few)}.")
    return [pick for name, ids in groups for pick in _shuffled(ids, name, seed, trial)[:shots]]


def split_half(manifest_ok: pd.DataFrame, seed: int) -> tuple[list[str], list[str], list[str]]:
    """(train ids, test ids, species left out): a seeded half of each species, rounded down, trains. A species
    of one photo cannot be halved: its photo is in neither list, its name in the third."""
    halves = [], []
    groups = sorted(manifest_ok.groupby("species")["photo_id"])
    for order in (_shuffled(ids, name, seed) for name, ids in groups if len(ids) > 1):
        halves[0].extend(order[: len(order) // 2])
        halves[1].extend(order[len(order) // 2 :])
    return *halves, [name for name, ids in groups if len(ids) == 1]
