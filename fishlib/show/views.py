"""What notebooks, widgets and reports look at: pictures, tables and HTML made from what a run folder holds.

HTML comes as one string with its photos inside (macros of views.html); names in it are text.
"""

import base64
import functools
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from fishlib import cache
from fishlib.errors import UserError
from fishlib.files import paths, writing
from fishlib.naming import features
from fishlib.photos import composite, decode, masks, species
from fishlib.photos.composite import BASIC, CROP_MASK, ORIGINAL
from fishlib.removal import segmenters, segments
from fishlib.scores import evaluation
from fishlib.show import captions, cases, typeset, worst
from fishlib.study import Study

THUMBNAIL = 240  # px, long side
STYLE = Path(__file__).with_name("views.css")
WITHOUT_MASK = {"no_detection": "no fish found", "mask_rejected": "mask rejected"}  # status -> what a caption says
ASKED = ("photo_id", "species", "variant", "predicted", "confidence", "correct")  # columns of predictions.csv
SUREST = next(iter(cases.SORTS))


def thumbnail(study: Study, photo_id: str, side: int = THUMBNAIL) -> np.ndarray:
    """uint8 (h, w, 3), long side at most `side`; made once and kept in the cache."""
    return pixels(jpeg(study, photo_id, side))


def pixels(data: bytes) -> np.ndarray:
    """A JPEG of `jpeg` as uint8 (h, w, 3) RGB."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(picture[..., ::-1])


def jpeg(study: Study, photo_id: str, side: int = THUMBNAIL, sha256: str = "") -> bytes:
    """The thumbnail as the bytes of a JPEG, kept under the hash of the photo; a damaged one is made anew.

    sha256: of the photo's bytes, as the manifest has it: nothing but that photo is shown, whatever lies there now.
    Without, the file as it is. UserError for a photo_id that leads out of the photos, UnreadablePhoto, OSError.
    """
    photo = paths.inside(study.photos, photo_id)
    digest = sha256 or cache.file_hash(photo)
    kept = cache.entry(study.cache, "thumbnails", cache.key(photo=digest, side=side))
    paths.inside(study.out, kept.relative_to(study.out))
    data = _kept_jpeg(kept, side)
    if data is None:
        small = decode.working(decode.read(photo, digest).pixels, side)
        encoded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
        cache.save(kept, jpeg=encoded)
        data = encoded.tobytes()
    return data


def _kept_jpeg(path: Path, side: int) -> bytes | None:
    """The JPEG that an entry of the cache holds; None where there is none of that size."""
    kept = cache.load(path)
    if kept is None or "jpeg" not in kept or kept["jpeg"].dtype != np.uint8:
        return None
    data = kept["jpeg"].tobytes()
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            if max(picture.size) > side:  # told by its header, before anything is decoded
                return None
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return data


def source(picture: np.ndarray | bytes) -> str:
    """The src of an <img>: a JPEG's bytes or uint8 (h, w, 3) as a data address."""
    if not isinstance(picture, bytes):
        picture = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def source_of(study: Study, photo_id: str) -> str:
    """The src of a photo's thumbnail; of a picture that says so where the photo is gone or damaged."""
    try:
        return source(jpeg(study, photo_id))
    except (UserError, OSError):
        return _not_at_hand()


@functools.cache
def _not_at_hand() -> str:
    grey = np.full((100, 150, 3), 238, np.uint8)
    cv2.putText(grey, "not at hand", (28, 55), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (80, 80, 80), 1, cv2.LINE_AA)
    return source(grey)


def method_label(study: Study, method: str) -> str:
    """The method's name with the run's parameters: a stand-in is called one."""
    return segmenters.label(method, study.profile.segmenters.get(method, {}))


def caption(row, lang: str = "ja") -> list[str]:
    """What stands under a photo, a row of cases.table: who is named as whom, how good the mask is, whether a
    person must look, and its tags."""
    true = species.label(row.species, lang)
    if row.correct == 1:
        answer = f"{true} ✓"
    elif row.correct == 0:
        answer = f"{true} → {species.label(row.predicted, lang)}"
    else:
        answer = f"{true} (not asked)"
    if not pd.isna(row.confidence):
        answer += f" {100 * row.confidence:.0f}\u00a0%"

    mask = [row.kind or WITHOUT_MASK.get(row.status, "")]
    if not pd.isna(row.iou):
        mask.append(f"IoU {row.iou:.2f}")
    lines = [answer, ", ".join(filter(None, mask))]
    if row.check == 1:
        lines.append(cases.TO_CHECK)
    if row.tags:
        lines.append(f"tags: {', '.join(row.tags)}")
    return lines


def failure_grid(
    study: Study,
    title: str = "Failures",
    most: int = 12,
    lang: str = "ja",
    method: str | None = None,
    variant: str = ORIGINAL.name,
    kind: str = "any failure",
    sort: str = SUREST,
    **wanted,
) -> str:
    """HTML: the first photos of a kind of error, each with its answer and mask; without a kind any failure, the surest
    first. wanted: true, named and tag of cases.pick."""
    rows = cases.pick(cases.table(study, method, variant), kind, sort=sort, **wanted)
    return html("grid", study, title=title, cards=_cards(study, rows.head(most), lang), total=len(rows))


def worst_species(study: Study, most: int = 5, photos: int = 6, lang: str = "ja") -> str:
    """HTML: the species named worst in any of the four inputs, whom they are taken for, what is to blame, and the
    surest wrong answers; then the species on which the inputs part most."""
    answers = cases.frame(
        study, "predictions.csv", "photo_id", "species", "variant", "predicted", "confidence", "correct"
    )
    scores = cases.frame(study, "scores.csv", "photo_id", "method", "kind")
    mine = scores[(scores["method"] == study.method) & (scores["kind"] != "not scored")].set_index("photo_id")["kind"]
    found = worst.ranked(answers, mine.isin(evaluation.WELL_CUT).astype(float))
    groups = []
    for one in [one for one in found if one.recall < 100][:most]:
        rows = cases.table(study, variant=one.variant).set_index("photo_id", drop=False)
        others = [f"{species.label(name, lang)} {n}" for name, n in one.taken_for.items()]
        text = f"{worst.said(one)}; taken for {', '.join(others)}. {worst.why(one)}"
        groups.append(_group(study, species.label(one.species, lang), text, rows.loc[list(one.photos[:photos])], lang))
    parted = worst.apart(found)
    if parted is not None:
        inputs = [f"{cases.label(variant)} {right} of {parted.n}" for variant, right in parted.right.items()]
        text = f"the inputs part most on it. Right: {', '.join(inputs)}"
        groups.append(_group(study, species.label(parted.species, lang), text, answers.iloc[:0], lang))
    return html("groups", study, title="Worst species, each in the input that suits it worst", groups=groups)


def confusion_pairs(study: Study, variant: str = ORIGINAL.name, most: int = 6, photos: int = 6, lang="ja") -> str:
    """HTML: who is most often taken for whom, and the surest of these answers."""
    rows = cases.table(study, variant=variant).dropna(subset="correct")
    wrong = rows[rows.correct == 0]
    pairs = wrong.groupby(["species", "predicted"]).size().sort_values(ascending=False, kind="stable")
    groups = []
    for (true, named), n in pairs.head(most).items():
        mine = cases.pick(rows, "wrong species", true, named, SUREST)
        name = f"{species.label(true, lang)} → {species.label(named, lang)}"
        text = f"{n} of {(rows.species == true).sum()}"
        groups.append(_group(study, name, text, mine.head(photos), lang))
    return html("groups", study, title=f"Most confused pairs: {cases.label(variant)}", groups=groups)


def _group(study: Study, name: str, text: str, rows: pd.DataFrame, lang: str) -> dict:
    return {"name": name, "text": text, "cards": _cards(study, rows, lang)}


def _cards(study: Study, rows: pd.DataFrame, lang: str) -> list[dict]:
    cards = []
    for row in rows.itertuples():
        cards.append({"src": source_of(study, row.photo_id), "lines": caption(row, lang), "id": row.photo_id})
    return cards


@functools.cache
def _template() -> jinja2.Template:
    # text is escaped unless the template says |safe, which only our own CSS gets
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    options = {"autoescape": True, "undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    return jinja2.Environment(loader=loader, **options).get_template("views.html")


def html(macro: str, study: Study, **parts) -> str:
    """A macro of views.html as HTML with its style."""
    style = STYLE.read_text(encoding="utf-8")
    return _template().render(macro=macro, style=style, drawn=study.drawn, p=parts)


def note(study: Study) -> str:
    """HTML: whose photos these are, as every picture of drawn fish must say."""
    return html("look", study, images={}, hints=[], name="")


def thumbnails(study: Study, manifest: pd.DataFrame, species: str, most: int = 12) -> tuple[list, list[str]]:
    """(thumbnails, labels) of the first photos of a species; excluded ones first, and marked."""
    rows = manifest[(manifest.species == species) & (manifest.status != "unreadable")]
    rows = rows.sort_values("status", key=lambda status: status != "excluded", kind="stable").head(most)
    labels = []
    for row in rows.itertuples():
        name = row.photo_id.split("/")[-1]
        labels.append(f"{name} (excluded)" if row.status == "excluded" else name)
    return [thumbnail(study, photo_id) for photo_id in rows.photo_id], labels


def examples(study: Study, scores: pd.DataFrame, method: str, most: int = 6) -> dict[str, list[dict]]:
    """Failure kind -> items for pictures.failure_grid, the worst IoU first."""
    judged = scores[(scores.method == method) & scores.iou.notna()]
    failed = judged[judged.kind != "good"]
    read = segments.reader(study, method)
    found = {}
    for kind, rows in failed.groupby("kind"):
        found[kind] = [_failure(study, row, read) for row in rows.sort_values("iou").head(most).itertuples()]
    return found


def _failure(study: Study, row, read: Callable[[str], np.ndarray | None]) -> dict:
    photo = thumbnail(study, row.photo_id)
    mask = read(row.photo_id)
    if mask is not None:
        mask = masks.resize_mask(mask, photo.shape[:2])
    return {"photo": photo, "mask": mask, "label": row.photo_id, "kind": row.kind, "iou": row.iou}


def publish(study: Study, number: int, table: pd.DataFrame, notes: list[str]) -> str:
    """Write tables/table<number>.csv, .md, .tex and .html; returns the HTML."""
    facts = captions.facts(study) if number == 1 else captions.named_by(study)
    table.attrs["headers"] = {method.replace("-", "_"): method_label(study, method) for method in segmenters.LABELS}
    caption = typeset.caption(number, facts | {"notes": notes})
    stem = study.out / "tables" / f"table{number}"
    typeset.write(table, stem, caption)
    text = typeset.html(table, caption)
    writing.write_text(stem.with_suffix(".html"), text)
    return text


def remarks(notes: list[str]) -> str:
    """Notes as a Markdown list; the names in them are text, whatever they hold."""
    texts = map(captions.escaped, notes)
    return "\n".join("- " + re.sub(r"^(\d*)([-#+.)=])", r"\1\\\2", text) for text in texts)


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
    size = int(photo.height), int(photo.width)
    seen = features.picture(study, photo, row, list(BASIC.values()))
    seen = {composite.LABELS[variant.name]: picture for variant, picture in seen.items() if variant != ORIGINAL}
    candidates = segments.candidates(study, study.method, row.photo_id)
    top5 = judged.set_index("photo_id").top5[row.photo_id]
    return {
        "photo": decode.decode(study.photos / photo.path),
        "box": segments.box(row),
        "candidates": [masks.resize_mask(candidate, size) for candidate in candidates],  # kept on a grid of its own
        "mask": segments.read_mask(study, study.method, row),
        "variants": seen,
        "top5": json.loads(top5),
        "facts": captions.named_by(study),
    }
