"""What each step of GDINO-SAM's mask adjustment is worth: every photo cut without it, from one look at the photo."""

import pandas as pd
from pycocotools import mask as coco
from scipy import stats

from fishlib.photos import masks
from fishlib.removal import segments
from fishlib.scores import evaluation
from fishlib.study import Study

METHOD = "gdino-sam"
COLUMNS = ["steps", "n", "mean_iou", "well_cut", "difference", "lo", "hi"]


def ious(study: Study, frame: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """IoU with the true mask of each counted photo (index photo_id) after each set of steps (columns, all steps first,
    none last), at the size the photo was cut at. 0 where no fish was found; empty when the method kept no steps.

    frame, truth: the frames of METHOD and of the truth, as segmenting.run gives them.
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
