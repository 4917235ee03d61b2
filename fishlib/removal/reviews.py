"""Verdicts by eye on cut-outs (paper, section 4.2), kept in reviews.csv of a run: what counts without true masks."""

from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import cohens_kappa

from fishlib.files import frames
from fishlib.photos import curation

FILE = "reviews.csv"  # in the run folder
COLUMNS = ["photo_id", "method", "reviewer", "verdict"]
VERDICTS = ("good", "bad", "unsure")  # good: roughly only the fish is cut out; a lost piece of fin still counts
CUT = ["photo_id", "method"]  # what a verdict is about


def read(csv: Path) -> pd.DataFrame:
    """The verdicts that stand, columns COLUMNS, text: the last row of each photo, method and reviewer, in the file's
    order. A missing file holds none; an empty verdict takes an earlier one back. UserError as curation's."""
    frame = curation.read_answers(csv, COLUMNS, "verdict", VERDICTS)
    frame["photo_id"] = frame["photo_id"].map(curation.plain)
    frame = frame.drop_duplicates([*CUT, "reviewer"], keep="last")
    return frame[frame["verdict"] != ""].reset_index(drop=True)


def put(csv: Path, cut: tuple[str, str], reviewer: str, verdict: str | None) -> None:
    """Keep one verdict, or take it back (None): it is on the disk when this returns, and so is what others said.

    cut: photo_id and method. UserError as `read`, and where the file cannot be written.
    """
    photo_id, method = cut
    own = {"photo_id": curation.plain(photo_id), "method": method.strip(), "reviewer": reviewer.strip()}

    def with_verdict() -> pd.DataFrame:
        kept = read(csv)
        same = (kept[list(own)] == list(own.values())).all(axis=1)
        if verdict is None:
            return kept[~same]
        new = pd.DataFrame([own | {"verdict": verdict}], columns=COLUMNS)
        return pd.concat([kept[~same], new])

    frames.rewrite(csv, with_verdict)


def well_cut(reviews: pd.DataFrame) -> pd.DataFrame:
    """One row a photo and method: photo_id, method, well_cut 1 or 0 as most of those who said good or bad found;
    NaN, not reviewed, on a tie or where all were unsure. reviews: as `read` gives it."""
    side = reviews["verdict"].map({"good": 1, "bad": -1, "unsure": 0}).astype(int)
    balance = side.groupby([reviews["photo_id"], reviews["method"]]).sum()
    majority = (np.sign(balance) + 1) / 2
    decided = majority.where(balance != 0)
    return decided.rename("well_cut").reset_index()


def apply(scores: pd.DataFrame, reviews: pd.DataFrame) -> pd.DataFrame:
    """scoring.score's rows with well_cut from the verdicts where no true mask judged (iou is NaN)."""
    by_eye = well_cut(reviews).set_index(CUT)["well_cut"]
    photo_ids = scores["photo_id"].map(curation.plain)
    cuts = pd.MultiIndex.from_arrays([photo_ids, scores["method"]])
    by_eye_here = by_eye.reindex(cuts).to_numpy(float)

    by_mask = scores["well_cut"].astype(float)
    has_truth = scores["iou"].notna()
    return scores.assign(well_cut=by_mask.where(has_truth, by_eye_here))


def agreement(reviews: pd.DataFrame, one: str, other: str) -> dict:
    """Of two reviewers, over the cuts both called good or bad: n, same (share of equal verdicts), Cohen's kappa and
    its 95 % interval lo to hi (Fleiss, Cohen and Everitt 1969); NaN where nothing is shared, kappa also where both gave
    one and the same verdict throughout, the interval also where they never disagreed."""
    clear = reviews[reviews["verdict"] != "unsure"]
    by_reviewer = clear.pivot(index=CUT, columns="reviewer", values="verdict")
    shared = by_reviewer.reindex(columns=[one, other]).dropna()
    nothing = float("nan")
    if shared.empty:
        return {"n": 0, "same": nothing, "kappa": nothing, "lo": nothing, "hi": nothing}

    same = float((shared[one] == shared[other]).mean())
    found = {"n": len(shared), "same": same, "kappa": nothing, "lo": nothing, "hi": nothing}
    if len({*shared[one], *shared[other]}) < 2:
        return found
    clear_verdicts = [verdict for verdict in VERDICTS if verdict != "unsure"]
    counts = pd.crosstab(shared[one], shared[other]).reindex(clear_verdicts, fill_value=0)
    told = cohens_kappa(counts.reindex(columns=clear_verdicts, fill_value=0).to_numpy())
    found["kappa"] = float(told.kappa)
    if same < 1:
        found |= {"lo": max(-1.0, float(told.kappa_low)), "hi": min(1.0, float(told.kappa_upp))}
    return found
