"""Masks made by another program or by hand: a tree of pictures, or one COCO JSON file."""

from pathlib import Path

import numpy as np

from fishlib import cache
from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files import paths
from fishlib.photos import coco, formats, masks, pairing
from fishlib.photos.species import plain
from fishlib.removal.segmenters import MASK_REJECTED, NO_DETECTION, Segmentation

Found = Path | coco.Annotated


class Imported:
    """sizes: (height, width) of every photo of the study by photo_id; a mask must have its photo's.

    notes: what of the masks given is not used, and which were known by another name than the photo's. UserError where
    none belongs to a photo.
    """

    def __init__(self, root: Path, sizes: dict[str, tuple[int, int]]):
        self.root = Path(root)
        self.sizes = sizes
        self.key = {"method": "imported", "code": cache.code_version(__name__)}
        if self.root.is_dir():
            given: dict[str, Found] = _pictures(self.root)
            self.notes: list[str] = []
        else:
            given, self.notes = _annotated(self.root, sizes)
        paired = pairing.pair(sizes, given)
        self.found = {photo_id: given[name] for photo_id, name in paired.items()}
        self.notes += _remarks(self.root, given, paired)

    def key_for(self, photo_id: str) -> dict:
        """The hash of what is read for this photo: its mask file, or its entry of the COCO file."""
        found = self.found.get(photo_id)
        if isinstance(found, coco.Annotated):
            return {"mask": cache.key(coco=[found.size, found.outlines, found.boxes])}
        try:
            return {"mask": cache.file_hash(found) if found else None}
        except OSError:  # gone, or not to be read: `segment` says why
            return {"mask": "unreadable"}

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self._one(image.shape[:2], name) for image, name in zip(images, photo_ids, strict=True)]

    def _one(self, shape: tuple[int, int], photo_id: str) -> Segmentation:
        """The photo's mask at the image's size; shape: (height, width) of the image."""
        found = self.found.get(photo_id)
        if found is None:
            return Segmentation(status=NO_DETECTION, reason="no mask file")
        if _says_nothing(found):
            return Segmentation(status=NO_DETECTION, reason="no fish in the COCO file")
        try:
            whole = _read(found, self.sizes[photo_id])
        except (UnreadablePhoto, ValueError) as error:
            return Segmentation(status=MASK_REJECTED, reason=str(error))
        mask = masks.resize_mask(whole, shape)
        box = masks.box_of(mask)
        if box is None:
            why = "vanishes at the working size" if whole.any() else "is empty, no pixel of it is fish"
            return Segmentation(status=MASK_REJECTED, reason=f"mask {why}")
        return Segmentation(mask, box)


def build(params: dict, device: str, offline: bool) -> Imported:
    """params: root, a folder of `<species>/<name>.png` (white = fish) or a COCO .json; sizes as Imported."""
    return Imported(Path(params["root"]), params["sizes"])


def _read(found: Found, size: tuple[int, int]) -> np.ndarray:
    """Bool (H, W) at the photo's (height, width); UnreadablePhoto or ValueError, a reason, where there is none."""
    if isinstance(found, coco.Annotated):
        return coco.draw(found, size)
    mask = masks.read_given(found)
    if mask.shape != tuple(size):
        raise ValueError("mask is {1} x {0}, photo {3} x {2} pixels".format(*mask.shape, *size))
    return mask


def _pictures(root: Path) -> dict[str, Path]:
    """Name below root -> every picture in it, PNG first; what a link leads out of the folder for is not there."""
    names = [file.relative_to(root).as_posix() for file in paths.files_below(root)]
    pictures = [name for name in names if Path(name).suffix.lower() in formats.SUFFIXES]
    pictures.sort(key=lambda name: (not name.lower().endswith(".png"), name))
    files = {name: paths.file_inside(root, name) for name in pictures}
    return {name: file for name, file in files.items() if file is not None}


def _annotated(path: Path, photo_ids) -> tuple[dict[str, coco.Annotated], list[str]]:
    """(file_name -> what a COCO file says of it, notes); images of one name become one."""
    species = sorted({photo_id.split("/")[0] for photo_id in photo_ids})
    images, notes = coco.read(path, species)
    by_name: dict[str, coco.Annotated] = {}
    for image in images:
        first = by_name.setdefault(pairing.spelled(image.name), image)
        if first is not image:
            first.outlines += image.outlines
            first.boxes += image.boxes
    return by_name, notes


def _says_nothing(found: Found) -> bool:
    """Is it an image that a COCO file lists, without a fish in it?"""
    return isinstance(found, coco.Annotated) and not found.outlines and not found.boxes


def _remarks(root: Path, given: dict[str, Found], paired: dict[str, str]) -> list[str]:
    """What is to be said of how masks and photos met; UserError where none did."""
    with_fish = [name for name, found in given.items() if not _says_nothing(found)]
    used = {name for name in paired.values() if not _says_nothing(given[name])}
    unused = [name for name in with_fish if name not in used]
    count = f"{len(used)} of {len(with_fish)} masks match a photo"
    if not used:
        first = f" (first: {unused[0]})" if unused else ""
        raise UserError(f"{root}: {count}{first}; name them <species>/<name of the photo>.png, white = fish.")
    notes = []
    if unused:
        notes.append(f"{root.name}: {count} (first that does not: {unused[0]}).")
    elsewhere = [pair for pair in paired.items() if plain(_end(pair[0])) != plain(_end(pair[1]))]
    if elsewhere:
        photo_id, name = elsewhere[0]
        notes.append(f"{root.name}: {count}, {len(elsewhere)} by another name (first: {name} for {photo_id}).")
    return notes


def _end(name: str) -> str:
    """A path without its suffix."""
    return Path(pairing.spelled(name)).with_suffix("").as_posix()
