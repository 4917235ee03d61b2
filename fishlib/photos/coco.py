"""COCO files: outlines of fish that other programs draw, photo by photo.

Nothing in such a file is believed: sizes are held against the photo's before anything is drawn, what the file says
wrongly is a note or a photo's reason, and the rest of it is used.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from fishlib.errors import UserError
from fishlib.files import documents
from fishlib.photos import masks
from fishlib.photos import species as known

MAX_BYTES = 256 << 20  # 20,000 photos with outlines of 10 kB each
FISH = re.compile(r"(^|[^a-z])fish(es)?([^a-z]|$)|魚|さかな|サカナ")  # a fish, but no starfish and no fishing rod
LARGEST = 1e15  # a whole number of a hundred digits is no place in a photo, and no float
FAR = 2  # an outline further outside than so many photos makes pycocotools draw for ever


@dataclass
class Annotated:
    """What a file says of one photo, categories other than fish left out.

    name: as the file states it; size: (height, width), None where it states none; outlines: segmentations as they stand
    in the file; boxes: how many fish have a box but no outline.
    """

    name: str
    size: tuple[int, int] | None
    outlines: list = field(default_factory=list)
    boxes: int = 0


def read(path: Path, species: Iterable[str]) -> tuple[list[Annotated], list[str]]:
    """(every image the file lists, notes on what was left out) of a COCO JSON file.

    species: names of those in the study, which are categories of fish, too. UserError, naming the file, where it is no
    COCO file, or where none of its categories is fish.
    """
    data = documents.read_object(path, MAX_BYTES, constants=True)
    images, annotations = (_objects(data, key) for key in ("images", "annotations"))
    listed = {}
    for image in images or []:
        if isinstance(image.get("file_name"), str) and "id" in image:
            listed[str(image["id"])] = Annotated(image["file_name"], _size(image))
    if annotations is None or not listed:
        why = "it lists no image with an id and a file_name" if annotations is not None else "it has no annotations"
        raise UserError(f"{path} is no COCO file ({why}); give one, or a folder of masks.")

    fish, notes = _categories(path, data, annotations, species)
    orphans = []
    for annotation in annotations:
        if fish is not None and str(annotation.get("category_id")) not in fish:
            continue
        image = listed.get(str(annotation.get("image_id")))
        if image is None:
            orphans.append(annotation)
        elif annotation.get("segmentation") in (None, [], {}, ""):
            image.boxes += 1
        else:
            image.outlines.append(annotation["segmentation"])
    unlisted = len(data["images"]) - len(listed)
    if unlisted:
        notes.append(f"{path.name} has {unlisted} images without a name or with another's id; they were left out.")
    if orphans:
        first = f"annotation {orphans[0].get('id')} names image {orphans[0].get('image_id')}"
        notes.append(f"{path.name}: {first}, which the file does not list ({len(orphans)} such were left out).")
    return list(listed.values()), notes


def draw(image: Annotated, size: tuple[int, int]) -> np.ndarray:
    """Bool (H, W) of all outlines of a photo together. size: the photo's (height, width).

    ValueError, the reason as a row states it, where the file says another size, or its outlines cannot be drawn.
    """
    height, width = size
    if image.size is not None and image.size != (height, width):
        stated = f"{image.size[1]} x {image.size[0]}"
        raise ValueError(f"the COCO file says {stated}, the photo has {width} x {height} pixels")
    if not image.outlines:
        raise ValueError("boxes only, no outline")
    drawn = np.zeros((height, width), bool)
    for outline in image.outlines:
        if isinstance(outline, list):
            drawn |= _filled(_polygons(outline, height, width), height, width)
        else:
            drawn |= masks.from_rle(outline, (height, width))
    return drawn


def _objects(data: dict[str, Any], key: str) -> list[dict] | None:
    """The objects of a list in the file; None where there is no such list."""
    found = data.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else None


def _size(image: dict) -> tuple[int, int] | None:
    """(height, width) as stated; None where they are missing or no sides of a photo (some programs write 0)."""
    sides = image.get("height"), image.get("width")
    if not all(_is_number(side) and side == int(side) > 0 for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def _categories(path: Path, data: dict, annotations: list[dict], species) -> tuple[set[str] | None, list[str]]:
    """(ids of the categories that are fish, None for all; notes).

    The only category that is used is taken, whatever it is called; of several those that are called fish, or as a
    species (in any language) of the study.
    """
    used = Counter(str(one["category_id"]) for one in annotations if one.get("category_id") is not None)
    if len(used) <= 1:
        return None, []
    names = {str(one.get("id")): str(one.get("name")) for one in _objects(data, "categories") or []}
    names = {number: names.get(number, f"number {number}") for number in used}
    ours = {known.plain(name) for each in species for name in _every_name(each)}
    fish = {number for number, name in names.items() if FISH.search(known.plain(name)) or ours & _asked(name)}
    if not fish:
        all_names = ", ".join(names.values())
        raise UserError(
            f"{path} has the categories {all_names}, and none is called fish or as a species of the photos; "
            "call that of the fish 'fish', or leave out the others."
        )
    left = {number: count for number, count in used.items() if number not in fish}
    if not left:
        return None, []
    taken = ", ".join(names[number] for number in used if number in fish)
    others = ", ".join(names[number] for number in left)
    return fish, [f"{path.name}: the category {taken} is fish; left out: {others} ({sum(left.values())} annotations)."]


def _every_name(name: str) -> list[str]:
    row = known.find(name)
    return [name, *row.values()] if row else [name]


def _asked(name: str) -> set[str]:
    return {known.plain(one) for one in _every_name(name)}


def _polygons(outline: list, height: int, width: int) -> list[list[float]]:
    """[x, y, x, y, ...] of each polygon of an annotation; read also where it is one such list, or a list of points."""
    if outline and not any(isinstance(part, list) for part in outline):
        outline = [outline]
    elif len(outline) > 2 and all(isinstance(part, list) and len(part) == 2 for part in outline):
        outline = [[number for point in outline for number in point]]
    for polygon in outline:
        if not isinstance(polygon, list) or not all(_is_number(number) for number in polygon):
            raise ValueError("an outline holds something that is no number")
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"an outline of {len(polygon)} numbers is no polygon")
        if max(abs(number) for number in polygon) > FAR * (height + width):
            raise ValueError("an outline is far outside the photo")
    return outline


def _is_number(value) -> bool:
    is_plain = isinstance(value, int | float) and not isinstance(value, bool)
    return is_plain and abs(value) < LARGEST and math.isfinite(value)


def _filled(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """Bool (H, W) of polygons, drawn as COCO does."""
    drawn = np.zeros((height, width), bool)
    for rle in coco.frPyObjects(polygons, height, width):
        drawn |= masks.from_rle(rle, (height, width))
    return drawn
