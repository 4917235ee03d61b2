"""What each step of GDINO-SAM's mask adjustment is worth: every photo cut without it, from one look at the photo."""

import numpy as np
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
    true_rows = truth.set_index("photo_id")
    found = {}
    for row in evaluation.counted(frame).itertuples():
        true_mask = segments.read_mask(study, "truth", true_rows.loc[row.photo_id])
        if true_mask is None or not true_mask.any():
            continue
        steps = segments.why(study, METHOD, row.photo_id).get("steps", {})
        found[row.photo_id] = _ious_of_steps(steps, true_mask)
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis("photo_id")
    return table.fillna(0.0) if len(table.columns) else table.iloc[:0]


def _ious_of_steps(steps: dict[str, dict | None], true_mask: np.ndarray) -> dict[str, float]:
    """Name of a set of steps -> IoU of its mask (a COCO RLE, None where no mask was left) with the truth."""
    ious = dict.fromkeys(steps, 0.0)
    left = {name: rle for name, rle in steps.items() if rle}
    if left:
        size = next(iter(left.values()))["size"]
        truth = masks.to_rle(masks.resize_mask(true_mask, size))
        measured = coco.iou(list(left.values()), [truth], [0])[:, 0]
        ious.update(zip(left, measured.tolist(), strict=True))
    return ious


def summary(ious: pd.DataFrame, good_iou: float) -> pd.DataFrame:
    """Columns COLUMNS, a row for each of the columns of `ious`: photos, mean IoU, percent of photos at good_iou or more
    and the mean paired difference of IoU to the last column with its 95 % interval (Student's t over photos)."""
    rows = []
    for name in ious:
        difference = ious[name] - ious.iloc[:, -1]
        mean = difference.mean()
        half = float("nan")
        if len(difference) > 1:
            half = stats.t.ppf(0.975, len(difference) - 1) * difference.sem()

        well_cut = 100 * float((ious[name] >= good_iou).mean())
        rows.append([name, len(difference), ious[name].mean(), well_cut, mean, mean - half, mean + half])
    decimals = {"well_cut": 1, "mean_iou": 4, "difference": 4, "lo": 4, "hi": 4}
    return pd.DataFrame(rows, columns=COLUMNS).round(decimals)
