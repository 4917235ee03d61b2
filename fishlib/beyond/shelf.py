"""The photos with masks that are taken apart in notebook 05: their pixels, masks and parts by photo_id."""

import functools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.beyond import parts
from fishlib.errors import UnreadablePhoto
from fishlib.files import paths
from fishlib.naming import features
from fishlib.photos import decode, masks
from fishlib.removal import segments
from fishlib.study import Study

IN_MEMORY = 1024  # photos taken apart, some 0.7 MB each at 224 px


class Shelf:
    """Photos by photo_id, read when they are asked for and kept while there is room.

    study: its method is the one whose masks are used; photos: rows of the manifest with mask_file of the segments
    frame.
    """

    def __init__(self, study: Study, photos: pd.DataFrame):
        self.study = study
        self.photos = photos.reset_index(drop=True)
        self._rows = {row.photo_id: row for row in self.photos.itertuples()}
        self.parts = functools.lru_cache(maxsize=IN_MEMORY)(self._apart)
        self.mask_hash = functools.cache(self._mask_hash)

    def species(self, photo_id: str) -> str:
        return self._rows[photo_id].species

    def rows(self, photo_ids: Iterable[str]) -> pd.DataFrame:
        """The rows of these photos, in the order of `photos`."""
        return self.photos[self.photos["photo_id"].isin(set(photo_ids))]

    def subset(self, photo_ids: Iterable[str], most: int) -> list[str]:
        """At most so many of these photos of each species, drawn by the study's seed, in the order of `photos`."""
        random = np.random.default_rng([self.study.profile.seed, most])
        kept = set()
        for _, mine in sorted(self.rows(photo_ids).groupby("species")["photo_id"]):
            ids = np.array(sorted(mine), dtype=object)
            kept.update(random.permutation(ids)[:most].tolist())
        return self.rows(kept)["photo_id"].tolist()

    def image(self, photo_id: str) -> np.ndarray:
        """uint8 (h, w, 3) RGB at the working size. Raises features.Changed where it is not the manifest's any more."""
        row = self._rows[photo_id]
        try:
            photo = decode.read(paths.inside(self.study.photos, row.path), row.sha256)
        except UnreadablePhoto as error:
            reason, _, _ = str(error).partition(";")  # what to do is said once, by Changed
            raise features.Changed({photo_id: reason}) from error
        return decode.working(photo.pixels, self.study.profile.working_side)

    def mask(self, photo_id: str) -> np.ndarray:
        """Bool (H, W), at the photo's own size."""
        return segments.read_mask(self.study, self.study.method, self._rows[photo_id])

    def stamp(self, photo_id: str) -> list:
        """What the parts of a photo hang on beside the code: hashes of photo and mask, and settings."""
        settings = self.study.profile.composite
        sizes = [settings.size, settings.fit, self.study.profile.working_side]
        return [self._rows[photo_id].sha256, self.mask_hash(photo_id), *sizes]

    def _apart(self, photo_id: str) -> parts.Parts:
        settings = self.study.profile.composite
        image = self.image(photo_id)
        mask = masks.resize_mask(self.mask(photo_id), image.shape[:2])
        return parts.apart(image, mask, settings.size, settings.fit)

    def _mask_hash(self, photo_id: str) -> str:
        folder = segments.folder(self.study, self.study.method)
        return cache.file_hash(paths.inside(folder, self._rows[photo_id].mask_file))


def with_masks(photos: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """(rows of photos that have a mask, with its mask_file; a note on those that have none).

    photos: photo_id, species and more; found: a segments frame with a row for each.
    """
    files = found.set_index("photo_id")["mask_file"].reindex(photos["photo_id"]).fillna("").to_numpy()
    there = photos.assign(mask_file=files)[files != ""].reset_index(drop=True)
    lost = len(photos) - len(there)
    notes = [f"{lost} of {len(photos)} photos have no mask and are left out of the questions about backgrounds."]
    return there, notes if lost else []
