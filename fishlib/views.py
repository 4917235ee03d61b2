"""What notebooks, widgets and reports look at: pictures, tables and HTML made from what a run folder holds.

HTML comes as one string with its photos inside (macros of views.html); names in it are text.
"""

import base64
import functools
import json
from html import escape
from pathlib import Path

import cv2
import jinja2
import numpy as np
import pandas as pd

from fishlib import cache, cases, composite, dataset, evaluation, features, masks, segmenters, segments, species, tables
from fishlib.composite import BASIC, CROP_MASK, ORIGINAL
from fishlib.errors import UserError
from fishlib.inference import judge
from fishlib.study import Study

THUMBNAIL, DETAIL = 240, 480  # px, long side
SUREST = next(iter(cases.SORTS))
OUTLINE, TRUTH, BOX = (213, 94, 0), (86, 180, 233), (230, 159, 0)  # RGB, figures.py's RED, SKY and ORANGE


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
        small = dataset.working(dataset.decode(photo), side)
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


def photo_detail(study: Study, photo_id: str, method: str | None = None, lang: str = "ja", most: int = 12) -> str:
    """HTML: one photo with its box and outline, every variant as the classifier saw it with its top 5, and at most
    `most` candidates of the mask with their scores. Variants and answers are of the run's own method, box, outline
    and candidates of `method` (the run's own without)."""
    method, profile = method or study.method, study.profile
    case = cases.table(study, method).set_index("photo_id").loc[photo_id]
    photo = cases.frame(study, "manifest.csv").set_index("photo_id", drop=False).loc[photo_id]
    found, picture = cases.index(study, method).loc[photo_id], thumbnail(study, photo_id, DETAIL)
    why = segments.why(study, method, photo_id)
    answers = cases.frame(study, "predictions.csv", "photo_id", "variant", "top5")
    answers = answers[answers.photo_id == photo_id].set_index("variant").top5
    wanted = composite.variants_of_tables(profile.composite.backgrounds, profile.composite.dilations)
    shown = []
    for variant, seen in features.picture(study, photo, cases.index(study, study.method).loc[photo_id], wanted).items():
        top5 = [(species.label(n, lang), round(100 * p), n == case.species) for n, p in _top5(answers, variant)]
        shown.append({"src": source(seen), "label": cases.label(variant.name), "top5": top5})
    return html(
        "photo",
        study,
        id=photo_id,
        name=species.label(case.species, lang),
        method=method_label(study, method),
        found=", ".join(filter(None, [case.status.replace("_", " "), case.reason, caption(case)[1]])),
        box=source(boxed(picture, found, int(photo.width))),
        outline=source(outlined(study, picture, photo_id, method)),
        truth=(study.out / "segments" / "truth").is_dir() and method != "truth",
        own=study.facts()["method"],
        asked=len(answers),
        variants=shown,
        why=why.get("why", ""),
        candidates=_candidates(picture, why, most),
        of=len(why.get("candidates", [])),
    )


def _top5(answers: pd.Series, variant: composite.Variant) -> list:
    return json.loads(answers.get(variant.name, "[]"))


def boxed(picture: np.ndarray, row, width: int) -> np.ndarray:
    """A copy of a photo's picture with the detected box of the row; width: the photo's own, px."""
    picture = picture.copy()
    if (box := segments.box(row)) is not None:
        corners = np.rint(box.reshape(2, 2) * picture.shape[1] / width).astype(int).tolist()
        cv2.rectangle(picture, *corners, BOX, 2)
    return picture


def outlined(study: Study, picture: np.ndarray, photo_id: str, method: str, truth: bool = True) -> np.ndarray:
    """A copy of a photo's picture with the outlines of the true mask, if there is one and it is wanted, and of the
    method's."""
    picture = picture.copy()
    for name, colour in {**({"truth": TRUTH} if truth else {}), method: OUTLINE}.items():
        rows = cases.index(study, name)
        mask = segments.read_mask(study, name, rows.loc[photo_id]) if photo_id in rows.index else None
        if mask is not None:
            small = masks.resize_mask(mask, picture.shape[:2]).astype(np.uint8)
            lines, _ = cv2.findContours(small, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, lines, -1, colour, 2, cv2.LINE_AA)
    return picture


def _candidates(picture: np.ndarray, why: dict, most: int) -> list[dict]:
    """The candidates of a mask, the chosen one first, then by score; the rest of the picture is faded, and what lies
    far from all of them is cut off."""
    chosen, every = why.get("chosen"), list(enumerate(why.get("candidates", [])))
    every.sort(key=lambda c: (c[0] != chosen, -c[1].get("total", c[1].get("fish", 0))))
    shown = [masks.resize_mask(masks.from_rle(c["rle"]), picture.shape[:2]) for _, c in every[:most]]
    box = masks.box_of(np.any(shown, axis=0)) if shown else None
    x0, y0, x1, y1 = (
        (0, 0, *picture.shape[1::-1]) if box is None else composite.crop_window(box, *picture.shape[:2], 0.1)
    )
    found = []
    for mask, (i, candidate) in zip(shown, every, strict=False):
        facts = {k: v for k, v in candidate.items() if k not in ("rle", "box")}
        faded = np.where(mask[..., None], picture, 205 + picture // 6)[y0:y1, x0:x1]
        small = dataset.working(np.ascontiguousarray(faded), THUMBNAIL)
        found.append({"src": source(small), "chosen": i == chosen, "facts": facts})
    return found


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
    facts = study.facts() | {"notes": notes} | ({"classifier": judge(study)} if number > 1 else {})
    labels = {m.replace("-", "_"): method_label(study, m) for m in segmenters.LABELS}
    table.attrs["headers"] = labels
    caption = tables.caption(number, facts)
    stem = study.out / "tables" / f"table{number}"
    tables.write(table, stem, caption)
    text = tables.html(table, caption)
    cache.write_text(stem.with_suffix(".html"), text)
    return text


def remarks(notes: list[str]) -> str:
    """Notes as a Markdown list; the names in them are text, whatever they hold."""
    return "\n".join(f"- {escape(note, quote=False)}" for note in notes)


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
    kept, size = segments.candidates(study, study.method, row.photo_id), (int(photo.height), int(photo.width))
    return {
        "photo": dataset.decode(study.photos / photo.path),
        "box": segments.box(row),
        "candidates": [masks.resize_mask(candidate, size) for candidate in kept],  # kept on the network's own grid
        "mask": segments.read_mask(study, study.method, row),
        "variants": {composite.LABELS[v.name]: picture for v, picture in shown.items() if v != ORIGINAL},
        "top5": json.loads(answers[CROP_MASK.name]),
        "facts": study.facts() | {"classifier": judge(study)},
    }
