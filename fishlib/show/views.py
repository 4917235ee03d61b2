"""What notebooks, widgets and reports look at: pictures, tables and HTML made from what a run folder holds.

HTML comes as one string with its photos inside (macros of views.html); names in it are text.
"""

import base64
import functools
import json
import re
from html import escape
from pathlib import Path

import cv2
import jinja2
import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.files import writing
from fishlib.naming import features
from fishlib.naming.inference import judge
from fishlib.photos import composite, decode, masks, species
from fishlib.photos.composite import BASIC, CROP_MASK, ORIGINAL
from fishlib.removal import segmenters, segments
from fishlib.scores import evaluation
from fishlib.show import captions, cases, typeset
from fishlib.study import Study

THUMBNAIL = 240  # px, long side
SUREST = next(iter(cases.SORTS))


def thumbnail(study: Study, photo_id: str, side: int = THUMBNAIL) -> np.ndarray:
    """uint8 (h, w, 3), long side at most `side`; made once and kept in the cache."""
    data = np.frombuffer(jpeg(study, photo_id, side), np.uint8)
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def jpeg(study: Study, photo_id: str, side: int = THUMBNAIL) -> bytes:
    """The thumbnail as the bytes of a JPEG."""
    photo = study.photos / photo_id
    seen = photo.stat()
    key = cache.key(photo=str(photo), side=side, bytes=seen.st_size, changed=seen.st_mtime_ns)
    path = cache.entry(study.cache, "thumbnails", key)
    kept = cache.load(path)
    if kept is None:
        small = decode.working(decode.decode(photo), side)
        kept = {"jpeg": cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]}
        cache.save(path, **kept)
    return kept["jpeg"].tobytes()


def source(picture: np.ndarray | bytes) -> str:
    """The src of an <img>: a JPEG's bytes or uint8 (h, w, 3) as a data address."""
    if not isinstance(picture, bytes):
        picture = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def method_label(study: Study, method: str) -> str:
    """The method's name with the run's parameters: a stand-in is called one."""
    return segmenters.label(method, study.profile.segmenters.get(method, {}))


def caption(row, lang: str = "ja") -> list[str]:
    """What stands under a photo, a row of cases.table: who is named as whom, and how good the mask is."""
    true, named = species.label(row.species, lang), species.label(row.predicted, lang)
    answer = {1: f"{true} ✓", 0: f"{true} → {named}"}.get(row.correct, f"{true} (not asked)")
    share = "" if pd.isna(row.confidence) else f" {100 * row.confidence:.0f}\u00a0%"
    how = row.kind or {"no_detection": "no fish found", "mask_rejected": "mask rejected"}.get(row.status, "")
    iou = "" if pd.isna(row.iou) else f"IoU {row.iou:.2f}"
    return [answer + share, ", ".join(filter(None, [how, iou]))]


def _cards(study: Study, rows: pd.DataFrame, lang: str) -> list[dict]:
    found = []
    for row in rows.itertuples():
        found.append({"src": source(jpeg(study, row.photo_id)), "lines": caption(row, lang), "id": row.photo_id})
    return found


def failure_grid(
    study: Study, title: str = "Failures", most: int = 12, lang: str = "ja", method=None, variant="original", **wanted
) -> str:
    """HTML: the first photos of a kind of error, each with its answer and mask. wanted: kind, true, named, sort of
    cases.pick; without, any failure, the surest first."""
    wanted = {"kind": "any failure", "sort": SUREST, **wanted}
    rows = cases.pick(cases.table(study, method, variant), **wanted)
    return html("grid", study, title=title, cards=_cards(study, rows.head(most), lang), total=len(rows))


def worst_species(study: Study, variant: str = ORIGINAL.name, most: int = 5, photos: int = 6, lang: str = "ja") -> str:
    """HTML: the species with the lowest recall, whom they are taken for, and the surest wrong answers."""
    rows, groups = cases.table(study, variant=variant).dropna(subset="correct"), []
    recall = evaluation.recall_by_species(rows)
    for r in recall[recall.recall < 100].sort_values("recall", kind="stable").head(most).itertuples():
        wrong = cases.pick(rows, "wrong species", r.species, sort=SUREST)
        others = [f"{species.label(name, lang)} {n}" for name, n in wrong.predicted.value_counts().items()]
        text = f"{r.recall:.0f} % right ({r.n_correct} of {r.n}); taken for {', '.join(others)}"
        groups.append(_group(study, species.label(r.species, lang), text, wrong.head(photos), lang))
    return html("groups", study, title=f"Worst species: {cases.label(variant)}", groups=groups)


def confusion_pairs(study: Study, variant: str = ORIGINAL.name, most: int = 6, photos: int = 6, lang="ja") -> str:
    """HTML: who is most often taken for whom, and the surest of these answers."""
    rows, groups = cases.table(study, variant=variant).dropna(subset="correct"), []
    pairs = rows[rows.correct == 0].groupby(["species", "predicted"]).size().sort_values(ascending=False, kind="stable")
    for (true, named), n in pairs.head(most).items():
        mine = cases.pick(rows, "wrong species", true, named, SUREST)
        name = f"{species.label(true, lang)} → {species.label(named, lang)}"
        groups.append(_group(study, name, f"{n} of {(rows.species == true).sum()}", mine.head(photos), lang))
    return html("groups", study, title=f"Most confused pairs: {cases.label(variant)}", groups=groups)


def _group(study: Study, name: str, text: str, rows: pd.DataFrame, lang: str) -> dict:
    return {"name": name, "text": text, "cards": _cards(study, rows, lang)}


@functools.cache
def _template() -> jinja2.Template:
    # text is escaped unless the template says |safe, which only our own CSS gets
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    options = {"autoescape": True, "undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    return jinja2.Environment(loader=loader, **options).get_template("views.html")


def html(macro: str, study: Study, **parts) -> str:
    """A macro of views.html as HTML with its style."""
    style = Path(__file__).with_name("views.css").read_text(encoding="utf-8")
    return _template().render(macro=macro, style=style, drawn=study.drawn, p=parts)


def note(study: Study) -> str:
    """HTML: whose photos these are, as every picture of drawn fish must say."""
    return html("look", study, images={}, hints=[], name="")


def thumbnails(study: Study, manifest: pd.DataFrame, species: str, most: int = 12):
    """(thumbnails, labels) of the first photos of a species; excluded ones first, and marked."""
    rows = manifest[(manifest.species == species) & (manifest.status != "unreadable")]
    rows = rows.sort_values("status", key=lambda s: s != "excluded", kind="stable").head(most)
    labels = [r.photo_id.split("/")[-1] + " (excluded)" * (r.status == "excluded") for r in rows.itertuples()]
    return [thumbnail(study, photo_id) for photo_id in rows.photo_id], labels


def examples(study: Study, scores: pd.DataFrame, method: str, most: int = 6) -> dict[str, list[dict]]:
    """Failure kind -> items for pictures.failure_grid, the worst IoU first."""
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
    facts = captions.facts(study) | {"notes": notes} | ({"classifier": judge(study)} if number > 1 else {})
    labels = {m.replace("-", "_"): method_label(study, m) for m in segmenters.LABELS}
    table.attrs["headers"] = labels
    caption = typeset.caption(number, facts)
    stem = study.out / "tables" / f"table{number}"
    typeset.write(table, stem, caption)
    text = typeset.html(table, caption)
    writing.write_text(stem.with_suffix(".html"), text)
    return text


def remarks(notes: list[str]) -> str:
    """Notes as a Markdown list; the names in them are text, whatever they hold."""
    plain = (escape(" ".join(note.split()), quote=False) for note in notes)
    marked = (re.sub(r"[\\`*_\[\]|~$]", r"\\\g<0>", text) for text in plain)
    return "\n".join("- " + re.sub(r"^(\d*)([-#+.)=])", r"\1\\\2", text) for text in marked)


def pipeline_parts(study: Study, manifest: pd.DataFrame, found: pd.DataFrame, predictions: pd.DataFrame) -> dict | None:
    """Arguments of pictures.pipeline for one photo: the first whose mask is ok and whose answer is right, or else the
    first whose mask is. None where no photo has a mask."""
    judged = predictions[(predictions.variant == CROP_MASK.name) & (predictions.counted == 1)]
    right = judged[judged.correct == 1]
    masked = found[(found.status == segmenters.OK) & found.photo_id.isin(judged.photo_id)]
    if masked.empty:
        return None
    row = next(masked[masked.photo_id.isin(right.photo_id)].itertuples(), next(masked.itertuples()))
    photo = manifest.set_index("photo_id", drop=False).loc[row.photo_id]
    shown = features.picture(study, photo, row, list(BASIC.values()))
    answers = predictions[predictions.photo_id == row.photo_id].set_index("variant").top5
    kept, size = segments.candidates(study, study.method, row.photo_id), (int(photo.height), int(photo.width))
    return {
        "photo": decode.decode(study.photos / photo.path),
        "box": segments.box(row),
        "candidates": [masks.resize_mask(candidate, size) for candidate in kept],  # kept on the network's own grid
        "mask": segments.read_mask(study, study.method, row),
        "variants": {composite.LABELS[v.name]: picture for v, picture in shown.items() if v != ORIGINAL},
        "top5": json.loads(answers[CROP_MASK.name]),
        "facts": captions.facts(study) | {"classifier": judge(study)},
    }
