"""Background removal for any photos: cut-outs and masks in a tree like theirs, index.csv with a row each."""

import mimetypes
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fishlib import cache, profiles
from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import locks, writing
from fishlib.files.progress import Bar
from fishlib.photos import decode, ground, masks
from fishlib.removal import asked as asking
from fishlib.removal import segmenters
from fishlib.removal.asked import Asked
from fishlib.removal.cutouts import BOX, CutOuts, Key, new_row, number
from fishlib.removal.segmenters import answers


class Result(NamedTuple):
    """counts: photos, new, each status. failed: the rows of photos that were asked for and have no answer."""

    counts: dict[str, int]
    failed: list[dict[str, str]]


@dataclass(frozen=True)
class Settings:
    """How a photo is cut. colour: RGB of the background, None where it is transparent."""

    method: str
    segmenter: segmenters.Segmenter
    colour: tuple[int, int, int] | None
    crop: bool
    dilate: int
    text: str  # all of it in one line, as a row states it


class Loaded(NamedTuple):
    """A photo as it was found: finished, or its pixels, or why it cannot be read."""

    sha256: str  # "" where its content is not known, so that it is looked at again another time
    finished: bool = False
    photo: decode.Photo | None = None
    lost: str = ""


class Cut(NamedTuple):
    """What was found in a photo, for its row; picture: the cut-out as OpenCV writes it (BGR, BGRA), with its mask."""

    facts: dict[str, str]
    picture: np.ndarray | None = None
    mask: np.ndarray | None = None


def cut(
    photos: Iterable[Path],
    out: Path,
    method: str,
    background: str = "black",
    crop: bool = False,
    dilate: int = 0,
    params: dict | None = None,
    device: str = "auto",
    offline: bool = False,
    overwrite: bool = False,
) -> Result:
    """Write out/<name>.png and out/masks/<name>.png, at each photo's own size; names as asked.find gives them.

    photos: files or folders. background: transparent, #rrggbb or one of composite.BACKGROUNDS. crop: to the
    detected box (the mask stays whole). dilate: so often, 3 x 3, at the working size of 640 px. A photo
    without a usable mask has a row and no picture; so has one whose place is another photo's or holds a file
    not made here (status not_written). Finished photos (same content and settings) are left alone. UserError for a
    missing input, a wrong option, an output that cannot be written or that another process writes, and one that holds
    cut-outs of other settings, unless `overwrite`.
    """
    settings = _settings(method, background, crop, dilate, params, device, offline)
    out = Path(out).expanduser().resolve()
    folder, files = asking.find(photos, out)
    with locks.held(out, "fishlib cut"):
        there = CutOuts(out)
        if not overwrite:
            _hold_settings(there, settings)
        root = there.number(folder)
        try:
            new = _cut_all(files, root, there, settings, f"cut ({method})")
        finally:
            there.write()

    rows = [there.rows[root, file.name] for file in files]
    counts = {"photos": len(files), "new": new, **Counter(row["status"] for row in rows)}
    return Result(counts, [row for file, row in zip(files, rows, strict=True) if _has_failed(file, row)])


def _settings(
    method: str, background: str, crop: bool, dilate: int, params: dict | None, device: str, offline: bool
) -> Settings:
    colour = ground.colour(background)
    if dilate < 0:
        raise UserError(f"--dilate {dilate} is no number of dilations; give 0 or more.")
    if method == "imported":
        known = ", ".join(profiles.METHODS)
        raise UserError(f"Masks that are there already need no method; choose one of {known}.")
    segmenter = segmenters.build(method, params, device, offline)
    key = cache.key(segmenter=segmenter.key)[:12]
    text = f"{method} background={background} crop={crop} dilate={dilate} {key}"
    return Settings(method, segmenter, colour, crop, dilate, text)


def _hold_settings(there: CutOuts, settings: Settings) -> None:
    """UserError where the folder holds cut-outs of other settings."""
    other = {row["settings"] for row in there.rows.values()} - {settings.text, ""}
    if other:
        why = f"made with '{min(other)}', not '{settings.text}' (last: the method's parameters and checkpoints)"
        raise UserError(f"{there.out} holds cut-outs {why}; choose another --out or use --overwrite.")


def _cut_all(files: list[Asked], root: str, there: CutOuts, settings: Settings, title: str) -> int:
    """Cut every photo that is not finished, the next one read meanwhile; how many there were."""

    def load(file: Asked) -> Loaded:
        return _load(file, lambda sha256: there.is_finished((root, file.name), sha256, settings.text))

    new = 0
    for file, loaded in Bar(decode.ahead(files, load), title, len(files)):
        new += _cut_one((root, file.name), loaded, there, settings)
    return new


def _load(file: Asked, is_finished) -> Loaded:
    """The photo, decoded from the very bytes that its hash is of; is_finished(sha256): need it not be decoded?"""
    try:
        asking.hold(file)
        sha256 = cache.file_hash(file.file)
        if is_finished(sha256):
            return Loaded(sha256, finished=True)
    except (OSError, UnreadablePhoto) as error:
        return Loaded("", lost=_reason(error))
    try:
        photo = decode.read(file.file)
    except UnreadablePhoto as error:
        return Loaded(sha256 if _hash(file.file) == sha256 else "", lost=_reason(error))
    return Loaded(photo.sha256, photo=photo)


def _cut_one(key: Key, loaded: Loaded, there: CutOuts, settings: Settings) -> bool:
    """Cut one photo, write its files and its row; False where nothing was to be done."""
    if not loaded.sha256:  # it may be read another time: what was cut of it stays
        earlier = there.rows.get(key, new_row(key))
        told = {"status": "unreadable", "reason": loaded.lost, "sha256": "", "settings": settings.text}
        there.keep(earlier | told)
        return True

    name = Path(key[1]).with_suffix(".png").as_posix()
    files = {"cutout": name, "mask": f"masks/{name}"}
    why_not = there.why_not(key, files.values())
    if why_not:
        there.put(new_row(key, status="not_written", reason=why_not))
        return False
    if loaded.finished:
        return False

    there.keep(new_row(key, status="pending", **files))  # after a kill these are known as our own
    found = _segment(loaded, key[1], settings)
    facts = dict(found.facts)
    if found.picture is None:
        there.remove(files.values())
    else:
        masks.write_mask(found.mask, there.out / files["mask"])
        writing.write_bytes(there.out / files["cutout"], cv2.imencode(".png", found.picture)[1].tobytes())
        facts.update(files)
    there.keep(new_row(key, sha256=loaded.sha256, settings=settings.text, **facts))
    return True


def _segment(loaded: Loaded, name: str, settings: Settings) -> Cut:
    photo = loaded.photo
    if photo is None:
        return Cut({"status": "unreadable", "reason": loaded.lost})

    height, width = photo.pixels.shape[:2]
    small = decode.working(photo.pixels)
    found = answers.ask(settings.method, settings.segmenter, small, name)
    facts = {"status": found.status, "reason": found.reason}
    box = None
    if found.box is not None:
        box = found.box * np.array([width / small.shape[1], height / small.shape[0]] * 2)
        own = box * np.array([photo.width / width, photo.height / height] * 2)
        facts.update(zip(BOX, map(number, own.tolist()), strict=True))
        facts["score"] = number(found.score)
    if found.status != segmenters.OK:
        return Cut(facts)
    if (height, width) != (photo.height, photo.width):
        facts["reason"] = f"too large to be decoded whole, cut at {width} x {height} pixels"

    mask = masks.resize_mask(masks.dilate(found.mask, settings.dilate), (height, width))
    return Cut(facts, _picture(photo.pixels, mask, box, settings), mask)


def _picture(image: np.ndarray, mask: np.ndarray, box: np.ndarray | None, settings: Settings) -> np.ndarray:
    """The cut-out as OpenCV writes it, uint8 (h, w, 3) BGR or (h, w, 4) BGRA."""
    picture = ground.put(image, mask, box, settings.colour, settings.crop)
    channels = [2, 1, 0] if settings.colour is not ground.TRANSPARENT else [2, 1, 0, 3]
    return np.ascontiguousarray(picture[..., channels])


def _has_failed(file: Asked, row: dict[str, str]) -> bool:
    """Was a photo asked for, and is there neither a cut-out nor the answer that it has no usable mask?

    What lies in a folder and is no picture by its name, a text beside the photos say, was not asked for.
    """
    if row["status"] == "unreadable":
        kind, _ = mimetypes.guess_type(file.file.name, strict=False)
        is_picture = kind is not None and kind.startswith("image/")
        return is_picture or file.within is None or not row["sha256"]
    return row["status"] == "not_written"


def _hash(file: Path) -> str:
    try:
        return cache.file_hash(file)
    except OSError:
        return ""


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
