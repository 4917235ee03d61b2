"""What a run found, for other programs: a COCO file for annotation tools, or an image folder with its card.

In: a run's manifest and the segments of one method. Out: `coco.json`, whose photos are named as below the run's photos
folder; or `images/`, `masks/`, `metadata.csv` and `README.md`, the form of a Hugging Face dataset. Masks that were
corrected elsewhere come back by `fishlib reproduce --masks`, whichever form they have.

Photos that count (ok, no detection, mask rejected) are in; excluded and unreadable ones are told and left out, as no
tool takes a picture without a size.
"""

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import yaml

from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import locks, paths, writing
from fishlib.files.frames import read_frame, write_frame
from fishlib.photos import decode, manifest, masks, species
from fishlib.removal import segments
from fishlib.scores.evaluation import COUNTED
from fishlib.study import Study

OUTLINES = ("rle", "polygon")
TOLERANCE = 1.0  # pixels that an outline may pass a mask's edge by: a fifth of the points, an IoU of 0.99
QUALITY = 95
METADATA = [
    "file_name", "mask_file_name", "photo_id", "species", "status", "reason", "method", "score",
    "x0", "y0", "x1", "y1", "width", "height", "author", "licence", "licence_url", "page",
]  # fmt: skip
CREDITS = ["author", "licence", "licence_url", "page"]  # columns of attribution.csv that go along
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class Cut(NamedTuple):
    """A photo that counts, and what the method found in it."""

    photo: object  # row of the manifest
    found: object  # row of the method's index
    mask: np.ndarray | None  # bool (H, W) of the photo's size
    credit: dict[str, str]  # CREDITS, as far as attribution.csv says them


def export(study: Study, form: str, out: Path, method: str | None = None, outlines: str = "rle") -> dict[str, int]:
    """as_coco or as_folder, by their names for users: coco or folder."""
    if form == "coco":
        return as_coco(study, out, method, outlines)
    if form == "folder":
        return as_folder(study, out, method)
    raise UserError(f"{form!r} is no form of export; choose coco or folder.")


def as_coco(study: Study, out: Path, method: str | None = None, outlines: str = "rle") -> dict[str, int]:
    """Write out/coco.json; counts of photos by status, and of `masks`.

    outlines: "rle", exact, compressed as pycocotools writes it; or "polygon", for tools that know no RLE: it follows
    the mask's outer edge within TOLERANCE, and holes are filled. UserError for a method that has not run.
    """
    if outlines not in OUTLINES:
        raise UserError(f"{outlines!r} is no form of outlines; choose {' or '.join(OUTLINES)}.")
    method = method or study.method
    cuts = _Cuts(study, method)
    names = species.ordered(set(cuts.photos["species"]))
    categories = {name: number for number, name in enumerate(names, 1)}
    licences: dict[tuple[str, str], int] = {}
    images, annotations = [], []
    for cut in cuts:
        image = _image(cut, len(images) + 1, licences)
        images.append(image)
        if cut.mask is not None or segments.box(cut.found) is not None:
            note = _annotation(cut, method, outlines)
            place = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": categories[cut.photo.species]}
            annotations.append(place | note)
    written = {
        "info": {"description": f"Fish cut out by {method}, exported by fishlib", "drawn": study.drawn},
        "licenses": [{"id": number, "name": name, "url": url} for (name, url), number in licences.items()],
        "categories": [
            {"id": number, "name": name, "supercategory": "fish"} | _names(name) for name, number in categories.items()
        ],
        "images": images,
        "annotations": annotations,
    }
    with locks.held(out, "fishlib export"):
        writing.write_text(out / "coco.json", json.dumps(written, ensure_ascii=False, allow_nan=False))
    return cuts.counts


def as_folder(study: Study, out: Path, method: str | None = None) -> dict[str, int]:
    """Write out/images/<species>/<name>.jpg, masks/ (PNG, white = fish), metadata.csv and README.md; counts as as_coco.

    Photos are encoded anew (JPEG, quality 95), turned as they are looked at, so that masks fit them and nothing that a
    camera wrote, such as the place, goes along.
    """
    method = method or study.method
    cuts = _Cuts(study, method)
    with locks.held(out, "fishlib export"):
        if (out / "images").exists() and not (out / "metadata.csv").exists():
            raise UserError(f"{out / 'images'} was not exported by fishlib; choose another --out.")
        rows = [_written(study, cut, out, method, cuts.counts) for cut in cuts]
        frame = pd.DataFrame([row for row in rows if row], columns=METADATA)
        write_frame(frame, out / "metadata.csv")
        writing.write_text(out / "README.md", _card(study, frame, method))
    return cuts.counts


class _Cuts:
    """The photos that count with their masks, one after the other: iterating keeps one mask in memory at a time.

    counts: photos by status and `masks`, filled while iterating. UserError where the method has not run.
    """

    def __init__(self, study: Study, method: str):
        self.folder = study.out / "segments" / paths.part_of_a_name(method, "the method")
        index = self.folder / "index.csv"
        if not index.is_file():
            there = sorted(path.parent.name for path in (study.out / "segments").glob("*/index.csv"))
            raise UserError(f"{method} has not run in {study.out}; choose one of {', '.join(there) or 'none yet'}.")
        self.photos = manifest.curated(study)
        self._found = {row.photo_id: row for row in segments.read_index(index).itertuples()}
        self._credits = _credits(study.photos / "attribution.csv")
        self.counts: Counter[str] = Counter()

    def __iter__(self):
        for photo in self.photos.itertuples():
            found = self._found.get(photo.photo_id)
            status = photo.status if found is None else found.status
            self.counts[status] += 1
            if status not in COUNTED or found is None:
                continue
            mask = self._mask(photo, found)
            self.counts["masks"] += mask is not None
            yield Cut(photo, found, mask, self._credits.get(photo.photo_id, {}))

    def _mask(self, photo, found) -> np.ndarray | None:
        file = paths.file_inside(self.folder, found.mask_file) if found.mask_file else None
        if file is None:
            return None
        mask = masks.read_mask(file)
        size = int(photo.height), int(photo.width)
        if mask.shape != size:
            raise UserError(f"{file} has {mask.shape[::-1]} pixels, its photo {size[::-1]}; run the study again.")
        return mask


def outline(mask: np.ndarray) -> list[list[float]]:
    """The outer edges of a mask, bool (H, W), as COCO polygons: [x, y, x, y, ...] a piece, in pixels, holes filled.

    Along the pixels' edges, not their centres, as COCO means it: traced at twice the size, where a pixel has edges.
    """
    double = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    pieces, _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for piece in pieces:
        edge = (piece + 1) // 2
        simple = cv2.approxPolyDP(edge, TOLERANCE, closed=True)
        points = simple if len(simple) >= 3 else edge  # a piece of a few pixels would shrink to a line
        polygons.append(points.reshape(-1).astype(float).tolist())
    return polygons


def _image(cut: Cut, number: int, licences: dict[tuple[str, str], int]) -> dict:
    photo, credit = cut.photo, cut.credit
    image = {"id": number, "file_name": photo.photo_id, "width": int(photo.width), "height": int(photo.height)}
    if credit.get("licence"):
        terms = credit["licence"], credit["licence_url"]
        image["license"] = licences.setdefault(terms, len(licences) + 1)
    if credit:
        image |= {"author": credit["author"], "coco_url": credit["page"]}
    return image | {"status": cut.found.status, "reason": cut.found.reason}


def _annotation(cut: Cut, method: str, outlines: str) -> dict:
    """Box (the detector's, else the mask's), area, outline and attributes of what was found in a photo."""
    box = segments.box(cut.found)
    if box is None:
        box = masks.box_of(cut.mask)
    x0, y0, x1, y1 = (0.0, 0.0, 0.0, 0.0) if box is None else (round(float(side), 2) for side in box)
    score = round(float(cut.found.score), 6)
    return {
        "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
        "area": 0 if cut.mask is None else int(np.count_nonzero(cut.mask)),
        "iscrowd": 0,
        "segmentation": _segmentation(cut.mask, outlines),
        "attributes": {"method": method, "score": None if np.isnan(score) else score, "status": cut.found.status},
    }


def _segmentation(mask: np.ndarray | None, outlines: str) -> dict | list:
    """A mask as COCO writes it; no outline at all where there is a box without a usable mask."""
    if mask is None:
        return []
    return masks.to_rle(mask) if outlines == "rle" else outline(mask)


def _written(study: Study, cut: Cut, out: Path, method: str, counts: Counter) -> dict | None:
    """Write the photo and its mask; its row of metadata.csv. None, counted as unreadable, where the photo is lost."""
    photo = cut.photo
    source = paths.file_inside(study.photos, photo.path)
    try:
        if source is None:
            raise UnreadablePhoto("it is not there any more")
        image = decode.decode(source)
    except UnreadablePhoto:
        counts.subtract([cut.found.status, *["masks"] * (cut.mask is not None)])
        counts["unreadable"] += 1
        return None
    picture = f"images/{Path(photo.photo_id).with_suffix('.jpg').as_posix()}"
    target = paths.inside(out, picture)
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    writing.write_bytes(target, encoded.tobytes())
    mask_file = f"masks/{Path(photo.photo_id).with_suffix('.png').as_posix()}"
    if cut.mask is not None:
        masks.write_mask(cut.mask, paths.inside(out, mask_file))
    else:
        paths.inside(out, mask_file).unlink(missing_ok=True)  # an earlier export may have had one
    facts = {name: getattr(cut.found, name) for name in ("status", "reason", "score", "x0", "y0", "x1", "y1")}
    named = {"file_name": picture, "mask_file_name": mask_file if cut.mask is not None else ""}
    whose = {"photo_id": photo.photo_id, "species": photo.species, "method": method}
    size = {"width": int(photo.width), "height": int(photo.height)}
    return dict.fromkeys(CREDITS, "") | named | whose | facts | size | cut.credit


def _credits(path: Path) -> dict[str, dict[str, str]]:
    """photo_id -> CREDITS, where the photos folder has an attribution.csv."""
    if not path.is_file():
        return {}
    frame = read_frame(path, ["photo_id", *CREDITS])
    return {row["photo_id"]: {name: row[name] for name in CREDITS} for row in frame.to_dict("records")}


def _names(folder: str) -> dict[str, str]:
    """The species' names, for those of the paper's table."""
    row = species.find(folder)
    return {key: row[key] for key in ("name_ja", "scientific_name", "name_en")} if row else {}


def _card(study: Study, frame: pd.DataFrame, method: str) -> str:
    """README.md: front matter of a Hugging Face dataset card, what is in the folder, and whose it is."""
    count = len(frame)
    front = {
        "pretty_name": f"Fish cut out by {method}, exported by fishlib",
        "license": "other" if (frame["licence"] != "").any() else "unknown",
        "task_categories": ["image-segmentation", "image-classification"],
        "size_categories": [next((name for most, name in SIZES if count < most), "n>1M")],
        "tags": ["biology", "fish", *(["drawn"] if study.drawn else [])],
    }
    statuses = Counter(frame["status"])
    drawn = "The fish are drawn by fishlib, they are no photos.\n\n" if study.drawn else ""
    terms = Counter(frame["licence"])
    licences = "\n".join(f"- {name or 'not stated'}: {number} photos" for name, number in sorted(terms.items()))
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n"
        f"# Fish cut out by {method}\n\n{drawn}"
        f"{count} pictures of {frame['species'].nunique()} species. `images/` holds them, encoded anew without what a "
        "camera wrote; `masks/` the masks of the same names (white = fish); `metadata.csv` a row for each, with box "
        "(pixels, x0 y0 x1 y1), score, author and licence.\n\n"
        f"The masks were made by a program ({method}), {statuses['ok']} of them; {statuses['no_detection']} pictures "
        f"have no detection, {statuses['mask_rejected']} a box without a usable mask.\n\n"
        f"## Licences of the photos\n\n{licences}\n\n"
        "Whoever shows a photo names its author and licence.\n"
    )
