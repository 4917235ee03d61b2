"""Background removal for any photos: cut-outs and masks in a tree like theirs, index.csv with a row each."""

import json
import os
import re
import unicodedata
from collections import Counter
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from fishlib import cache
from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import writing
from fishlib.files.frames import write_frame
from fishlib.photos import composite, decode, masks
from fishlib.photos.manifest import files_below
from fishlib.removal import segmenters

BOX = ["x0", "y0", "x1", "y1"]  # XYXY, pixels of the photo
JOURNAL = ".journal.jsonl"  # rows since index.csv was written; there after a kill
COLUMNS = ["path", "status", "reason", *BOX, "score", "cutout", "mask", "sha256", "settings"]


def cut(
    paths, out, method, background="black", crop=False, dilate=0, params=None, device="auto", offline=False,
    overwrite=False,
) -> dict[str, int]:  # fmt: skip
    """Write out/<name below the given folder>.png and out/masks/<the same>.png, at each photo's own size.

    paths: photos or folders. background: transparent, #rrggbb or one of composite.BACKGROUNDS. crop: to the
    detected box (the mask stays whole). dilate: so often, 3 x 3, at the working size of 640 px. A photo
    without a usable mask has a row and no picture; so has one whose place is another photo's or holds a file
    not made here (status not_written). Finished photos (same content and settings) are left alone. Returns
    counts: photos, new, each status. UserError for a missing input, a wrong option, an output that cannot be
    written, and one that holds cut-outs of other settings, unless `overwrite`.
    """
    colour, out = _colour(background), Path(out).expanduser().resolve()
    if dilate < 0:
        raise UserError(f"--dilate {dilate} is no number of dilations; give 0 or more.")
    photos, rows, new = _photos(paths, out), _read(out / "index.csv"), 0
    segmenter = segmenters.build(method, params, device, offline)
    key = cache.key(segmenter=segmenter.key)[:12]
    settings = f"{method} background={background} crop={crop} dilate={dilate} {key}"
    if not overwrite and (other := {row["settings"] for row in rows.values()} - {settings, ""}):
        why = f"made with '{min(other)}', not '{settings}' (last: the method's parameters and checkpoints)"
        raise UserError(f"{out} holds cut-outs {why}; choose another --out or use --overwrite.")
    owners = {_fold(row[k]): path for path, row in rows.items() for k in ("cutout", "mask") if row[k]}

    def load(path: str) -> tuple:
        """(sha256, photo), (sha256 or "", why it cannot be read), or (sha256, None) where the photo is finished."""
        row, digest = rows.get(path, _row(path)), ""
        whole = all((out / row[kind]).is_file() for kind in ("cutout", "mask") if row[kind])
        try:
            digest = cache.file_hash(path) if Path(path).is_file() else ""
            if whole and (row["settings"], row["sha256"]) == (settings, digest):
                return digest, None
            if not digest:
                raise UnreadablePhoto(f"{path} is no regular file, or its name is not UTF-8.")
            return digest, decode.decode(path)
        except UnreadablePhoto as error:
            return digest, error
        except OSError as error:
            return digest, UnreadablePhoto(f"{path} cannot be read ({error.strerror}).")

    def keep(row: dict) -> None:
        """The row in the journal: the list itself, of thousands of photos, takes longer to write than a photo."""
        rows[row["path"]] = row
        out.mkdir(parents=True, exist_ok=True)
        with (out / JOURNAL).open("a", encoding="utf-8") as journal:
            said = {k: "" if value != value else value for k, value in row.items()}  # no score is no number
            journal.write(json.dumps(said, ensure_ascii=False) + "\n")

    try:
        try:
            for path, (digest, image) in tqdm(decode.ahead(list(photos), load), f"cut ({method})", len(photos)):
                cutout = Path(photos[path]).with_suffix(".png").as_posix()
                files = {"cutout": cutout, "mask": f"masks/{cutout}"}
                if why := _taken(path, files.values(), owners, out):
                    rows[path] = _row(path, status="not_written", reason=why)
                    continue
                if image is None:
                    continue
                new += 1
                if not digest:  # it may be read another time: what was cut of it stays
                    told = {"status": "unreadable", "reason": str(image), "sha256": "", "settings": settings}
                    keep(rows.get(path, _row(path)) | told)
                    continue
                owners |= {_fold(file): path for file in files.values()}
                keep(_row(path, status="pending", **files))  # after a kill these are known as our own
                found, picture, mask = _segment(image, photos[path], segmenter, colour, crop, dilate)
                for file in files.values() if picture is None else ():  # what other settings left
                    (out / file).unlink(missing_ok=True)
                if picture is not None:
                    masks.write_mask(mask, out / files["mask"])
                    with writing.atomic(out / files["cutout"]) as temporary:
                        temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
                    found |= files
                keep(_row(path, sha256=digest, settings=settings, **found))
        finally:
            _write(rows, out)
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); choose another --out.") from error
    return {"photos": len(photos), "new": new, **Counter(rows[path]["status"] for path in photos)}


def _colour(background: str) -> tuple[int, int, int] | None:
    if re.fullmatch(r"#[0-9a-fA-F]{6}", background):
        return tuple(bytes.fromhex(background[1:]))
    if background not in (colours := {"transparent": None, **composite.BACKGROUNDS}):
        raise UserError(f"Unknown background {background!r}; choose {', '.join(colours)} or #rrggbb.")
    return colours[background]


def _photos(paths: list, out: Path) -> dict[str, str]:
    """path -> photo_id (posix, below the given folder) of every file given, but hidden ones and `out`."""
    found = {}
    for given in (Path(path).expanduser() for path in paths):
        root = given.resolve()
        if not root.exists() or root == out:
            why = "the output folder itself" if root == out else "not there"
            raise UserError(f"{given} is {why}; give photos or folders of photos, and another --out.")
        base, files = given.parent.resolve(), [given.parent.resolve() / given.name]
        if root.is_dir():
            base, files = root, sorted(files_below(root))
        for file in files:
            if not (out.is_relative_to(root) and file.is_relative_to(out)):
                names = map(os.fsencode, (file.as_posix(), file.relative_to(base).as_posix()))
                found.setdefault(*(name.decode(errors="backslashreplace") for name in names))
    if not found:
        raise UserError(f"There is no file in {', '.join(map(str, paths))}; give photos or folders of them.")
    return found


def _fold(file: str) -> str:
    """One name for what some file systems take for the same file."""
    return unicodedata.normalize("NFC", file).casefold()


def _taken(path: str, files, owners: dict[str, str], out: Path) -> str:
    """Why the photo's files may not be written, empty when they may."""
    for file in files:
        if (owner := owners.get(_fold(file), path)) != path:
            return f"{file} belongs to {owner}, rename one of them"
        if not (out / file).resolve().is_relative_to(out):
            return f"a link leads {file} out of the output folder"
        if _fold(file) not in owners and (out / file).exists():
            return f"{file} is there and was not made by fishlib cut"
    return ""


def _segment(image, photo_id, segmenter, colour, crop, dilate) -> tuple:
    """What was found, for the row; the cut-out as OpenCV writes it (BGR, BGRA) and the mask, or None.

    image: uint8 (H, W, 3), or the UnreadablePhoto that tells why there is none.
    """
    if isinstance(image, UnreadablePhoto):
        return {"status": "unreadable", "reason": str(image)}, None, None
    small, (height, width) = decode.working(image), image.shape[:2]
    [found] = segmenter.segment([small], [photo_id])
    row, box = {"status": found.status, "reason": found.reason}, found.box
    if box is not None:
        box = box * np.array([width / small.shape[1], height / small.shape[0]] * 2)
        row |= dict(zip(BOX, box.tolist(), strict=True)) | {"score": found.score}
    if found.status != segmenters.OK:
        return row, None, None
    mask = masks.resize_mask(masks.dilate(found.mask, dilate), (height, width))
    picture = composite.fill(image, mask, colour or (0, 0, 0))[..., ::-1]
    if colour is None:
        picture = np.dstack([picture, mask.astype(np.uint8) * 255])
    if crop and box is not None:
        x0, y0, x1, y1 = composite.crop_window(box, height, width)
        picture = picture[y0:y1, x0:x1]
    return row, np.ascontiguousarray(picture), mask


def _row(path: str, **facts) -> dict:
    return dict.fromkeys(COLUMNS, "") | {"path": path} | facts


def _read(index: Path) -> dict[str, dict]:
    try:
        frame = pd.read_csv(index, dtype=str, keep_default_na=False)[COLUMNS] if index.exists() else None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{index} was not made by fishlib cut; choose another --out.") from error
    rows = {} if frame is None else {row["path"]: row for row in frame.to_dict("records")}
    journal = index.with_name(JOURNAL)
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else ():
        with suppress(ValueError, KeyError, TypeError):  # a kill may leave half a line
            row = json.loads(line)
            rows[row["path"]] = _row(row["path"]) | {k: str(row[k]) for k in COLUMNS}
    return rows


def _write(rows: dict[str, dict], out: Path) -> None:
    """index.csv, whole; the journal has then said what it had to."""
    write_frame(pd.DataFrame(rows.values(), columns=COLUMNS), out / "index.csv")
    (out / JOURNAL).unlink(missing_ok=True)
