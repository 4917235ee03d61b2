"""What notebooks and reports look at: pictures and tables made from what the stages left in a run folder."""

import json

import cv2
import numpy as np
import pandas as pd

from fishlib import cache, composite, dataset, features, masks, segmenters, segments, tables
from fishlib.composite import BASIC, CROP_MASK, ORIGINAL
from fishlib.errors import UserError
from fishlib.study import Study

THUMBNAIL = 240  # px, long side


def thumbnail(study: Study, photo_id: str, side: int = THUMBNAIL) -> np.ndarray:
    """uint8 (h, w, 3), long side at most `side`; made once and kept in the cache."""
    path = cache.entry(study.cache, "thumbnails", cache.key(photos=str(study.photos), photo=photo_id, side=side))
    kept = cache.load(path)
    if kept is None:
        small = dataset.working(dataset.decode(study.photos / photo_id), side)
        cache.save(path, jpeg=cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1])
        kept = cache.load(path)
    return np.ascontiguousarray(cv2.imdecode(kept["jpeg"], cv2.IMREAD_COLOR)[..., ::-1])


def thumbnails(study: Study, manifest: pd.DataFrame, species: str, most: int = 12):
    """(thumbnails, labels) of the first photos of a species; excluded ones first, and marked."""
    rows = manifest[(manifest.species == species) & (manifest.status != "unreadable")]
    rows = rows.sort_values("status", key=lambda s: s != "excluded", kind="stable").head(most)
    labels = [r.photo_id.split("/")[-1] + " (excluded)" * (r.status == "excluded") for r in rows.itertuples()]
    return [thumbnail(study, photo_id) for photo_id in rows.photo_id], labels


def examples(study: Study, scores: pd.DataFrame, method: str, most: int = 6) -> dict[str, list[dict]]:
    """Failure kind -> items for figures.failure_grid, the worst IoU first."""
    judged = scores[(scores.method == method) & scores.iou.notna()]
    read, found = segments.reader(study, method), {}
    for kind, rows in judged[judged.kind != "good"].groupby("kind"):
        found[kind] = [_failure(study, row, read) for row in rows.sort_values("iou").head(most).itertuples()]
    return found


def _failure(study: Study, row, read) -> dict:
    photo = thumbnail(study, row.photo_id)
    mask = read(row.photo_id)
    mask = None if mask is None else masks.resize_mask(mask, photo.shape[:2])
    return {"photo": photo, "mask": mask, "label": row.photo_id, "kind": row.kind, "iou": row.iou}


def publish(study: Study, number: int, table: pd.DataFrame, notes: list[str]) -> str:
    """Write tables/table<number>.csv, .md, .tex and .html; returns the HTML."""
    facts = study.facts() | {"notes": notes}
    own = study.profile.segmenters
    labels = {m.replace("-", "_"): segmenters.label(m, own.get(m, {})) for m in segmenters.LABELS}
    table.attrs["headers"] = labels
    caption = tables.caption(number, facts)
    stem = study.out / "tables" / f"table{number}"
    tables.write(table, stem, caption)
    text = tables.html(table, caption)
    cache.write_text(stem.with_suffix(".html"), text)
    return text


def pipeline_parts(study: Study, manifest: pd.DataFrame, found: pd.DataFrame, predictions: pd.DataFrame) -> dict:
    """Arguments of figures.pipeline for one photo: the first whose mask is ok and whose answer is right."""
    right = predictions[(predictions.variant == CROP_MASK.name) & (predictions.correct == 1)].photo_id
    usable = found[(found.status == segmenters.OK) & found.photo_id.isin(predictions.photo_id)]
    row = next((r for r in usable.itertuples() if r.photo_id in set(right)), next(usable.itertuples(), None))
    if row is None:
        raise UserError(f"{study.method} found no fish in any photo; there is no pipeline to show.")
    photo = manifest.set_index("photo_id", drop=False).loc[row.photo_id]
    shown = features.picture(study, photo, row, list(BASIC.values()))
    answers = predictions[predictions.photo_id == row.photo_id].set_index("variant").top5
    return {
        "photo": dataset.decode(study.photos / photo.path),
        "box": segments.box(row),
        "candidates": segments.candidates(study, study.method, row.photo_id),
        "mask": segments.read_mask(study, study.method, row),
        "variants": {composite.LABELS[v.name]: picture for v, picture in shown.items() if v != ORIGINAL},
        "top5": json.loads(answers[CROP_MASK.name]),
        "facts": study.facts(),
    }
