"""Photos that a person chose, to take away: a table, and a folder with the photos themselves."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fishlib.errors import UserError
from fishlib.files import frames, paths, writing
from fishlib.show import cases
from fishlib.study import Study

FOLDER = "selections"  # in the run folder
TABLE = "selection.csv"
PHOTOS = "photos"
COLUMNS = ["photo_id", "species", "variant", "predicted", "confidence", "correct", "masks_of", "status", "kind", "iou"]
COLUMNS += ["tags"]


def table(study: Study, photo_ids: Iterable[str], method: str | None = None, variant: str = "original") -> pd.DataFrame:
    """COLUMNS of the chosen photos, in the order given: answers of the variant, masks of the method, tags joined by
    "; ". A photo that the run does not count is left out."""
    method = method or study.method
    rows = cases.table(study, method, variant).set_index("photo_id", drop=False)
    there = [photo_id for photo_id in dict.fromkeys(photo_ids) if photo_id in rows.index]
    chosen = rows.loc[there].assign(variant=variant, masks_of=method)
    chosen["tags"] = ["; ".join(tags) for tags in chosen["tags"]]
    return chosen[COLUMNS].reset_index(drop=True)


def export(
    study: Study,
    photo_ids: Iterable[str],
    name: str = "selection",
    photos: bool = False,
    method: str | None = None,
    variant: str = "original",
) -> Path:
    """Write <run>/selections/<name>/selection.csv and, if wanted, the photos as they are below photos/, one folder a
    species; returns the folder.

    A selection of that name is replaced. UserError where nothing is chosen, for a name that is none of a folder, for a
    photo that is gone, and where the disk is full.
    """
    rows = table(study, photo_ids, method, variant)
    if rows.empty:
        raise UserError("nothing is chosen; choose photos first.")
    folder = paths.own_folder(paths.own_folder(study.out, FOLDER), folder_name(name))
    shutil.rmtree(paths.own_folder(folder, PHOTOS), ignore_errors=True)  # those of an earlier selection of that name
    frames.write_frame(rows, folder / TABLE)
    if photos:
        for photo_id in rows["photo_id"]:
            _copy(study, photo_id, paths.own_folder(folder, PHOTOS))
    return folder


def folder_name(text: str) -> str:
    """A name that a person typed as the name of a folder; UserError where that is not possible."""
    return paths.part_of_a_name(re.sub(r"\s+", "-", text.strip()), "the selection")


def _copy(study: Study, photo_id: str, folder: Path) -> None:
    """One photo's bytes, as they are now; what a link below the photos leads to is none of them."""
    source = paths.inside(study.photos, photo_id)
    if not source.is_file():
        raise UserError(f"{source} is gone; the selection lacks it and those after it.")
    with writing.atomic(paths.inside(folder, photo_id)) as temporary:
        shutil.copyfile(source, temporary)
