"""The sweep of figure 3: 2-stage TL for every pre-training, variant, K and draw (paper 4.3.3)."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import NotRun
from fishlib.files import writing
from fishlib.files.frames import write_frame
from fishlib.files.progress import Bar
from fishlib.naming import checkpoints, features
from fishlib.photos.composite import BASIC, ORIGINAL, Variant
from fishlib.photos.draws import draw_shots
from fishlib.scores import evaluation
from fishlib.study import Study, keep_notes, stage

COLUMNS = ["pretraining", "variant", "k", "trial", "n_test", "n_correct", "micro_f1"]
PAIRED = ["pretraining", "variant", "k", "n", "mean", "lo", "hi"]


class Result(NamedTuple):
    """right: float (R, N), a row a draw and a column a photo: 1 where the draw's network named it, 0 where not, NaN
    where it learned from it."""

    pretraining: str
    variant: str
    k: int
    right: np.ndarray


class Learner(NamedTuple):
    """train: (input of all photos, drawn rows int (R, n), R seeds) -> answers int (R, N); made_of: what these hang on,
    for a key; together: are all draws of a K trained at once?"""

    train: Callable[[np.ndarray, np.ndarray, list[int]], np.ndarray]
    made_of: dict
    together: bool


def run(study: Study, manifest: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """(one row a draw in percent; each variant minus the original in points; notes).

    Also writes tables/figure3.csv, tables/figure3_paired.csv (evaluation.two_way_interval a pre-training,
    variant and K) and draws.json (the drawn ids). The profile's transfer.tune says what learns: "head", the
    paper's new last layer on features computed once, or "all", the whole network (see transfer.tune_all).
    A species with too few photos for the largest K is left out of the whole figure, and named: every K is
    then measured on the same species. So is a photo that changed since the scan.
    """
    results, _, notes = answers(study, manifest, found)
    frame, paired = scores(results), differences(results)
    write_frame(frame, study.out / "tables" / "figure3.csv")
    write_frame(paired, study.out / "tables" / "figure3_paired.csv")
    keep_notes(study, "sweep", notes)
    return frame, paired, notes


def answers(study: Study, manifest: pd.DataFrame, found: pd.DataFrame) -> tuple[list[Result], pd.DataFrame, list[str]]:
    """(what every draw named right; the rows of the manifest that are its columns; notes), see `run`."""
    photos, lost = features.usable(manifest, found)
    (results, asked, notes), changed = features.without_changed(
        study, photos, lambda there: _learn_all(study, there, found)
    )
    return results, asked, notes + features.told(lost | changed)


def looked_at(
    study: Study, manifest: pd.DataFrame, found: pd.DataFrame
) -> list[tuple[pd.DataFrame, list[Variant], str]]:
    """What `run` asks features for: (rows of the manifest, variants, source of the network) of each pre-training.

    Nothing where the whole network is tuned, which no features serve, or where the photos allow no K.
    """
    if study.profile.transfer.tune == "all":
        return []
    counted, _ = features.usable(manifest, found)
    photos, shots, _ = usable(counted, study.profile.transfer.shots)
    if not shots:
        return []
    variants = [BASIC[name] for name in study.profile.transfer.variants]
    return [(photos, variants, source) for source in checkpoints.pretrainings(study).values()]


def usable(photos: pd.DataFrame, shots: list[int]) -> tuple[pd.DataFrame, list[int], list[str]]:
    """(photos, K values, notes): the photos and K that leave every species a photo to evaluate.

    A K that fewer than half of the species could serve is dropped; then species too small for the largest
    remaining K are.
    """
    counts = photos.species.value_counts()
    enough = max(2, len(counts) / 2)
    kept = [k for k in sorted(shots) if (counts > k).sum() >= enough]
    notes = []
    dropped = sorted(set(shots) - set(kept))
    if dropped:
        notes.append(f"K = {', '.join(map(str, dropped))} left out: fewer than half of the species have more photos.")
    if not kept:
        return photos.iloc[:0], [], [*notes, "No K can be drawn from so few photos."]
    small = counts[counts <= max(kept)]
    if len(small):
        named = ", ".join(f"{name} ({n})" for name, n in sorted(small.items()))
        notes.append(f"Species left out, with too few photos for K = {max(kept)}: {named}.")
    return photos[~photos.species.isin(small.index)].reset_index(drop=True), kept, notes


def _learn_all(study: Study, photos: pd.DataFrame, found: pd.DataFrame) -> tuple[list[Result], pd.DataFrame, list[str]]:
    """Every pre-training, variant and K that the photos allow: (results, photos used, notes). Writes draws.json."""
    settings = study.profile.transfer
    photos, shots, notes = usable(photos, settings.shots)
    draws = draws_of(study, photos, shots)
    _write_draws(study, draws)
    if not shots:
        return [], photos, notes

    results = []
    for label, source in checkpoints.pretrainings(study).items():
        try:
            results += list(_learn(study, photos, found, draws, label, source))
        except NotRun as error:
            notes.append(f"Pre-training {label} did not run: {error}")
            continue
        notes += checkpoints.trained_on(source, photos)
    return results, photos, notes


def draws_of(study: Study, photos: pd.DataFrame, shots: list[int]) -> dict[tuple[int, int], list[str]]:
    """(k, trial) -> the drawn photo_ids."""
    settings = study.profile
    return {(k, t): draw_shots(photos, k, t, settings.seed) for k in shots for t in range(settings.transfer.trials)}


def scores(results: list[Result]) -> pd.DataFrame:
    """COLUMNS: one row a draw."""
    rows = []
    for label, variant, k, right in results:
        for trial, named in enumerate(right):
            n_test = np.isfinite(named).sum()
            n_correct = int(np.nansum(named))
            rows.append((label, variant, k, trial, n_test, n_correct))
    frame = pd.DataFrame(rows, columns=COLUMNS[:-1])
    frame["micro_f1"] = 100 * frame.n_correct / frame.n_test
    return frame


def differences(results: list[Result]) -> pd.DataFrame:
    """PAIRED: every variant against the original of the same draws."""
    original = {(r.pretraining, r.k): r.right for r in results if r.variant == ORIGINAL.name}
    rows = []
    for label, variant, k, right in results:
        if variant == ORIGINAL.name or (label, k) not in original:
            continue
        interval = evaluation.two_way_interval(right - original[label, k])
        rows.append({"pretraining": label, "variant": variant, "k": k, **interval})
    return pd.DataFrame(rows, columns=PAIRED)


def _learn(study: Study, photos: pd.DataFrame, found: pd.DataFrame, draws: dict, label: str, source: str):
    """Yield the Result of every variant and K for one pre-training. draws: (k, trial) -> photo_ids.

    Answers are cached: of all draws of a K together (heads), or draw by draw (the whole network).
    """
    variants = [BASIC[name] for name in study.profile.transfer.variants]
    species = sorted(photos.species.unique())
    labels = np.array([species.index(name) for name in photos.species])

    if study.profile.transfer.tune == "all":
        learner = _whole_network(study, labels, len(species), source)
        # made when they are asked for: one variant's pictures in memory at a time
        inputs = ((v.name, learner, features.pictures(study, photos, found, v)) for v in variants)
    else:
        learner = heads(study, labels, len(species))
        values = features.compute(study, photos, found, variants, source)
        inputs = ((name, learner, x) for name, x in values.items())
    yield from learn(study, photos, labels, draws, label, inputs, len(variants))


def learn(
    study: Study, photos: pd.DataFrame, labels: np.ndarray, draws: dict, label: str, inputs: Iterable[tuple], n: int
) -> Iterator[Result]:
    """Yield the Result of every input and K. inputs: n times (name, Learner, what it learns from, a row a photo).

    photos, labels: of the rows; draws: (k, trial) -> photo_ids; label: of the pre-training.
    """
    place = {photo_id: i for i, photo_id in enumerate(photos.photo_id)}
    drawn = {name: [place[photo_id] for photo_id in ids] for name, ids in draws.items()}  # rows of photos
    stage_name = f"heads-{label}"
    total = n * len(draws)
    with stage(study, stage_name) as record, Bar(total=total, desc=stage_name, unit="draw", leave=False) as bar:
        for variant, learner, x in inputs:
            content = cache.array_hash(x)
            for k in sorted({k for k, _ in draws}):
                of_k = [name for name in draws if name[0] == k]
                groups = [of_k] if learner.together else [[name] for name in of_k]
                answers = []
                for names in groups:
                    rows = np.array([drawn[name] for name in names])
                    found_answers, computed = _answers(study, learner, labels, x, content, names, rows)
                    answers.append(found_answers)
                    record["computed" if computed else "reused"] += len(names)
                    bar.update(len(names))
                right = _right(np.concatenate(answers), labels, [drawn[name] for name in of_k])
                yield Result(label, variant, k, right)


def _answers(
    study: Study, learner: Learner, labels: np.ndarray, x: np.ndarray, content: str, names: list, rows: np.ndarray
) -> tuple[np.ndarray, bool]:
    """(int (R, N): what each draw's network names every photo, was it computed or found in the cache).

    x: the input of all photos, content: its hash; names: R times (k, trial); rows: int (R, n) what each draws.
    """
    seed = study.profile.seed
    made_of = {**learner.made_of, "seed": seed, "labels": labels.tolist()}
    key = cache.key(x=content, index=rows.tolist(), names=names, **made_of)
    entry = cache.entry(study.cache, "heads", key)

    kept = (cache.load(entry) or {}).get("answers")
    if kept is not None and kept.shape == (len(names), len(labels)) and kept.dtype == np.int64:
        return kept, False

    seeds = [int(np.random.SeedSequence([seed, *name]).generate_state(1)[0]) for name in names]
    answers = learner.train(x, rows, seeds)
    cache.save(entry, answers=answers)
    return answers, True


def _right(answers: np.ndarray, labels: np.ndarray, drawn: list[list[int]]) -> np.ndarray:
    """Float (R, N): 1 where a draw's network named the photo, 0 where not, NaN where it drew it.

    answers: int (R, N); drawn: the rows of each draw.
    """
    right = (answers == labels).astype(float)
    draws = np.arange(len(drawn))[:, None]
    right[draws, drawn] = np.nan
    return right


def heads(study: Study, labels: np.ndarray, n_classes: int) -> Learner:
    """New last layers on features (N, D), all draws at once."""
    settings = study.profile.transfer

    def train(x: np.ndarray, rows: np.ndarray, seeds: list[int]) -> np.ndarray:
        from fishlib.naming import transfer  # imports torch, which a cached run never needs

        weight, bias = transfer.train_heads(
            x, labels, rows, n_classes, settings.epochs, settings.learning_rate, seeds, study.device
        )
        return transfer.predict_heads(x, weight, bias)

    code = cache.code_version("fishlib.naming.transfer")
    made_of = {"epochs": settings.epochs, "lr": settings.learning_rate, "code": code}
    return Learner(train, made_of, together=True)


def _whole_network(study: Study, labels: np.ndarray, n_classes: int, source: str) -> Learner:
    """All layers on pictures, uint8 (N, H, W, 3), one draw at a time."""
    profile, settings = study.profile, study.profile.transfer.whole
    options = {"epochs": settings.epochs, "lr": settings.learning_rate, "batch": settings.batch}

    @functools.cache
    def network():
        from fishlib.naming import classifier

        return classifier.load(source, profile.backbone, study.device, profile.seed, side=profile.composite.size)

    def train(x: np.ndarray, rows: np.ndarray, seeds: list[int]) -> np.ndarray:
        from fishlib.naming import transfer

        [row], [seed] = rows, seeds
        return transfer.tune_all(network(), x, labels, row, n_classes, seed, **options)[None]

    code = cache.code_version("fishlib.naming.transfer")
    identity = checkpoints.identity(source, profile.backbone, profile.seed)
    return Learner(train, {**options, "code": code, "network": identity}, together=False)


def _write_draws(study: Study, draws: dict) -> None:
    kept = [{"k": k, "trial": trial, "photo_ids": ids} for (k, trial), ids in draws.items()]
    writing.write_text(study.out / "draws.json", json.dumps(kept, ensure_ascii=False, indent=0))
