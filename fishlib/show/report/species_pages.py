"""What the report shows of each species: its photos and the answers to them, recall, confusions, failed cut-outs."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import UserError
from fishlib.files import paths, writing
from fishlib.photos import composite, masks, species
from fishlib.removal import segmenters, segments
from fishlib.scores import evaluation, published
from fishlib.show import views
from fishlib.show.report import reading
from fishlib.study import Study


def gather(
    study: Study, manifest: pd.DataFrame, predictions: pd.DataFrame, scores: pd.DataFrame, folder: Path
) -> list[dict]:
    """One dict a species, the paper's order first, as templates/species.html reads it. Writes folder/photos/*.jpg.

    manifest, predictions, scores: frames of the run's CSV files, the last two may be empty. Counts are of photos.
    Files that lie in no species' folder make no page.
    """
    printed = published.table(2).set_index("name_ja")
    asked = evaluation.counted(predictions)
    basic = asked[asked["variant"].isin(composite.BASIC)]
    answers = {photo_id: rows.to_dict("records") for photo_id, rows in basic.groupby("photo_id")}
    wrong = basic[basic["correct"] == 0]
    cuts = _cuts(scores)

    pages = []
    for name in species.ordered(manifest["species"].unique()):
        if not name:
            continue
        known = species.find(name)
        rows = manifest[manifest["species"] == name]
        recall = asked[asked["species"] == name].groupby("variant", sort=False)["correct"]
        mine = cuts[cuts["species"] == name]
        page = {
            "file": page_file(name),
            "folder": name,
            "label": species.label(name),
            "known": known,
            "paper": printed.loc[known["name_ja"]].to_dict() if known else {},
            "counts": rows["status"].value_counts().to_dict(),
            "photos": {row.photo_id: _photo(study, row, answers, folder) for row in _in_order(rows).itertuples()},
            "recall": recall.agg(right="sum", n="size").reset_index().to_dict("records"),
            "taken_for": _confusions(wrong[wrong["species"] == name], "predicted"),
            "taken_from": _confusions(wrong[wrong["predicted"] == name], "species"),
            "cuts": {method: mine[mine["method"] == method].to_dict("records") for method in scores["method"].unique()},
        }
        pages.append(page)
    return pages


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """A species' photos as a person counts: IMG 2 before IMG 10."""
    return rows.sort_values("photo_id", key=lambda ids: ids.map(species.natural), kind="stable")


def page_file(name: str) -> str:
    """A file name for a species' page, from nothing but letters and digits: its slug and a hash of its name."""
    latin = (species.find(name) or {"scientific_name": name})["scientific_name"]
    plain = unicodedata.normalize("NFKD", latin).encode("ascii", "ignore").decode().casefold()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40]
    return "-".join(filter(None, ["species", slug, cache.key(name=name)[:12]])) + ".html"


def outline(mask: np.ndarray, width: int, height: int) -> str:
    """A mask's border as the data of an SVG path in pixels of a width x height picture; mask: bool, any size."""
    small = masks.resize_mask(mask, (height, width)).astype(np.uint8)
    borders, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    path = ""
    for border in borders:
        corners = cv2.approxPolyDP(border, 0.8, True).reshape(-1, 2).tolist()
        if len(corners) > 2:
            path += "M" + "L".join(f"{x} {y}" for x, y in corners) + "Z"
    return path


def outliner(run: reading.Run) -> Callable[[str, dict], str]:
    """(method, photo of `gather`) -> the outline the method found; "" for none, also where its files are damaged."""
    files = {}  # method -> photo_id -> mask's file, as read so far

    def outline_of(method: str, photo: dict) -> str:
        if not photo["image"]:
            return ""
        if method not in files:
            files[method] = _mask_files(run, method)
        name = files[method].get(photo["id"], "")
        path = paths.file_inside(run.out, f"segments/{method}/{name}") if name else None
        if path is None:
            return ""
        try:
            return outline(masks.read_mask(path), photo["width"], photo["height"])
        except (UserError, OSError, ValueError):
            return ""

    return outline_of


def _mask_files(run: reading.Run, method: str) -> dict[str, str]:
    """photo_id -> its mask's file in the method's folder, relative to it; {} where no index is to be read."""
    path = paths.file_inside(run.out, f"segments/{method}/index.csv")
    if path is None:
        return {}
    try:
        index = segments.read_index(path)
    except Exception:  # the report has named it as damaged already
        return {}
    found = index[index["status"] == segmenters.OK]
    return dict(zip(found["photo_id"], found["mask_file"], strict=True))


def _cuts(scores: pd.DataFrame) -> pd.DataFrame:
    """Cut-outs of counted photos, the worst IoU first, with `lost` (not well cut) and `judged`, bool."""
    missed = scores["status"] != segmenters.OK
    cuts = scores.assign(lost=missed | (scores["well_cut"] == 0), judged=missed | scores["well_cut"].notna())
    return cuts[cuts["status"].isin(evaluation.COUNTED)].sort_values("iou", kind="stable")


def _photo(study: Study, row, answers: dict[str, list[dict]], folder: Path) -> dict:
    """One photo: its thumbnail's file and size (image None where it cannot be read) and the answers it got."""
    photo = {
        "id": row.photo_id,
        "name": row.photo_id.split("/")[-1],
        "status": row.status,
        "reason": row.reason,
        "answers": answers.get(row.photo_id, []),
        "image": None,
    }
    if row.status == "unreadable":
        return photo
    try:
        data = views.jpeg(study, row.photo_id, sha256=row.sha256)
    except (UserError, OSError, ValueError):
        return photo
    picture = views.pixels(data)
    photo["image"] = f"photos/{cache.key(photo=row.photo_id)[:12]}.jpg"
    photo["height"], photo["width"] = picture.shape[:2]
    writing.write_bytes(folder / photo["image"], data)
    return photo


def _confusions(wrong: pd.DataFrame, by: str) -> dict[str, dict]:
    """other species -> variant -> photos, the most frequent first."""
    table = pd.crosstab(wrong[by], wrong["variant"])
    most_first = table.sum(axis=1).sort_values(ascending=False, kind="stable").index
    return table.loc[most_first].to_dict("index")
