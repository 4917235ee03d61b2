"""The predictions stage: inference only, no training on the variants (paper 4.3.2, tables 2 to 4)."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import UserError
from fishlib.files.frames import write_frame
from fishlib.naming import checkpoints, features
from fishlib.photos.composite import BASIC, ORIGINAL, Variant, variants_of_tables
from fishlib.photos.draws import split_half
from fishlib.photos.matching import masked_logits, match_classes
from fishlib.scores import confidence as sureness
from fishlib.study import Study, keep_notes

COLUMNS = ["photo_id", "species", "variant", "status", "predicted", "confidence", "top5", "correct", "counted"]
COLUMNS += ["margin", "unknown_score"]  # see scores.confidence


def run(study: Study, manifest: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Predictions of every variant of tables 2 to 4, one row a photo and variant, and notes on how they came.

    With a classifier: 2-stage MA, its outputs of other species masked. Without one: a linear head trained on
    the original photos of half of each species is asked about the other half. `top5` is JSON, a list of
    [species, confidence] pairs. A photo that changed since the scan is listed as unreadable and not counted.
    Also writes predictions.csv.
    """
    photos, lost = features.usable(manifest, found)
    wanted = variants_of_tables(study.profile.composite.backgrounds, study.profile.composite.dilations)
    answers, changed = features.without_changed(study, photos, lambda there: ask(study, there, found, wanted))
    lost |= changed
    notes = answers.notes + features.told(lost)

    status = found.set_index("photo_id").status
    rows = []
    for variant in wanted:
        rows += _rows(variant, answers, status)
        rows += _unreadable(variant, manifest[manifest.photo_id.isin(lost)])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    write_frame(frame, study.out / "predictions.csv")
    keep_notes(study, "inference", notes)
    return frame, notes


def judge(study: Study) -> str:
    """Who names the fish in tables 2 to 4, for captions."""
    if study.classifier:
        return checkpoints.describe(study.classifier, study.profile.backbone)
    return f"linear head on {checkpoints.describe(features_source(study), study.profile.backbone)}"


def looked_at(
    study: Study, manifest: pd.DataFrame, found: pd.DataFrame
) -> list[tuple[pd.DataFrame, list[Variant], str]]:
    """What `run` asks features for: (rows of the manifest, variants, source of the network) of each time it does."""
    photos, _ = features.usable(manifest, found)
    wanted = variants_of_tables(study.profile.composite.backgrounds, study.profile.composite.dilations)
    if study.classifier:
        return [(photos, wanted, study.classifier)]
    halves = _halves(study, photos)
    return _of_halves(study, halves, wanted)


class Answers(NamedTuple):
    """photos: the rows of the manifest that were judged (N); species: names of the outputs (T); logits: variant ->
    (N, T); notes: how they came."""

    photos: pd.DataFrame
    species: list[str]
    logits: dict[str, np.ndarray]
    notes: list[str]


def ask(study: Study, photos: pd.DataFrame, found: pd.DataFrame, wanted: list[Variant]) -> Answers:
    """What the study's namer answers about these photos in each variant: a classifier's masked outputs, without one a
    head's that learnt from the originals of half of them. Raises features.Changed as features.compute does."""
    if study.classifier:
        return _masked_outputs(study, photos, found, wanted)
    return _half_split(study, photos, found, wanted)


def _rows(variant: Variant, answers: Answers, status: pd.Series) -> list[tuple]:
    """COLUMNS of every judged photo in one variant. status: of its mask, by photo_id."""
    logits = answers.logits[variant.name]  # (N, T)
    chances = _softmax(logits)
    margins = sureness.margin(chances)
    unlike = sureness.unknown_score(logits)
    best_five = np.argsort(-chances, axis=1, kind="stable")[:, :5]

    rows = []
    for at, photo in enumerate(answers.photos.itertuples()):
        chance, best = chances[at], best_five[at]
        top5 = [[answers.species[i], round(float(chance[i]), 4)] for i in best]
        predicted, confidence = top5[0]
        rows.append(
            (
                photo.photo_id,
                photo.species,
                variant.name,
                status[photo.photo_id],
                predicted,
                confidence,
                json.dumps(top5, ensure_ascii=False),
                int(predicted == photo.species),
                1,
                round(float(margins[at]), sureness.DIGITS),
                round(float(unlike[at]), sureness.DIGITS),
            )
        )
    return rows


def _unreadable(variant: Variant, photos: pd.DataFrame) -> list[tuple]:
    """COLUMNS of photos that were listed and could not be judged."""
    nothing = ("", np.nan, "[]", np.nan, 0, np.nan, np.nan)
    return [(photo.photo_id, photo.species, variant.name, "unreadable", *nothing) for photo in photos.itertuples()]


def features_source(study: Study) -> str:
    """What the head of `_half_split` learns on."""
    sources = list(checkpoints.of_profile(study.profile).values())
    return "imagenet" if "imagenet" in sources else sources[-1]


def _masked_outputs(study: Study, photos: pd.DataFrame, found: pd.DataFrame, wanted: list[Variant]) -> Answers:
    """2-stage MA: the classifier's own outputs, those of the photos' species alone."""
    species = sorted(photos.species.unique())
    classes = checkpoints.classes(study.classifier)
    indices = list(match_classes(species, classes).values())

    values = features.compute(study, photos, found, wanted, study.classifier)
    logits, left_out = outputs(study, values, indices)
    notes = [f"Masked outputs: the best of {len(species)} among its {len(classes)} species, no further training."]
    notes += left_out
    notes += checkpoints.trained_on(study.classifier, photos)
    return Answers(photos, species, logits, notes)


def outputs(study: Study, values: dict[str, np.ndarray], indices: list[int]) -> tuple[dict[str, np.ndarray], list[str]]:
    """(variant -> masked outputs (N, T) of the study's classifier for features (N, D), notes on its checkpoint).

    Cached, so that a run again loads no network.
    """
    key = cache.key(
        network=checkpoints.identity(study.classifier, study.profile.backbone, study.profile.seed),
        x={variant: cache.array_hash(x) for variant, x in values.items()},
        indices=indices,
        code=cache.code_version("fishlib.naming.classifier", "fishlib.photos.matching"),
    )
    entry = cache.entry(study.cache, "outputs", key)
    kept = cache.load(entry) or {}
    whole = all(name in kept and kept[name].shape == (len(x), len(indices)) for name, x in values.items())
    if not whole or "notes" not in kept:
        from fishlib.naming import classifier

        model = classifier.load(study.classifier, study.profile.backbone, study.device, study.profile.seed)
        kept = {name: masked_logits(classifier.logits(model, x), indices) for name, x in values.items()}
        kept["notes"] = np.array(model.notes, dtype=str)
        cache.save(entry, **kept)
    return {name: kept[name] for name in values}, kept["notes"].tolist()


class _Halves(NamedTuple):
    """photos: rows of the manifest (N) of species that can be halved; is_test: bool (N), False where a photo trains;
    too_few: the other species."""

    photos: pd.DataFrame
    is_test: np.ndarray
    too_few: list[str]

    @property
    def judged(self) -> pd.DataFrame:
        """The rows of the photos that do not train."""
        return self.photos[self.is_test]


def _halves(study: Study, photos: pd.DataFrame) -> _Halves:
    """The seeded halves of the photos of each species."""
    _, test_ids, too_few = split_half(photos, study.profile.seed)
    halved = photos[~photos.species.isin(too_few)]
    return _Halves(halved, halved.photo_id.isin(set(test_ids)).to_numpy(), too_few)


def _of_halves(study: Study, halves: _Halves, wanted: list[Variant]) -> list[tuple[pd.DataFrame, list[Variant], str]]:
    """As `looked_at`: figure 3's variants of both halves, then the others of the photos that do not train."""
    source = features_source(study)
    basic = list(BASIC.values())
    others = [variant for variant in wanted if variant not in basic]
    asked = [(halves.photos, basic, source)]
    return [*asked, (halves.judged, others, source)] if others else asked


def _half_split(study: Study, photos: pd.DataFrame, found: pd.DataFrame, wanted: list[Variant]) -> Answers:
    """A linear head trained on the originals of half of each species, asked about the other half."""
    from fishlib.naming import transfer

    settings = study.profile.transfer
    halves = _halves(study, photos)
    is_test, judged = halves.is_test, halves.judged
    species = sorted(halves.photos.species.unique())
    if len(species) < 2:
        raise UserError(f"{study.photos} has fewer than two species with two usable photos; nothing can be compared.")

    source = features_source(study)
    (_, basic, _), *rest = _of_halves(study, halves, wanted)
    every = features.compute(study, halves.photos, found, basic, source)  # figure 3 asks for these as well
    values = {name: x[is_test] for name, x in every.items()}
    for _, others, _ in rest:
        values |= features.compute(study, judged, found, others, source)

    train_rows = np.flatnonzero(~is_test)
    labels = np.array([species.index(name) for name in halves.photos.species])
    weights, biases = transfer.train_heads(
        every[ORIGINAL.name],
        labels,
        train_rows[None],  # one head
        len(species),
        settings.epochs,
        settings.learning_rate,
        [study.profile.seed],
    )
    [weight], [bias] = weights, biases
    logits = {name: x @ np.asarray(weight).T + np.asarray(bias) for name, x in values.items()}

    notes = [
        f"No classifier knows these species: a linear head on {checkpoints.describe(source, study.profile.backbone)} "
        f"was trained on the original photos of half of each species ({len(train_rows)} photos) and is evaluated on "
        f"the other half ({len(judged)} photos)."
    ]
    if halves.too_few:
        notes.append(f"Left out, with a single usable photo: {', '.join(sorted(halves.too_few))}.")
    return Answers(judged, species, logits, notes)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Shares (N, T) that add up to 1 in each row, of logits (N, T)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
