"""What notebook 02 shows of the mask adjustment: the ablation as a table, and why a photo has its mask."""

import pandas as pd

from fishlib.files import writing
from fishlib.files.frames import write_frame
from fishlib.photos import decode, masks
from fishlib.removal import ablation, segmenters, segments
from fishlib.show import typeset
from fishlib.study import Study


def publish(study: Study, frames: dict[str, pd.DataFrame]) -> str:
    """Write tables/ablation.csv and .md; returns the Markdown, or why there is none. frames: with "truth"."""
    if ablation.METHOD not in frames or "truth" not in frames:
        return f"No ablation: it takes masks of {ablation.METHOD} and true masks."
    table = ablation.summary(ablation.ious(study, frames[ablation.METHOD], frames["truth"]), study.profile.good_iou)
    if table.empty:
        return f"No ablation: {ablation.METHOD}'s masks come from elsewhere, or no photo counts."
    good = study.profile.good_iou
    heads = ["steps", "photos", "mean IoU", f"IoU ≥ {good:g}, %", "IoU minus none", "95 % interval"]
    lines = []
    for row in table.itertuples():
        interval = f"{row.lo:+.4f} to {row.hi:+.4f}"
        measures = [f"{row.mean_iou:.4f}", f"{row.well_cut:.1f}", f"{row.difference:+.4f}", interval]
        lines.append([row.steps, str(row.n), *measures])

    label = segmenters.label(ablation.METHOD, study.profile.segmenters.get(ablation.METHOD, {}))
    caption = f"Ablation of the mask adjustment of {label}: each step left out, the same boxes and features of SAM."
    if study.drawn:
        caption += " The fish of this run are DRAWN: nothing here is about real fish."
    text = typeset.markdown(caption, [heads, *lines])
    stem = study.out / "tables" / "ablation"
    write_frame(table, stem.with_suffix(".csv"))
    writing.write_text(stem.with_suffix(".md"), text)
    return text


def explained(study: Study, frame: pd.DataFrame, photo_id: str | None = None) -> dict | None:
    """Arguments of pictures.why_mask for a photo, else for the first with candidates; None where there are none."""
    rows = frame if photo_id is None else frame[frame.photo_id == photo_id]
    for row in rows.itertuples():
        detail = segments.why(study, ablation.METHOD, row.photo_id)
        if "candidates" not in detail:
            continue
        photo = decode.working(decode.decode(study.photos / row.photo_id), study.profile.working_side)
        mask = segments.read_mask(study, ablation.METHOD, row)
        if mask is not None:
            mask = masks.resize_mask(mask, photo.shape[:2])
        return {"photo": photo, "detail": detail, "mask": mask, "title": f"Why this mask of {row.photo_id}"}
    return None
