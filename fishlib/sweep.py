"""The sweep of figure 3: K-shot heads for every pre-training, variant, K and draw (2-stage TL, paper 4.3.3)."""

import json

import numpy as np
import pandas as pd
from tqdm import tqdm

from fishlib import cache, checkpoints, dataset, features
from fishlib.composite import BASIC
from fishlib.errors import NotRun
from fishlib.study import Study, keep_notes, stage

COLUMNS = ["pretraining", "variant", "k", "trial", "n_test", "n_correct", "micro_f1"]


def run(study: Study, manifest: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One row a draw (percent), and notes. Also writes tables/figure3.csv and draws.json (the drawn ids).

    A species with too few photos for the largest K is left out of the whole figure, and named: every K is
    then measured on the same species.
    """
    photos = manifest[manifest.status == "ok"].reset_index(drop=True)
    photos, shots, notes = usable(photos, study.profile.transfer.shots)
    draws = {
        (k, t): dataset.draw_shots(photos, k, t, study.profile.seed)
        for k in shots
        for t in range(study.profile.transfer.trials)
    }
    _write_draws(study, draws)
    variants = [BASIC[name] for name in study.profile.transfer.variants]
    frames = []
    for label, source in study.pretrainings.items():
        if not shots:
            break
        try:
            values = features.compute(study, photos, found, variants, source)
        except NotRun as error:
            notes.append(f"Pre-training {label} did not run: {error}")
            continue
        notes += checkpoints.trained_on(source, photos)
        with stage(study, f"heads-{label}") as record:
            frames.append(_train(study, photos, draws, values, record).assign(pretraining=label))
    frame = pd.concat(frames)[COLUMNS] if frames else pd.DataFrame(columns=COLUMNS)
    dataset.write_frame(frame, study.out / "tables" / "figure3.csv")
    keep_notes(study, "sweep", notes)
    return frame, notes


def usable(photos: pd.DataFrame, shots: list[int]) -> tuple[pd.DataFrame, list[int], list[str]]:
    """(photos, K values, notes): the photos and K that leave every species a photo to evaluate.

    A K that fewer than half of the species could serve is dropped; then species too small for the largest
    remaining K are.
    """
    counts = photos.species.value_counts()
    kept = [k for k in sorted(shots) if (counts > k).sum() >= max(2, len(counts) / 2)]
    notes = []
    if dropped := sorted(set(shots) - set(kept)):
        notes.append(f"K = {', '.join(map(str, dropped))} left out: fewer than half of the species have more photos.")
    if not kept:
        return photos.iloc[:0], [], [*notes, "No K can be drawn from so few photos."]
    small = counts[counts <= max(kept)]
    if len(small):
        named = ", ".join(f"{name} ({n})" for name, n in sorted(small.items()))
        notes.append(f"Species left out, with too few photos for K = {max(kept)}: {named}.")
    return photos[~photos.species.isin(small.index)].reset_index(drop=True), kept, notes


def _train(study: Study, photos: pd.DataFrame, draws: dict, values: dict, record: dict) -> pd.DataFrame:
    """All draws of one pre-training; the counts of right answers are cached under features and draws."""
    species = sorted(photos.species.unique())
    labels = np.array([species.index(s) for s in photos.species])
    place = {photo_id: i for i, photo_id in enumerate(photos.photo_id)}
    rows = []
    for variant, x in tqdm(values.items(), desc="heads", leave=False):
        for k in sorted({k for k, _ in draws}):
            trials = [t for kk, t in draws if kk == k]
            index = np.array([[place[i] for i in draws[k, t]] for t in trials])
            correct = _correct(study, x, labels, index, len(species), [(k, t) for t in trials], record)
            n = len(photos) - index.shape[1]
            rows += [
                {
                    "variant": variant,
                    "k": k,
                    "trial": t,
                    "n_test": n,
                    "n_correct": int(c),
                    "micro_f1": 100 * c / n,
                }
                for t, c in zip(trials, correct, strict=True)
            ]
    return pd.DataFrame(rows)


def _correct(study, x, labels, index, n_classes, names, record) -> np.ndarray:
    """Right answers of each draw on the photos it did not draw, int (R,)."""
    settings = study.profile.transfer
    key = cache.key(
        x=cache.array_hash(x),
        labels=labels.tolist(),
        index=index.tolist(),
        epochs=settings.epochs,
        lr=settings.learning_rate,
        seed=study.profile.seed,
        names=names,
    )
    path = cache.entry(study.cache, "heads", key)
    if kept := cache.load(path):
        record["reused"] += len(index)
        return kept["correct"]
    from fishlib import transfer  # imports torch, which a cached run never needs

    seeds = [int(np.random.SeedSequence([study.profile.seed, *name]).generate_state(1)[0]) for name in names]
    weights, bias = transfer.train_heads(
        x, labels, index, n_classes, settings.epochs, settings.learning_rate, seeds, study.device
    )
    right = np.asarray(transfer.predict_heads(x, weights, bias)) == labels
    right[np.arange(len(index))[:, None], index] = False
    cache.save(path, correct=right.sum(axis=1))
    record["computed"] += len(index)
    return right.sum(axis=1)


def _write_draws(study: Study, draws: dict) -> None:
    kept = [{"k": k, "trial": t, "photo_ids": ids} for (k, t), ids in draws.items()]
    cache.write_text(study.out / "draws.json", json.dumps(kept, ensure_ascii=False, indent=0))
