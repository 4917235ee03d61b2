"""The sweep of figure 3: 2-stage TL for every pre-training, variant, K and draw (paper 4.3.3)."""

import functools
import json

import numpy as np
import pandas as pd
from tqdm import tqdm

from fishlib import cache
from fishlib.errors import NotRun
from fishlib.files import writing
from fishlib.files.frames import write_frame
from fishlib.naming import checkpoints, features
from fishlib.photos.composite import BASIC, ORIGINAL
from fishlib.photos.draws import draw_shots
from fishlib.scores import evaluation
from fishlib.study import Study, keep_notes, stage

COLUMNS = ["pretraining", "variant", "k", "trial", "n_test", "n_correct", "micro_f1"]
PAIRED = ["pretraining", "variant", "k", "n", "mean", "lo", "hi"]


def run(study: Study, manifest: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """(one row a draw in percent; each variant minus the original in points; notes).

    Also writes tables/figure3.csv, tables/figure3_paired.csv (evaluation.two_way_interval a pre-training,
    variant and K) and draws.json (the drawn ids). The profile's transfer.tune says what learns: "head", the
    paper's new last layer on features computed once, or "all", the whole network (see transfer.tune_all).
    A species with too few photos for the largest K is left out of the whole figure, and named: every K is
    then measured on the same species.
    """
    photos = manifest[manifest.status == "ok"].reset_index(drop=True)
    photos, shots, notes = usable(photos, study.profile.transfer.shots)
    seed, trials = study.profile.seed, range(study.profile.transfer.trials)
    draws = {(k, t): draw_shots(photos, k, t, seed) for k in shots for t in trials}
    _write_draws(study, draws)
    variants = [BASIC[name] for name in study.profile.transfer.variants]
    results = []
    for label, source in checkpoints.pretrainings(study).items() if shots else ():
        try:
            results += [(label, *learned) for learned in _learn(study, photos, found, variants, draws, source, label)]
        except NotRun as error:
            notes.append(f"Pre-training {label} did not run: {error}")
            continue
        notes += checkpoints.trained_on(source, photos)
    rows = [(*at, t, np.isfinite(r).sum(), int(np.nansum(r))) for *at, right in results for t, r in enumerate(right)]
    frame, differences = pd.DataFrame(rows, columns=COLUMNS[:-1]), _differences(results)
    frame["micro_f1"] = 100 * frame.n_correct / frame.n_test
    write_frame(frame, study.out / "tables" / "figure3.csv")
    write_frame(differences, study.out / "tables" / "figure3_paired.csv")
    keep_notes(study, "sweep", notes)
    return frame, differences, notes


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


def _differences(results: list[tuple]) -> pd.DataFrame:
    """PAIRED of (pretraining, variant, k, right (R, N)): every variant against the original of the same draws."""
    original = {(label, k): right for label, variant, k, right in results if variant == ORIGINAL.name}
    rows = [
        {"pretraining": label, "variant": variant, "k": k} | evaluation.two_way_interval(right - original[label, k])
        for label, variant, k, right in results
        if variant != ORIGINAL.name and (label, k) in original
    ]
    return pd.DataFrame(rows, columns=PAIRED)


def _learn(study: Study, photos, found, variants, draws: dict, source: str, label: str):
    """Yield (variant, k, right): float (R, N), 1 where a draw's network named the photo, NaN where it drew it.

    Answers are cached: of all draws of a K together (heads), or draw by draw (the whole network).
    """
    whole, species = study.profile.transfer.tune == "all", sorted(photos.species.unique())
    labels = np.array([species.index(s) for s in photos.species])
    place = {photo_id: i for i, photo_id in enumerate(photos.photo_id)}
    rows = {name: [place[photo_id] for photo_id in ids] for name, ids in draws.items()}
    inputs = ((v.name, features.pictures(study, photos, found, v)) for v in variants)  # made when they are asked for
    inputs = inputs if whole else features.compute(study, photos, found, variants, source).items()
    train, made_of = (_whole if whole else _heads)(study, labels, len(species), source)
    made_of |= {"seed": study.profile.seed, "labels": labels.tolist()}

    def answers(x: np.ndarray, content: str, names: list) -> np.ndarray:
        drawn = np.array([rows[name] for name in names])
        key = cache.key(x=content, index=drawn.tolist(), names=names, **made_of)
        path = cache.entry(study.cache, "heads", key)
        kept = cache.load(path)
        record["computed" if kept is None else "reused"] += len(names)
        if kept is None:
            seeds = [int(np.random.SeedSequence([study.profile.seed, *n]).generate_state(1)[0]) for n in names]
            kept = {"answers": train(x, drawn, seeds)}
            cache.save(path, **kept)
        bar.update(len(names))
        return kept["answers"]

    n = len(variants) * len(draws)
    with stage(study, f"heads-{label}") as record, tqdm(total=n, desc=f"heads-{label}", leave=False) as bar:
        for variant, x in inputs:
            content = cache.array_hash(x)
            for k in sorted({k for k, _ in draws}):
                names = [name for name in draws if name[0] == k]
                groups = [[name] for name in names] if whole else [names]
                named = np.concatenate([answers(x, content, group) for group in groups])  # (R, N)
                right = (named == labels).astype(float)
                right[np.arange(len(names))[:, None], [rows[name] for name in names]] = np.nan
                yield variant, k, right


def _heads(study: Study, labels: np.ndarray, n_classes: int, source: str):
    """(function (features (N, D), drawn rows (R, n), seeds) -> answers (R, N), what they are made of)."""
    settings = study.profile.transfer

    def train(x, drawn, seeds):
        from fishlib.naming import transfer  # imports torch, which a cached run never needs

        options = settings.epochs, settings.learning_rate, seeds, study.device
        return transfer.predict_heads(x, *transfer.train_heads(x, labels, drawn, n_classes, *options))

    code = cache.code_version("fishlib.naming.transfer")
    return train, {"epochs": settings.epochs, "lr": settings.learning_rate, "code": code}


def _whole(study: Study, labels: np.ndarray, n_classes: int, source: str):
    """The same for the whole network: x is the pictures, uint8 (N, H, W, 3), and one draw comes at a time."""
    settings, profile = study.profile.transfer.whole, study.profile
    options = {"epochs": settings.epochs, "lr": settings.learning_rate, "batch": settings.batch}
    network = functools.cache(lambda load: load(source, profile.backbone, study.device, profile.seed))

    def train(x, drawn, seeds):
        from fishlib.naming import classifier, transfer

        base, [seed] = network(classifier.load), seeds
        return transfer.tune_all(base, x, labels, drawn[0], n_classes, seed, **options)[None]

    code = cache.code_version("fishlib.naming.transfer")
    return train, options | {"code": code, "network": checkpoints.identity(source, profile.backbone, profile.seed)}


def _write_draws(study: Study, draws: dict) -> None:
    kept = [{"k": k, "trial": t, "photo_ids": ids} for (k, t), ids in draws.items()]
    writing.write_text(study.out / "draws.json", json.dumps(kept, ensure_ascii=False, indent=0))
