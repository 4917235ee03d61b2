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
    method = method or study.method
    case = cases.table(study, method).set_index("photo_id").loc[photo_id]
    photo = cases.frame(study, "manifest.csv").set_index("photo_id", drop=False).loc[photo_id]
    found = cases.index(study, method).loc[photo_id]
    picture = views.thumbnail(study, photo_id, DETAIL)
    answers = cases.frame(study, "predictions.csv", "photo_id", "variant", "top5")
    answers = answers[answers.photo_id == photo_id].set_index("variant").top5
    variants, changed = _variants(study, photo, answers, case.species, lang)
    why = segments.why(study, method, photo_id)
    said = [case.status.replace("_", " "), case.reason, views.caption(case)[1]]
    return views.html(
        "photo",
        study,
        id=photo_id,
        name=species.label(case.species, lang),
        method=views.method_label(study, method),
        found=", ".join(filter(None, said)),
        box=views.source(boxed(picture, found, int(photo.width))),
        outline=views.source(outlined(study, picture, photo_id, method)),
        truth=(study.out / "segments" / "truth").is_dir() and method != "truth",
        own=captions.facts(study)["method"],
        asked=len(answers),
        changed=changed,
        variants=variants,
        why=why.get("why", ""),
        candidates=_candidates(picture, why, most),
        of=len(why.get("candidates", [])),
    )


def _variants(study: Study, photo, answers: pd.Series, true: str, lang: str) -> tuple[list[dict], str]:
    """(every variant of a photo as the classifier saw it, with its top 5; why there is none). answers: by variant."""
    composites = study.profile.composite
    wanted = composite.variants_of_tables(composites.backgrounds, composites.dilations)
    own = cases.index(study, study.method).loc[photo.photo_id]
    try:
        seen = features.picture(study, photo, own, wanted)
    except features.Changed as error:
        return [], str(error)
    shown = []
    for variant, picture in seen.items():
        top5 = []
        for name, share in json.loads(answers.get(variant.name, "[]")):
            top5.append((species.label(name, lang), round(100 * share), name == true))
        shown.append({"src": views.source(picture), "label": cases.label(variant.name), "top5": top5})
    return shown, ""


def boxed(picture: np.ndarray, row, width: int) -> np.ndarray:
    """A copy of a photo's picture with the detected box of the row; width: the photo's own, px."""
    picture = picture.copy()
    box = segments.box(row)
    if box is not None:
        corners = np.rint(box.reshape(2, 2) * picture.shape[1] / width).astype(int).tolist()
        cv2.rectangle(picture, *corners, BOX, 2)
    return picture


def outlined(study: Study, picture: np.ndarray, photo_id: str, method: str, truth: bool = True) -> np.ndarray:
    """A copy of a photo's picture with the outlines of the true mask, if there is one and it is wanted, and of the
    method's."""
    picture = picture.copy()
    colours = {"truth": TRUTH, method: OUTLINE} if truth else {method: OUTLINE}
    for name, colour in colours.items():
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
    every = why.get("candidates", [])
    if not every:
        return []
    height, width = picture.shape[:2]
    scored = [
        {"total": candidate.get("fish", 0)} | candidate for candidate in every
    ]  # SAM-CLIP's score, Detic has none
    distinct = pictures.distinct(scored, why.get("chosen", -1))[:most]
    cuts = [masks.resize_mask(candidate["mask"], (height, width)) for candidate, _ in distinct]
    box = masks.box_of(np.any(cuts, axis=0))
    x0, y0, x1, y1 = (0, 0, width, height) if box is None else composite.crop_window(box, height, width, 0.1)

    scores = [name for name in every[0] if name not in ("rle", "box")]
    shown = []
    for place, (mask, (candidate, alike)) in enumerate(zip(cuts, distinct, strict=True)):
        faded = np.where(mask[..., None], picture, 205 + picture // 6)[y0:y1, x0:x1]
        small = decode.working(np.ascontiguousarray(faded), views.THUMBNAIL)
        facts = {pictures.SCORES.get(name, name): candidate[name] for name in scores}
        chosen = place == 0 and "chosen" in why
        shown.append({"src": views.source(small), "chosen": chosen, "facts": facts, "n": alike})
    return shown
