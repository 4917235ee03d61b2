"""Two heads on K photos a species: the paper's, learnt by Adam, and SimpleShot's nearest class means; K as far as the
counts allow, and how well each knows how sure it is.

Up to figure 3's largest K the draws are figure 3's. Beyond it a species with fewer photos gives all but one of them.
The temperature of a draw is fitted on what it learns from, each photo left out in turn, from K = 3 on and for one
input; otherwise it is fixed, and said so.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.beyond import calibration, shots
from fishlib.files.frames import write_frame
from fishlib.naming import checkpoints, features, heads, sweep
from fishlib.photos.composite import BASIC
from fishlib.photos.draws import draw_up_to
from fishlib.scores.confidence import shares
from fishlib.study import Study, stage

FILE = "beyond/heads.csv"  # in the run folder
COLUMNS = ["head", "variant", "k", "draws", "n_test", "micro_f1", "sd", "temperature", "temperature_from"]
COLUMNS += ["ece_fixed", "ece"]
PER_DRAW = ("micro_f1", "temperature", "ece_fixed", "ece")  # points and percent
MORE = (7, 10, 15, 20, 30, 50, 100)  # ours: K beyond figure 3's
FEWEST = 3  # photos a species from which on a temperature is fitted
FIXED, LEFT_OUT = "fixed", "left out"
# ours for Adam; for nearest means the scale of 10 from which cosines are learnt by Chen et al. (2021, "Meta-Baseline")
TEMPERATURES = {heads.ADAM: 1.0, heads.SIMPLE_SHOT: 0.1}


class Shots(NamedTuple):
    """frame: COLUMNS. pretraining: whose features. variant: the input whose calibration is shown. draws: how many."""

    frame: pd.DataFrame
    pretraining: str
    variant: str
    draws: int


def run(study: Study, manifest: pd.DataFrame, found: pd.DataFrame, variant: str) -> Shots:
    """Both heads on features of the pre-training that is nearest to the run's namer; also kept in FILE.

    variant: whose calibration is shown, an input of figure 3, else its first. No rows where no K can be drawn.
    """
    photos, _ = features.usable(manifest, found)
    sources = checkpoints.pretrainings(study)
    label = shots.nearest_pretraining(study, list(sources))
    inputs = study.profile.transfer.variants
    shown = variant if variant in inputs else inputs[0]
    frame, _ = features.without_changed(study, photos, lambda there: _learn(study, there, found, sources[label], shown))
    write_frame(frame, study.out / FILE)
    return Shots(frame, label, shown, study.profile.transfer.trials)


def more_shots(counts: pd.Series, given: list[int]) -> list[int]:
    """Figure 3's K (given), and those of MORE that at least half of the species can serve, a photo left to judge."""
    if not given:
        return []
    enough = max(2, len(counts) / 2)
    return [*given, *(k for k in MORE if k > max(given) and (counts > k).sum() >= enough)]


def _learn(study: Study, photos: pd.DataFrame, found: pd.DataFrame, source: str, shown: str) -> pd.DataFrame:
    settings, seed = study.profile.transfer, study.profile.seed
    photos, given, _ = sweep.usable(photos, settings.shots)
    if not given:
        return pd.DataFrame(columns=COLUMNS)
    species = sorted(photos["species"].unique())
    labels = np.array([species.index(name) for name in photos["species"]])
    place = {photo_id: row for row, photo_id in enumerate(photos["photo_id"])}
    values = features.compute(study, photos, found, [BASIC[name] for name in settings.variants], source)

    rows = []
    for k in more_shots(photos["species"].value_counts(), given):
        ids = [draw_up_to(photos, k, trial, seed) for trial in range(settings.trials)]
        draws = np.array([[place[photo_id] for photo_id in drawn] for drawn in ids])
        n_test = len(labels) - draws.shape[1]
        for variant, x in values.items():
            for name in (heads.ADAM, heads.SIMPLE_SHOT):
                fitted = variant == shown and k >= FEWEST
                judged = _judged(study, name, x, labels, draws, k, fitted)
                rows.append({"head": name, "variant": variant, "k": k, "n_test": n_test, **_means(judged, fitted)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _judged(
    study: Study, name: str, x: np.ndarray, labels: np.ndarray, draws: np.ndarray, k: int, fitted: bool
) -> dict[str, np.ndarray]:
    """PER_DRAW -> (R,): every draw judged on the photos that it did not learn from; cached.

    x: features (N, D); labels: int (N,); draws: int (R, n). fitted: whether a temperature is, else it is the fixed one.
    """
    settings = study.profile.transfer
    # the first weights of a draw are figure 3's
    seeds = [int(np.random.SeedSequence([study.profile.seed, k, t]).generate_state(1)[0]) for t in range(len(draws))]
    key = cache.key(
        head=name,
        x=cache.array_hash(x),
        labels=labels.tolist(),
        draws=draws.tolist(),
        seeds=seeds,
        epochs=settings.epochs,
        lr=settings.learning_rate,
        fitted=fitted,
        code=cache.code_version("fishlib.naming.heads", "fishlib.naming.transfer", __name__),
    )
    entry = cache.entry(study.cache, "kshots", key)
    with stage(study, "kshots") as record:
        kept = cache.load(entry)
        if kept is not None and kept.keys() == set(PER_DRAW):
            record["reused"] += len(draws)
            return kept
        head = heads.simple_shot if name == heads.SIMPLE_SHOT else heads.adam(settings, seeds, study.device)
        kept = _judge(head, TEMPERATURES[name], x, labels, draws, fitted)
        cache.save(entry, **kept)
        record["computed"] += len(draws)
    return kept


def _judge(
    head: heads.Head, fixed: float, x: np.ndarray, labels: np.ndarray, draws: np.ndarray, fitted: bool
) -> dict[str, np.ndarray]:
    """PER_DRAW -> (R,). A temperature is fitted on what the draw learnt from, each photo left out in turn."""
    n_classes = int(labels.max()) + 1
    scores = head(x, labels, draws, n_classes)  # (R, N, C)
    apart = heads.left_out(head, x, labels, draws, n_classes) if fitted else None  # (R, n, C)

    rows = []
    for r, drawn in enumerate(draws):
        heat = fixed
        if fitted:
            answered = ~np.isnan(apart[r]).any(axis=1)
            heat = calibration.temperature(apart[r, answered], labels[drawn[answered]], otherwise=fixed)
        judged = np.setdiff1d(np.arange(len(labels)), drawn)
        right = scores[r, judged].argmax(axis=1) == labels[judged]
        ece_fixed, ece = (
            calibration.expected_error(shares(scores[r, judged], of).max(axis=1), right) for of in (fixed, heat)
        )
        rows.append((100 * right.mean(), heat, ece_fixed, ece))
    return dict(zip(PER_DRAW, np.array(rows).T, strict=True))


def _means(judged: dict[str, np.ndarray], fitted: bool) -> dict:
    """The rest of COLUMNS: means over draws."""
    percents = judged["micro_f1"]
    return {
        "draws": len(percents),
        "sd": np.std(percents, ddof=1) if len(percents) > 1 else np.nan,
        "temperature_from": LEFT_OUT if fitted else FIXED,
        **{name: values.mean() for name, values in judged.items()},
    }
