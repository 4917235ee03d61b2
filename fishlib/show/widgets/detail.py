"""One photo in full: box, outlines, every variant with its answers, and the candidates of its mask, as HTML."""

import json

import cv2
import numpy as np
import pandas as pd

from fishlib.naming import features
from fishlib.photos import composite, decode, masks, species
from fishlib.removal import segments
from fishlib.show import captions, cases, pictures, views
from fishlib.study import Study

DETAIL = 480  # px, long side of the photo
OUTLINE, TRUTH, BOX = (213, 94, 0), (86, 180, 233), (230, 159, 0)  # RGB, canvas.py's RED, SKY and ORANGE


def photo_detail(study: Study, photo_id: str, method: str | None = None, lang: str = "ja", most: int = 12) -> str:
    """HTML: one photo with its box and outline, every variant as the classifier saw it with its top 5, and at most
    `most` candidates of the mask with their scores. Variants and answers are of the run's own method, box, outline
    and candidates of `method` (the run's own without)."""
    method, profile = method or study.method, study.profile
    case = cases.table(study, method).set_index("photo_id").loc[photo_id]
    photo = cases.frame(study, "manifest.csv").set_index("photo_id", drop=False).loc[photo_id]
    found, picture = cases.index(study, method).loc[photo_id], views.thumbnail(study, photo_id, DETAIL)
    why = segments.why(study, method, photo_id)
    answers = cases.frame(study, "predictions.csv", "photo_id", "variant", "top5")
    answers = answers[answers.photo_id == photo_id].set_index("variant").top5
    wanted = composite.variants_of_tables(profile.composite.backgrounds, profile.composite.dilations)
    own = cases.index(study, study.method).loc[photo_id]
    try:
        seen_by_it, changed = features.picture(study, photo, own, wanted), ""
    except features.Changed as error:
        seen_by_it, changed = {}, str(error)
    shown = []
    for variant, seen in seen_by_it.items():
        top5 = [(species.label(n, lang), round(100 * p), n == case.species) for n, p in _top5(answers, variant)]
        shown.append({"src": views.source(seen), "label": cases.label(variant.name), "top5": top5})
    return views.html(
        "photo",
        study,
        id=photo_id,
        name=species.label(case.species, lang),
        method=views.method_label(study, method),
        found=", ".join(filter(None, [case.status.replace("_", " "), case.reason, views.caption(case)[1]])),
        box=views.source(boxed(picture, found, int(photo.width))),
        outline=views.source(outlined(study, picture, photo_id, method)),
        truth=(study.out / "segments" / "truth").is_dir() and method != "truth",
        own=captions.facts(study)["method"],
        asked=len(answers),
        changed=changed,
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
    """The distinct candidates of a mask, the chosen one first, then by score; the rest of the picture is faded, and
    what lies far from all of them is cut off."""
    every, size = why.get("candidates", []), picture.shape[:2]
    scored = [{"total": c.get("fish", 0)} | c for c in every]  # SAM-CLIP keeps CLIP's answer, Detic none
    shown = pictures.distinct(scored, why.get("chosen", -1))[:most]
    cuts = [masks.resize_mask(c["mask"], size) for c, _ in shown]
    box = masks.box_of(np.any(cuts, axis=0)) if cuts else None
    x0, y0, x1, y1 = (0, 0, *size[::-1]) if box is None else composite.crop_window(box, *size, 0.1)
    found = []
    for mask, (candidate, alike) in zip(cuts, shown, strict=True):
        facts = {pictures.SCORES.get(k, k): candidate[k] for k in every[0] if k not in ("rle", "box")}
        faded = np.where(mask[..., None], picture, 205 + picture // 6)[y0:y1, x0:x1]
        small = decode.working(np.ascontiguousarray(faded), views.THUMBNAIL)
        found.append({"src": views.source(small), "chosen": "chosen" in why and not found, "facts": facts, "n": alike})
    return found
