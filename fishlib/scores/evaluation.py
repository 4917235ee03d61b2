"""Scores of a run: micro-F1, recall a species, intervals, paired tests, and how good a mask is."""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.proportion import proportion_confint

from fishlib.photos import species

COUNTED = ("ok", "no_detection", "mask_rejected")  # excluded and unreadable photos are listed, not counted
WELL_CUT = ("good", "fin lost")  # paper, section 4.2: a lost piece of fin still counts as cut out


def counted(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of photos that count: by column `counted` (0/1) where there is one, else by `status`."""
    if "counted" in frame:
        return frame[frame["counted"].astype(bool)]
    return frame[frame["status"].isin(COUNTED)] if "status" in frame else frame


def micro_f1(y_true, y_pred) -> float:
    """Micro-F1 over all classes in percent (paper, 4.3.1); one label a photo makes it the accuracy.

    y_true, y_pred: sequences of names, same order and length; ValueError when empty or of unequal length.
    """
    if len(y_true) != len(y_pred) or not len(y_true):
        raise ValueError(f"micro-F1 needs two equally long lists, got {len(y_true)} and {len(y_pred)} names.")
    return 100 * float(f1_score(list(y_true), list(y_pred), average="micro"))


def macro_f1(y_true, y_pred) -> float:
    """Macro-F1 in percent: the mean over species of each one's F1, so that a rare species counts as a common one.

    y_true, y_pred: as micro_f1. The mean is over the species that have a photo; an answer that names another species
    counts against the true one.
    """
    if len(y_true) != len(y_pred) or not len(y_true):
        raise ValueError(f"macro-F1 needs two equally long lists, got {len(y_true)} and {len(y_pred)} names.")
    present = sorted({*y_true})
    scores = f1_score(list(y_true), list(y_pred), labels=present, average="macro", zero_division=0)
    return 100 * float(scores)


def recall_by_species(frame: pd.DataFrame) -> pd.DataFrame:
    """Recall a species of one variant's predictions (species, correct 0/1; uncounted rows are left out).

    Columns species (the paper's order first), n, n_correct, recall, lo, hi (percent, 95 % Wilson interval).
    """
    rows = []
    for name, correct in counted(frame).groupby("species")["correct"]:
        n, right = len(correct), int(correct.sum())
        rows.append((name, n, right, 100 * right / n, *wilson(right, n)))
    table = pd.DataFrame(rows, columns=["species", "n", "n_correct", "recall", "lo", "hi"])
    return table.set_index("species").loc[species.ordered(table["species"])].reset_index()


def wilson(n_correct: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share, in percent; (0, 100) when there is no photo."""
    if not 0 <= n_correct <= n:
        raise ValueError(f"{n_correct} of {n} photos cannot be right.")
    if n == 0:
        return 0.0, 100.0
    return tuple(100 * float(b) for b in proportion_confint(n_correct, n, method="wilson"))


def mcnemar(correct_a, correct_b) -> dict:
    """Exact McNemar test whether two variants differ on the same photos (joined by photo_id, same order).

    Returns both, only_a, only_b, neither (photos), n, difference (b - a, percentage points), p_value.
    """
    a = np.asarray(correct_a, bool)
    b = np.asarray(correct_b, bool)
    if a.shape != b.shape or not a.size:
        raise ValueError(f"A paired test needs the same photos twice, got {a.size} and {b.size}.")
    both = int((a & b).sum())
    only_a = int((a & ~b).sum())
    only_b = int((~a & b).sum())
    neither = int((~a & ~b).sum())
    test = _mcnemar([[both, only_a], [only_b, neither]], exact=True)
    return {
        "both": both,
        "only_a": only_a,
        "only_b": only_b,
        "neither": neither,
        "n": a.size,
        "difference": 100 * (only_b - only_a) / a.size,
        "p_value": float(test.pvalue),
    }


def against_original(predictions: pd.DataFrame) -> pd.DataFrame:
    """Every variant against the originals of the same photos: micro_f1 (percent), difference (points), photos
    that only one of the two got right, exact McNemar p_value (not corrected for their number)."""
    wide = counted(predictions).pivot(index="photo_id", columns="variant", values="correct")
    rows = []
    for variant in wide.columns.drop("original"):
        test = mcnemar(wide["original"], wide[variant])
        row = {
            "variant": variant,
            "micro_f1": 100 * wide[variant].mean(),
            "difference": test["difference"],
            "only_original": test["only_a"],
            "only_variant": test["only_b"],
            "p_value": test["p_value"],
        }
        rows.append(row)
    return pd.DataFrame(rows).round({"micro_f1": 1, "difference": 1, "p_value": 4})


def two_way_interval(differences: np.ndarray) -> dict:
    """Mean difference over draws that share their photos, and a 95 % interval for the luck of both.

    differences: float (R, N), a row a draw and a column a photo: +1 where only the variant was right, -1 where
    only the original was, else 0; NaN where the draw trained on the photo. Returns n (draws), mean, lo and hi
    (percentage points; no interval below two draws or photos). The same photos judge every draw, so draws alone
    would promise too much: the variance is that of the mean over draws plus that of the mean over photos, which
    errs to the wide side (two-way clusters, Cameron, Gelbach and Miller 2011, without the term they subtract),
    under Student's t with R - 1 degrees of freedom.
    """
    judged = 100 * differences[:, ~np.isnan(differences).all(axis=0)]
    draws = np.nanmean(judged, axis=1)  # (R,) mean difference of each draw
    photos = np.nanmean(judged, axis=0)  # (N,) of each photo
    mean = float(draws.mean())
    half = float("nan")
    if len(draws) > 1 and len(photos) > 1:
        variance = draws.var(ddof=1) / len(draws) + photos.var(ddof=1) / len(photos)
        half = float(stats.t.ppf(0.975, len(draws) - 1) * np.sqrt(variance))
    return {"n": len(draws), "mean": mean, "lo": mean - half, "hi": mean + half}


def confusion(frame: pd.DataFrame, order: list[str] | None = None) -> pd.DataFrame:
    """Counts of photos, rows = true species, columns = predicted; names missing from `order` follow it."""
    frame = counted(frame)
    found = species.ordered({*frame["species"], *frame["predicted"]})
    names = list(dict.fromkeys([*(order or []), *found]))
    table = pd.crosstab(frame["species"], frame["predicted"])
    return table.reindex(index=names, columns=names, fill_value=0).astype(int)


def mask_scores(mask: np.ndarray | None, truth: np.ndarray, fins: np.ndarray | None = None) -> dict:
    """iou, precision, recall, fin_recall (0..1) of a mask against the truth; all bool (H, W) of one size.

    mask: None where no fish was found (scores 0). truth: the whole fish with its fins. fins: the fins alone.
    NaN where there is nothing to score against: no fins given or drawn, or an all-black truth.
    """
    if mask is None:
        mask = np.zeros(truth.shape, bool)
    if mask.shape != truth.shape or (fins is not None and fins.shape != truth.shape):
        raise ValueError(f"Mask {mask.shape} and truth {truth.shape} must have one size.")

    def share(part, whole):
        return float(part.sum() / whole.sum()) if whole.any() else float("nan")

    hit = mask & truth
    precision = share(hit, mask) if mask.any() else 0.0
    scores = {"iou": share(hit, mask | truth), "precision": precision, "recall": share(hit, truth)}
    if not truth.any():
        scores = dict.fromkeys(scores, float("nan"))
    return scores | {"fin_recall": float("nan") if fins is None else share(mask & fins, fins)}


def failure_kind(scores: dict, good_iou: float = 0.8, lost_fin: float = 0.5) -> str:
    """Names a cut-out after its mask_scores; the thresholds are ours (the paper judged by eye).

    not scored: no truth; missed: no pixel of the fish; good: IoU at least good_iou; fin lost: good, but less
    than lost_fin of the fins kept; wrong region: precision and recall both below 0.5; else the lower of the
    two names it: part only (recall) or extra region (precision).
    """
    if np.isnan(scores["iou"]):
        return "not scored"
    if scores["recall"] == 0:
        return "missed"
    if scores["iou"] >= good_iou:
        return "fin lost" if scores["fin_recall"] < lost_fin else "good"
    if max(scores["precision"], scores["recall"]) < 0.5:
        return "wrong region"
    return "part only" if scores["recall"] < scores["precision"] else "extra region"
