"""The predictions stage: inference only, no training on the variants (paper 4.3.2, tables 2 to 4)."""

import json

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import UserError
from fishlib.files.frames import write_frame
from fishlib.naming import checkpoints, features
from fishlib.photos.composite import BASIC, ORIGINAL, variants_of_tables
from fishlib.photos.draws import split_half
from fishlib.photos.matching import masked_logits, match_classes
from fishlib.study import Study, keep_notes

COLUMNS = ["photo_id", "species", "variant", "status", "predicted", "confidence", "top5", "correct", "counted"]


def run(study: Study, manifest: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Predictions of every variant of tables 2 to 4, one row a photo and variant, and notes on how they came.

    With a classifier: 2-stage MA, its outputs of other species masked. Without one: a linear head trained on
    the original photos of half of each species is asked about the other half. `top5` is JSON, a list of
    [species, confidence] pairs. Also writes predictions.csv.
    """
    photos = manifest[manifest.status == "ok"].reset_index(drop=True)
    wanted = variants_of_tables(study.profile.composite.backgrounds, study.profile.composite.dilations)
    answer = _masked_outputs if study.classifier else _half_split
    evaluated, species, logits, notes = answer(study, photos, found, wanted)
    status = found.set_index("photo_id").status
    rows = []
    for variant in wanted:
        chances = _softmax(logits[variant.name])
        order = np.argsort(-chances, axis=1, kind="stable")[:, :5]
        for photo, p, best in zip(evaluated.itertuples(), chances, order, strict=True):
            top5, named = [[species[i], round(float(p[i]), 4)] for i in best], species[best[0]]
            right, listed = int(named == photo.species), json.dumps(top5, ensure_ascii=False)
            line = (photo.photo_id, photo.species, variant.name, status[photo.photo_id], named, top5[0][1])
            rows.append((*line, listed, right, 1))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    write_frame(frame, study.out / "predictions.csv")
    keep_notes(study, "inference", notes)
    return frame, notes


def judge(study: Study) -> str:
    """Who names the fish in tables 2 to 4, for captions."""
    described = checkpoints.describe(study.classifier or _features_source(study), study.profile.backbone)
    return described if study.classifier else f"linear head on {described}"


def _features_source(study: Study) -> str:
    """What the head of `_half_split` learns on."""
    return "imagenet" if "imagenet" in study.profile.pretrainings else study.profile.pretrainings[-1]


def _masked_outputs(study, photos, found, wanted):
    """2-stage MA: (evaluated photos, species, variant -> logits (N, T), notes)."""
    species, classes = sorted(photos.species.unique()), checkpoints.classes(study.classifier)
    indices = list(match_classes(species, classes).values())
    values = features.compute(study, photos, found, wanted, study.classifier)
    logits = _outputs(study, values, indices)
    notes = [f"Masked outputs: the best of {len(species)} among its {len(classes)} species, no further training."]
    return photos, species, logits, [*notes, *checkpoints.trained_on(study.classifier, photos)]


def _outputs(study, values: dict[str, np.ndarray], indices: list[int]) -> dict[str, np.ndarray]:
    """Variant -> masked outputs (N, T) of the classifier for its features; cached, so that a run again loads none."""
    of = {"network": checkpoints.identity(study.classifier, study.profile.backbone, study.profile.seed)}
    of |= {"x": {v: cache.array_hash(x) for v, x in values.items()}, "indices": indices}
    of["code"] = cache.code_version("fishlib.naming.classifier", "fishlib.photos.matching")
    path = cache.entry(study.cache, "outputs", cache.key(**of))
    kept = cache.load(path)
    if kept is None:
        from fishlib.naming import classifier

        model = classifier.load(study.classifier, study.profile.backbone, study.device, study.profile.seed)
        kept = {v: masked_logits(classifier.logits(model, x), indices) for v, x in values.items()}
        cache.save(path, **kept)
    return kept


def _half_split(study, photos, found, wanted):
    """A head trained on the originals of half of each species: same answer as `_masked_outputs`."""
    from fishlib.naming import transfer

    seed, settings = study.profile.seed, study.profile.transfer
    train_ids, test_ids, too_few = split_half(photos, seed)
    rest = photos[~photos.species.isin(too_few)]
    species = sorted(rest.species.unique())
    if len(species) < 2:
        raise UserError(f"{study.photos} has fewer than two species with two usable photos; nothing can be compared.")
    source = _features_source(study)
    basic = list(BASIC.values())
    every = features.compute(study, rest, found, basic, source)  # figure 3 asks for these as well
    is_test = rest.photo_id.isin(set(test_ids)).to_numpy()
    evaluated = rest[is_test]
    values = {name: x[is_test] for name, x in every.items()}
    others = [v for v in wanted if v not in basic]
    values |= features.compute(study, evaluated, found, others, source) if others else {}
    train = np.flatnonzero(rest.photo_id.isin(set(train_ids)).to_numpy())
    labels = np.array([species.index(s) for s in rest.species])
    weights, bias = transfer.train_heads(
        every[ORIGINAL.name], labels, train[None], len(species), settings.epochs, settings.learning_rate, [seed]
    )
    logits = {name: x @ np.asarray(weights[0]).T + np.asarray(bias[0]) for name, x in values.items()}
    notes = [
        f"No classifier knows these species: a linear head on {checkpoints.describe(source, study.profile.backbone)} "
        f"was trained on the original photos of half of each species ({len(train)} photos) and is evaluated on "
        f"the other half ({len(evaluated)} photos)."
    ]
    if too_few:
        notes.append(f"Left out, with a single usable photo: {', '.join(sorted(too_few))}.")
    return evaluated, species, logits, notes


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
