"""What the report shows of each species: its photos and the answers to them, recall, confusions, failed cut-outs."""

import functools
import re
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import UserError
from fishlib.files import writing
from fishlib.photos import composite, masks, species
from fishlib.removal import segmenters, segments
from fishlib.scores import evaluation, published
from fishlib.show import views
from fishlib.study import Study


def gather(study: Study, manifest, predictions, scores, folder: Path) -> list[dict]:
    """One dict a species, the paper's order first, as templates/species.html reads it. Writes folder/photos/*.jpg.

    manifest, predictions, scores: frames of the run's CSV files, the last two may be empty. Counts are of photos.
    """
    printed, predictions = published.table(2).set_index("name_ja"), evaluation.counted(predictions)
    basic = predictions[predictions["variant"].isin(composite.BASIC)]
    answers, wrong = dict(iter(basic.groupby("photo_id"))), basic[basic["correct"] == 0]
    missed = scores["status"] != segmenters.OK
    cuts = scores.assign(lost=missed | (scores["well_cut"] == 0), judged=missed | scores["well_cut"].notna())
    cuts = cuts[cuts["status"].isin(evaluation.COUNTED)].sort_values("iou", kind="stable")
    pages = []
    for name in species.ordered(manifest["species"].unique()):
        known, rows = species.find(name), manifest[manifest["species"] == name]
        recall = predictions[predictions["species"] == name].groupby("variant", sort=False)["correct"]
        page = {"file": page_file(name), "label": species.label(name), "known": known}
        page["paper"] = printed.loc[known["name_ja"]].to_dict() if known else {}
        page["counts"] = rows["status"].value_counts().to_dict()
        page["photos"] = {r.photo_id: _photo(study, r, answers, folder) for r in rows.itertuples()}
        page["recall"] = recall.agg(right="sum", n="size").reset_index().to_dict("records")
        page["taken_for"] = _confusions(wrong[wrong["species"] == name], "predicted")
        page["taken_from"] = _confusions(wrong[wrong["predicted"] == name], "species")
        mine = cuts[cuts["species"] == name]
        page["cuts"] = {m: mine[mine["method"] == m].to_dict("records") for m in scores["method"].unique()}
        pages.append(page)
    return pages


def page_file(name: str) -> str:
    """A file name for a species' page, from nothing but letters and digits: its slug and a hash of its name."""
    latin = (species.find(name) or {"scientific_name": name})["scientific_name"]
    plain = unicodedata.normalize("NFKD", latin).encode("ascii", "ignore").decode().casefold()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40]
    return "-".join(filter(None, ["species", slug, cache.key(name=name)[:12]])) + ".html"


def outline(mask: np.ndarray, width: int, height: int) -> str:
    """A mask's border as the data of an SVG path in pixels of a width x height picture; mask: bool, any size."""
    small = masks.resize_mask(mask, (height, width)).astype(np.uint8)
    found, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [cv2.approxPolyDP(c, 0.8, True).reshape(-1, 2).tolist() for c in found]
    return "".join("M" + "L".join(f"{x} {y}" for x, y in line) + "Z" for line in lines if len(line) > 2)


def outliner(study: Study):
    """(method, photo of `gather`) -> the outline the method found; "" for none, also where its files are damaged."""
    reader = functools.cache(functools.partial(segments.reader, study))

    def read(method: str, photo: dict) -> str:
        try:
            mask = reader(method)(photo["id"])
        except (UserError, OSError, ValueError, KeyError):
            return ""
        return outline(mask, photo["width"], photo["height"]) if photo["image"] and mask is not None else ""

    return read


def _photo(study: Study, row, answers: dict, folder: Path) -> dict:
    """One photo: its thumbnail's file and size (image None where it cannot be read) and the answers it got."""
    photo = {"id": row.photo_id, "name": row.photo_id.split("/")[-1], "status": row.status, "reason": row.reason}
    photo |= {"image": None, "answers": answers[row.photo_id].to_dict("records") if row.photo_id in answers else []}
    if row.status == "unreadable":
        return photo
    try:
        picture = views.thumbnail(study, row.photo_id)
    except (UserError, OSError):
        return photo
    photo |= {
        "image": f"photos/{cache.key(photo=row.photo_id)[:12]}.jpg",
        "width": picture.shape[1],
        "height": picture.shape[0],
    }
    with writing.atomic(folder / photo["image"]) as temporary:
        temporary.write_bytes(views.jpeg(study, row.photo_id))
    return photo


def _confusions(wrong: pd.DataFrame, by: str) -> dict[str, dict]:
    """other species -> variant -> photos, the most frequent first."""
    table = pd.crosstab(wrong[by], wrong["variant"])
    return table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index].to_dict("index")
