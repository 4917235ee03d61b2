"""Figure 3 once more, for what its averages do not tell: without the companions of drawn photos, and input by input.

A photo of the same group as a drawn one is known to the head, which may know its deck or bench; it leaves that draw's
evaluation. What changes between both ways of counting is leakage.
"""

import numpy as np
import pandas as pd

from fishlib.files.frames import write_frame
from fishlib.naming import checkpoints, sweep
from fishlib.scores import contrasts
from fishlib.study import Study

DRAWS, PAIRED = "beyond/figure3_apart.csv", "beyond/figure3_apart_paired.csv"  # in the run folder, without companions
CHOICES = "beyond/choices.csv"
CHOICE_COLUMNS = ["pretraining", "k", "n", "variant", "percent", "best", "difference", "lo", "hi", "p_holm"]


def without_companions(right: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """right with NaN also where a photo shares its group with one that the draw learnt from.

    right: float (R, N), NaN where a draw learnt from the photo; groups: (N,) names.
    """
    answer = right.copy()
    for row, draw in zip(answer, right, strict=True):
        learnt = np.isnan(draw)
        row[np.isin(groups, groups[learnt])] = np.nan
    return answer


def leave_out(results: list[sweep.Result], photos: pd.DataFrame, groups: pd.Series) -> list[sweep.Result]:
    """The results without companions; a draw that leaves no photo to judge goes, and with its last a K.

    photos: of the results' columns.
    """
    names = groups.reindex(photos["photo_id"]).to_numpy()
    kept = []
    for result in results:
        right = without_companions(result.right, names)
        right = right[~np.isnan(right).all(axis=1)]
        if len(right):
            kept.append(result._replace(right=right))
    return kept


def keep(study: Study, results: list[sweep.Result], apart: bool) -> None:
    """Write CHOICES; with companions kept apart DRAWS and PAIRED as well, as tables/figure3*.csv, else these go."""
    write_frame(choices(results), study.out / CHOICES)
    if apart:
        write_frame(sweep.scores(results), study.out / DRAWS)
        write_frame(sweep.differences(results), study.out / PAIRED)
        return
    for name in (DRAWS, PAIRED):
        (study.out / name).unlink(missing_ok=True)


def choices(results: list[sweep.Result]) -> pd.DataFrame:
    """CHOICE_COLUMNS: of every pre-training and K, which inputs can be told from the best (contrasts.against_best)."""
    frames = []
    for pretraining, shots in dict.fromkeys((result.pretraining, result.k) for result in results):
        right = {r.variant: r.right for r in results if (r.pretraining, r.k) == (pretraining, shots)}
        if len(right) < 2:
            continue
        judged = np.isfinite(next(iter(right.values())))  # (R, N)
        n = int(judged.sum(axis=1).max())
        frames.append(contrasts.against_best(right).assign(pretraining=pretraining, k=shots, n=n))
    if not frames:
        return pd.DataFrame(columns=CHOICE_COLUMNS)
    return pd.concat(frames, ignore_index=True)[CHOICE_COLUMNS]


def nearest_pretraining(study: Study, labels: list[str]) -> str | None:
    """Of these labels of figure 3 the one nearest to the study's namer: the classifier's own weights, else ImageNet's,
    else the last; None without any."""
    if not labels:
        return None
    sources = checkpoints.pretrainings(study)
    own = checkpoints.ZOO if study.classifier in checkpoints.ZOO else (study.classifier,)
    wanted = [label for label in labels if study.classifier and sources.get(label) in own]
    wanted += [label for label in labels if label == "imagenet"]
    return [*wanted, labels[-1]][0]
