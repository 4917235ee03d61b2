"""What each step of GDINO-SAM's mask adjustment is worth: every photo cut without it, from one look at the photo."""

import pandas as pd
from pycocotools import mask as coco
from scipy import stats

from fishlib import cache
from fishlib.photos import dataset, masks
from fishlib.removal import segmenters, segments
from fishlib.scores import evaluation
from fishlib.show import tables
from fishlib.study import Study

METHOD = "gdino-sam"
COLUMNS = ["steps", "n", "mean_iou", "well_cut", "difference", "lo", "hi"]


def ious(study: Study, frame: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """IoU with the true mask of each counted photo (index photo_id) after each set of steps (columns, all steps first,
    none last), at the size the photo was cut at. 0 where no fish was found; empty when the method kept no steps.

    frame, truth: the frames of METHOD and of the truth, as segments.run gives them.
    """
    true_rows, found = truth.set_index("photo_id"), {}
    for row in evaluation.counted(frame).itertuples():
        kept = segments.why(study, METHOD, row.photo_id).get("steps", {})
        true = segments.read_mask(study, "truth", true_rows.loc[row.photo_id])
        if true is None or not true.any():
            continue
        rles = {name: rle for name, rle in kept.items() if rle}
        found[row.photo_id] = dict.fromkeys(kept, 0.0)
        if rles:
            own = masks.to_rle(masks.resize_mask(true, next(iter(rles.values()))["size"]))
            found[row.photo_id] |= dict(zip(rles, coco.iou([*rles.values()], [own], [0])[:, 0].tolist(), strict=True))
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis("photo_id")
    return table.fillna(0.0) if len(table.columns) else table.iloc[:0]


def summary(ious: pd.DataFrame, good_iou: float) -> pd.DataFrame:
    """Columns COLUMNS, a row for each of the columns of `ious`: photos, mean IoU, percent of photos at good_iou or more
    and the mean paired difference of IoU to the last column with its 95 % interval (Student's t over photos)."""
    rows = []
    for name in ious:
        d, share = ious[name] - ious.iloc[:, -1], 100 * float((ious[name] >= good_iou).mean())
        half = stats.t.ppf(0.975, len(d) - 1) * d.sem() if len(d) > 1 else float("nan")
        rows.append([name, len(d), ious[name].mean(), share, d.mean(), d.mean() - half, d.mean() + half])
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.round({"well_cut": 1} | dict.fromkeys(["mean_iou", "difference", "lo", "hi"], 4))


def publish(study: Study, frames: dict[str, pd.DataFrame]) -> str:
    """Write tables/ablation.csv and .md; returns the Markdown, or why there is none. frames: with "truth"."""
    if METHOD not in frames or "truth" not in frames:
        return f"No ablation: it takes masks of {METHOD} and true masks."
    table = summary(ious(study, frames[METHOD], frames["truth"]), study.profile.good_iou)
    if table.empty:
        return f"No ablation: {METHOD}'s masks come from elsewhere, or no photo counts."
    heads = ["steps", "photos", "mean IoU", f"IoU ≥ {study.profile.good_iou:g}, %", "IoU minus none", "95 % interval"]
    lines = [
        [
            r.steps,
            str(r.n),
            f"{r.mean_iou:.4f}",
            f"{r.well_cut:.1f}",
            f"{r.difference:+.4f}",
            f"{r.lo:+.4f} to {r.hi:+.4f}",
        ]
        for r in table.itertuples()
    ]
    label = segmenters.label(METHOD, study.profile.segmenters.get(METHOD, {}))
    drawn = " The fish of this run are DRAWN: nothing here is about real fish." * study.drawn
    caption = (
        f"Ablation of the mask adjustment of {label}: each step left out, the same boxes and features of SAM.{drawn}"
    )
    stem = study.out / "tables" / "ablation"
    dataset.write_frame(table, stem.with_suffix(".csv"))
    cache.write_text(stem.with_suffix(".md"), text := tables.markdown(caption, [heads, *lines]))
    return text


def explained(study: Study, frame: pd.DataFrame, photo_id: str | None = None) -> dict | None:
    """Arguments of pictures.why_mask for a photo, else for the first with candidates; None where there are none."""
    rows = frame if photo_id is None else frame[frame.photo_id == photo_id]
    for row in rows.itertuples():
        if "candidates" in (detail := segments.why(study, METHOD, row.photo_id)):
            photo = dataset.working(dataset.decode(study.photos / row.photo_id), study.profile.working_side)
            mask = segments.read_mask(study, METHOD, row)
            mask = None if mask is None else masks.resize_mask(mask, photo.shape[:2])
            return {"photo": photo, "detail": detail, "mask": mask, "title": f"Why this mask of {row.photo_id}"}
    return None
