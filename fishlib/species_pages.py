"""What the report says of each species: its photos and what became of them, recall, confusions, failed cut-outs."""

import hashlib
import re
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fishlib import composite, evaluation, masks, published, segmenters, segments, species, tables, views
from fishlib.errors import UserError
from fishlib.study import Study

QUALITY = 80  # of the JPEGs, 240 px; some 10 KB each


def gather(study: Study, manifest, predictions, scores, folder: Path) -> list[dict]:
    """One dict a species, the paper's order first: what templates/species.html shows. Writes folder/photos/*.jpg.

    manifest, predictions, scores: frames of the run's CSV files, the last two may be empty.
    """
    names = species.ordered(manifest["species"].unique())
    files = {name: page_file(name) for name in names}
    basic = predictions[predictions["variant"].isin(composite.BASIC)]
    matrices = {v: evaluation.confusion(basic[basic["variant"] == v]) for v in composite.BASIC if v in {*basic.variant}}
    answers = dict(iter(basic.groupby("photo_id")))
    readers, pages = {m: _reader(study, m) for m in {study.method, *scores["method"]}}, []
    for name in names:
        known, rows = species.find(name) or {}, manifest[manifest["species"] == name]
        shots = [
            _photo(study, row, readers[study.method], answers.get(row.photo_id), folder) for row in rows.itertuples()
        ]
        recall = _recall(predictions[predictions["species"] == name], known)
        page = {"name": name, "file": files[name], "label": species.label(name), "known": known, "photos": shots}
        page |= {"counts": rows["status"].value_counts().to_dict(), "recall": recall}
        page["paper_n"] = int(published.table(2).set_index("name_ja").n[known["name_ja"]]) if known else None
        page["variants"] = [composite.LABELS[v] for v in matrices]
        page["taken_for"] = _confusions([m.loc[name] for m in matrices.values() if name in m], name, files)
        page["taken_from"] = _confusions([m[name] for m in matrices.values() if name in m], name, files)
        mine = scores[scores["species"] == name]
        page["cuts"] = [
            _cuts(study, method, rows, shots, readers[method]) for method, rows in mine.groupby("method", sort=False)
        ]
        pages.append(page)
    return pages


def page_file(name: str) -> str:
    """A file name for a species' page, from nothing but letters and digits: its slug and a hash of its name."""
    latin = (species.find(name) or {"scientific_name": name})["scientific_name"]
    plain = unicodedata.normalize("NFKD", latin).encode("ascii", "ignore").decode().casefold()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40]
    return "-".join(filter(None, ["species", slug, _short(name)])) + ".html"


def outline(mask: np.ndarray, width: int, height: int) -> str:
    """A mask's border as the data of an SVG path in pixels of a width x height picture; mask: bool, any size."""
    small = masks.resize_mask(mask, (height, width)).astype(np.uint8)
    found, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [cv2.approxPolyDP(c, 0.8, True).reshape(-1, 2).tolist() for c in found]
    return "".join("M" + "L".join(f"{x} {y}" for x, y in line) + "Z" for line in lines if len(line) > 2)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _reader(study: Study, method: str):
    """photo_id -> mask or None, also where the run has no segments of the method or a file is damaged."""

    def read(photo_id: str):
        try:
            return masks_of(photo_id)
        except (UserError, KeyError, OSError):
            return None

    try:
        masks_of = segments.reader(study, method)
    except (OSError, ValueError, KeyError):
        return lambda photo_id: None
    return read


def _photo(study: Study, row, read, answers: pd.DataFrame | None, folder: Path) -> dict:
    """One photo: its thumbnail (None where it cannot be read), the outline found and the answers to its variants."""
    shot = {"id": row.photo_id, "name": row.photo_id.split("/")[-1], "status": row.status, "reason": row.reason}
    shot |= {"image": None, "outline": "", "answers": [], "found": ""}
    if row.status != "unreadable":
        try:
            picture = views.thumbnail(study, row.photo_id)
        except (UserError, OSError):
            return shot
        height, width = picture.shape[:2]
        jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        file = f"photos/{_short(row.photo_id)}.jpg"
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(jpeg)
        shot |= {"image": file, "width": width, "height": height}
        shot["outline"] = _outline(read(row.photo_id), shot)
    if answers is not None:
        shot["found"] = answers["status"].iloc[0]
    for answer in answers.itertuples() if answers is not None else ():
        shot["answers"].append(
            {
                "variant": composite.LABELS[answer.variant],
                "right": bool(answer.correct),
                "named": species.label(answer.predicted),
                "percent": round(100 * answer.confidence),
            }
        )
    return shot


def _outline(mask: np.ndarray | None, shot: dict) -> str:
    return "" if mask is None or shot["image"] is None else outline(mask, shot["width"], shot["height"])


def _recall(predictions: pd.DataFrame, known: dict) -> list[dict]:
    """A row a variant, in the order of the run: recall in percent, its interval and the paper's printed value."""
    printed = published.table(2).set_index("name_ja")
    rows = []
    for variant, asked in evaluation.counted(predictions).groupby("variant", sort=False):
        n, right = len(asked), int(asked["correct"].sum())
        lo, hi = evaluation.wilson(right, n)
        row = {"label": variant_label(variant), "variant": variant, "n": n, "right": right, "lo": lo, "hi": hi}
        paper = printed.loc[known["name_ja"]].get(variant) if known else None
        rows.append(row | {"percent": tables.percent(right, n), "paper": paper})
    return rows


def variant_label(name: str) -> str:
    """A variant's name as people read it: crop_mask_d3 is "Crop & Mask, dilated 3 times"."""
    more = re.fullmatch(r"crop_mask_(?:d(\d+)|(.+))", name)
    if not more:
        return composite.LABELS.get(name, name)
    return f"{composite.LABELS['crop_mask']}, " + (f"dilated {more[1]} times" if more[1] else f"on {more[2]}")


def _confusions(counts: list[pd.Series], name: str, files: dict[str, str]) -> list[dict]:
    """The other species of one row or column of every variant's confusion matrix, the most frequent first."""
    frame = pd.DataFrame(counts).T.drop(index=name, errors="ignore") if counts else pd.DataFrame()
    rows = [
        {"label": species.label(other), "file": files.get(other), "counts": values.astype(int).tolist()}
        for other, values in frame.iterrows()
        if values.any()
    ]
    return sorted(rows, key=lambda row: -sum(row["counts"]))


def _cuts(study: Study, method: str, rows: pd.DataFrame, shots: list[dict], read) -> dict:
    """One method's cut-outs of a species: how many are well cut, and the others with the outline found."""
    label = segmenters.label(method, study.profile.segmenters.get(method, {}))
    rows, of = evaluation.counted(rows), {shot["id"]: shot for shot in shots}
    lost = (rows["status"] != segmenters.OK) | (rows["well_cut"] == 0)
    judged = rows["well_cut"].notna() | (rows["status"] != segmenters.OK)
    failed = [
        {
            "shot": of[row.photo_id],
            "outline": _outline(read(row.photo_id), of[row.photo_id]),
            "kind": row.kind if row.status == segmenters.OK else row.status.replace("_", " "),
            "iou": row.iou,
        }
        for row in rows[lost].sort_values("iou").itertuples()
        if row.photo_id in of
    ]
    return {"label": label, "n": len(rows), "judged": int(judged.sum()), "lost": int(lost.sum()), "failed": failed}
