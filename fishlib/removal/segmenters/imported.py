"""Masks made by another program or by hand: a tree of PNG files, or one COCO JSON file."""

import json
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
from pycocotools import mask as coco

from fishlib import cache
from fishlib.errors import UserError
from fishlib.files.reads import looked_for
from fishlib.photos import masks
from fishlib.removal.segmenters import MASK_REJECTED, NO_DETECTION, Segmentation

BROKEN = (UserError, ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError)


class Imported:
    """sizes: (height, width) of the original photos by photo_id, which a mask must have; else the image's."""

    def __init__(self, root: Path, sizes: dict[str, tuple[int, int]]):
        self.root, self.sizes = root.resolve(), sizes
        self.key = {"method": "imported", "code": cache.code_version(__name__)}
        self.coco = None if root.is_dir() else _read_coco(root, sizes)

    def key_for(self, photo_id: str) -> dict:
        """The hash of what is read for this photo: its mask file, or its entry of the COCO file."""
        found = self._find(photo_id)
        return {"mask": cache.file_hash(found) if isinstance(found, Path) else cache.key(coco=found)}

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self._one(image.shape[:2], name) for image, name in zip(images, photo_ids, strict=True)]

    def _one(self, shape: tuple[int, int], photo_id: str) -> Segmentation:
        size, found = tuple(self.sizes.get(photo_id, shape)), self._find(photo_id)
        if found is None:
            return Segmentation(status=NO_DETECTION, reason="no mask file")
        try:
            mask = masks.read_mask(found) if isinstance(found, Path) else _union(*found)
            if mask.shape != size:
                raise ValueError("mask is {1} x {0}, photo {3} x {2} pixels".format(*mask.shape, *size))
            if (box := masks.box_of(mask := masks.resize_mask(mask, shape))) is None:
                raise ValueError("mask is all black (fish is 128 and up)")
            return Segmentation(mask, box)
        except BROKEN as error:
            return Segmentation(status=MASK_REJECTED, reason=str(error))

    def _find(self, photo_id: str) -> Path | list | None:
        if self.coco is not None:
            return self.coco.get(_plain(photo_id), self.coco.get((Path(_plain(photo_id)).name,)))
        spelt = (photo_id, *(_plain(photo_id, form) for form in ("NFC", "NFD")))
        paths = ((self.root / name).with_suffix(".png") for name in spelt)
        return next((p for p in paths if looked_for(p).is_file() and p.resolve().is_relative_to(self.root)), None)


def build(params: dict, device: str, offline: bool) -> Imported:
    """params: root, a folder of `<species>/<stem>.png` (white = fish) or a COCO .json; sizes as Imported."""
    return Imported(Path(params["root"]), params.get("sizes", {}))


def _plain(name: str, form: str = "NFC") -> str:
    return unicodedata.normalize(form, name.replace("\\", "/").removeprefix("./"))


def _read_coco(path: Path, photo_ids) -> dict:
    """[height, width, segmentations] by file name, and by (its last part,) where no other has that."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=str)
        images = {i["id"]: (_plain(i["file_name"]), [i["height"], i["width"], []]) for i in data["images"]}
        for note in data["annotations"]:
            images[note["image_id"]][1][2].append(note.get("segmentation"))
    except (OSError, *BROKEN) as error:
        raise UserError(f"{path} is neither a folder nor a COCO JSON file ({error!r}); give one.") from error
    ours = Counter(Path(_plain(name)).name for name in photo_ids)
    theirs = Counter(Path(name).name for name, _ in images.values())
    short = [((n,), i) for name, i in images.values() if theirs[n := Path(name).name] == 1 >= ours[n]]
    return {name: image for name, image in [*short, *images.values()] if image[2]}


def _union(height: int, width: int, segmentations: list) -> np.ndarray:
    outlines = [xy for one in segmentations if isinstance(one, list) for xy in one]
    if any(len(xy) < 6 or not np.abs(xy).max() <= 2 * (height + width) for xy in outlines):
        raise ValueError("an outline is too short or far outside the photo")  # pycocotools would hang
    rles = coco.frPyObjects(outlines, height, width) if outlines else []
    rles += [one for one in segmentations if not isinstance(one, list)]
    return np.logical_or.reduce([masks.from_rle(rle) for rle in rles])
