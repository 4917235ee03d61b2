"""Table 1's numbers: every method's masks against the true ones, and against verdicts by eye where there are none."""

import numpy as np
import pandas as pd

from fishlib.files import paths
from fishlib.files.frames import write_frame
from fishlib.photos import masks
from fishlib.removal import reviews, segments
from fishlib.scores import evaluation
from fishlib.study import Study

COLUMNS = ["photo_id", "species", "method", "status", "iou", "precision", "recall", "fin_recall", "kind", "well_cut"]


def score(study: Study, frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a method and photo, columns COLUMNS; also written as scores.csv.

    frames: method -> its frame (segmenting.run), "truth" among them where there are true masks. kind: of failure;
    well_cut: 1 or 0, by the true mask, else by the verdicts of reviews.csv, NaN where these do not decide.
    """
    true_rows = frames["truth"].set_index("photo_id") if "truth" in frames else None
    rows = []
    for method, frame in frames.items():
        if method == "truth":
            continue
        for row in frame.itertuples():
            true_mask = None
            if true_rows is not None and row.status in evaluation.COUNTED:
                true_mask = segments.read_mask(study, "truth", true_rows.loc[row.photo_id])
            rows.append(_line(study, method, row, true_mask))

    verdicts = reviews.read(study.out / reviews.FILE)
    scores = reviews.apply(pd.DataFrame(rows, columns=COLUMNS), verdicts)
    write_frame(scores, study.out / "scores.csv")
    return scores


def _line(study: Study, method: str, row, true_mask: np.ndarray | None) -> dict:
    """The scores of one photo; those that take a true mask are absent without one."""
    line = {"photo_id": row.photo_id, "species": row.species, "method": method, "status": row.status}
    if true_mask is None:
        return line

    mask = segments.read_mask(study, method, row)
    scores = evaluation.mask_scores(mask, true_mask, _fins(study, row.photo_id))

    line.update(scores)
    line["kind"] = evaluation.failure_kind(scores, study.profile.good_iou)
    line["well_cut"] = int(scores["iou"] >= study.profile.good_iou)
    return line


def _fins(study: Study, photo_id: str) -> np.ndarray | None:
    """bool (H, W), the fins alone, where they are known (drawn fish)."""
    if study.fins is None:
        return None
    path = paths.file_inside(study.fins, segments.mask_file(photo_id))
    return None if path is None else masks.read_mask(path)
