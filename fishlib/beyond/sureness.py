"""How sure is a name: calibration, promises and unknown species, for the namer of a run and each simple input.

The photos are halved by species (whole groups where there are groups). One half fits the temperature, chooses the
input and the thresholds; the other half judges them. Where no classifier knows the species, a head learns from the
first half of each input itself; what that half says of temperature and thresholds comes from heads that did not learn
from the photo (heads.left_out), and the other half is judged by the head that learnt from all of the first.
What comes out is kept, with the head, for new photos (see namer).
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.beyond import calibration, coverage, namer, unknown
from fishlib.errors import UserError
from fishlib.files.frames import write_frame
from fishlib.naming import checkpoints, features, heads, inference
from fishlib.photos.composite import BASIC, variants_of_tables
from fishlib.photos.groups import halves
from fishlib.photos.matching import match_classes
from fishlib.removal.segmenters import own
from fishlib.scores import contrasts, evaluation
from fishlib.scores.confidence import margin, shares, unknown_score
from fishlib.study import Study, stage

PHOTOS = "beyond/sure.csv"  # in the run folder
INPUTS, PROMISES = "beyond/sure_inputs.csv", "beyond/sure_promises.csv"
SPECIES, UNKNOWN = "beyond/sure_species.csv", "beyond/sure_unknown.csv"
PHOTO_COLUMNS = ["photo_id", "species", "variant", "half", "predicted", "confidence", "margin", "unknown_score"]
PHOTO_COLUMNS += ["correct", "check"]
INPUT_COLUMNS = ["variant", "chosen", "n", "percent", "temperature", "ece_as_given", "ece"]
FITS, JUDGED = "fits", "judged"  # what a half is for
FEWEST_SHOTS = 3  # photos a species from which on a temperature is fitted; below it stays 1
EXAMPLE = 95  # the promise that `check` of a photo is about


class Asked(NamedTuple):
    """What a namer says of photos that it did not learn from.

    photos: rows of the manifest (N). species: T names of the outputs. logits: variant -> (N, T). fits: bool (N,), the
    half that chooses. learnt: variant -> head (W (T, D), b (T,)) and what it was made from; {} with a classifier.
    """

    photos: pd.DataFrame
    species: list[str]
    logits: dict[str, np.ndarray]
    fits: np.ndarray
    learnt: dict[str, tuple[np.ndarray, np.ndarray]]
    notes: list[str]

    @property
    def labels(self) -> np.ndarray:
        return np.array([self.species.index(name) for name in self.photos["species"]])


class Sure(NamedTuple):
    """photos: PHOTO_COLUMNS, a row a photo and input. inputs: INPUT_COLUMNS. promises: variant and coverage.HELD.
    species and unknown: of the chosen input, coverage.by_species at EXAMPLE percent and unknown.COLUMNS.
    """

    chosen: str
    photos: pd.DataFrame
    inputs: pd.DataFrame
    promises: pd.DataFrame
    species: pd.DataFrame
    unknown: pd.DataFrame
    notes: list[str]


def run(study: Study, manifest: pd.DataFrame, found: pd.DataFrame, groups: pd.Series | None = None) -> Sure:
    """All of it for a run, also kept in PHOTOS, INPUTS, PROMISES, SPECIES, UNKNOWN and namer.FILE.

    found: the segments of study.method. UserError where fewer than two species can be halved.
    """
    photos, lost = features.usable(manifest, found)
    ask = _classifier if study.classifier else _head
    asked, changed = features.without_changed(study, photos, lambda there: ask(study, there, found, groups))
    grouped = groups is not None
    if asked.fits.all() or not asked.fits.any():
        raise UserError(f"{len(asked.fits)} photos are too few for a half that chooses and a half that is judged.")

    rows = {variant: _photos(asked, variant) for variant in asked.logits}
    chosen, why = _choose(study, rows)
    inputs = [_input(asked, variant, mine, variant == chosen) for variant, mine in rows.items()]
    promises = pd.concat([_promises(variant, mine, grouped) for variant, mine in rows.items()], ignore_index=True)
    judged = rows[chosen][rows[chosen]["half"] == JUDGED]
    at = _threshold(promises, chosen, EXAMPLE)
    species = coverage.by_species(judged["predicted"].tolist(), judged["confidence"], judged["correct"], at, grouped)

    for variant, mine in rows.items():
        mine["check"] = (mine["confidence"] < _threshold(promises, variant, EXAMPLE)).astype(int)
    answer = Sure(
        chosen=chosen,
        photos=pd.concat(rows.values(), ignore_index=True),
        inputs=pd.DataFrame(inputs, columns=INPUT_COLUMNS),
        promises=promises,
        species=species,
        unknown=_unknown(study, asked, chosen, found),
        notes=[*asked.notes, why, *features.told(lost | changed)],
    )
    _keep(study, asked, answer)
    return answer


def _classifier(study: Study, photos: pd.DataFrame, found: pd.DataFrame, groups: pd.Series | None) -> Asked:
    """The classifier's masked outputs, as tables 2 to 4 have them; a half of the photos chooses."""
    species = sorted(photos["species"].unique())
    indices = list(match_classes(species, checkpoints.classes(study.classifier)).values())
    wanted = variants_of_tables(study.profile.composite.backgrounds, study.profile.composite.dilations)
    values = features.compute(study, photos, found, wanted, study.classifier)  # all of them, as notebook 03 kept them
    logits, _ = inference.outputs(study, values, indices)

    train, test, notes = _halved(study, photos, groups)
    kept = photos["photo_id"].isin(train | test).to_numpy()
    fits = photos["photo_id"].isin(train).to_numpy()[kept]
    logits = {variant: logits[variant][kept] for variant in BASIC}
    return Asked(photos[kept].reset_index(drop=True), species, logits, fits, {}, notes)


def _head(study: Study, photos: pd.DataFrame, found: pd.DataFrame, groups: pd.Series | None) -> Asked:
    """A head that learnt from half of the photos of each species, in the input that it is asked about."""
    train, test, notes = _halved(study, photos, groups)
    photos = photos[photos["photo_id"].isin(train | test)].reset_index(drop=True)
    species = sorted(photos["species"].unique())
    labels = np.array([species.index(name) for name in photos["species"]])
    rows = np.flatnonzero(photos["photo_id"].isin(train))
    names = None if groups is None else groups.reindex(photos["photo_id"].iloc[rows]).tolist()
    fold_of = heads.folds(labels[rows], names)
    values = features.compute(study, photos, found, list(BASIC.values()), inference.features_source(study))

    logits, learnt = {}, {}
    for variant, x in values.items():
        weight, bias, left_out = _learn(study, x, labels, rows, fold_of)
        scores = heads.linear_scores(x, weight[None], bias[None])[0]
        scores[rows] = left_out
        logits[variant] = scores
        learnt[variant] = weight, bias

    answered = ~np.isnan(scores).any(axis=1)
    if not answered.all():
        alone = sorted(set(photos["species"][~answered]))
        notes.append(f"Too few photos to be left out of what a head learns from: {', '.join(alone)}.")
    fits = np.isin(np.arange(len(photos)), rows)[answered]
    logits = {variant: scores[answered] for variant, scores in logits.items()}
    return Asked(photos[answered].reset_index(drop=True), species, logits, fits, learnt, notes)


def _halved(study: Study, photos: pd.DataFrame, groups: pd.Series | None) -> tuple[set[str], set[str], list[str]]:
    """(ids of the half that chooses, ids of the half that is judged, notes on species that cannot be halved)."""
    [(train, test, lost)] = halves(photos, study.profile.seed, groups, splits=1)
    halved = photos[photos["photo_id"].isin({*train, *test})]
    if halved["species"].nunique() < 2:
        raise UserError(f"{study.photos} has fewer than two species that can be halved; how sure cannot be said.")
    notes = [f"Not halved, and left out of how sure a name is: {', '.join(sorted(lost))}."] if lost else []
    return set(train), set(test), notes


def _learn(study: Study, x: np.ndarray, labels: np.ndarray, rows: np.ndarray, fold_of: np.ndarray):
    """(W (T, D), b (T,), scores of what was learnt from by heads that did not, (n, T)); cached."""
    from fishlib.naming import transfer  # imports torch

    seed, settings = study.profile.seed, study.profile.transfer
    key = cache.key(
        x=cache.array_hash(x),
        labels=labels.tolist(),
        rows=rows.tolist(),
        folds=fold_of.tolist(),
        epochs=settings.epochs,
        lr=settings.learning_rate,
        seed=seed,
        code=cache.code_version("fishlib.naming.heads", "fishlib.naming.transfer"),
    )
    entry = cache.entry(study.cache, "sure", key)
    n_classes = int(labels.max()) + 1
    with stage(study, "sure") as record:
        kept = cache.load(entry)
        if kept is not None and kept.keys() == {"weight", "bias", "left_out"}:
            record["reused"] += 1
            return kept["weight"], kept["bias"], kept["left_out"]
        head = heads.adam(settings, [seed], study.device)
        [weight], [bias] = transfer.train_heads(
            x, labels, rows[None], n_classes, settings.epochs, settings.learning_rate, [seed], study.device
        )
        [left_out] = heads.left_out(head, x, labels, rows[None], n_classes, fold_of)
        cache.save(entry, weight=weight, bias=bias, left_out=left_out)
        record["computed"] += 1
    return weight, bias, left_out


def _temperature(asked: Asked, variant: str) -> float:
    """Fitted on the half that chooses; 1 for a head that learnt from fewer than FEWEST_SHOTS photos a species."""
    labels = asked.labels[asked.fits]
    if asked.learnt and np.median(np.unique(labels, return_counts=True)[1]) < FEWEST_SHOTS:
        return 1.0
    return calibration.temperature(asked.logits[variant][asked.fits], labels)


def _photos(asked: Asked, variant: str) -> pd.DataFrame:
    """PHOTO_COLUMNS of one input, `check` empty: confidence and margin at the temperature that was fitted."""
    logits = asked.logits[variant]
    chances = shares(logits, _temperature(asked, variant))
    named = np.array(asked.species, dtype=object)[logits.argmax(axis=1)]
    return pd.DataFrame(
        {
            "photo_id": asked.photos["photo_id"],
            "species": asked.photos["species"],
            "variant": variant,
            "half": np.where(asked.fits, FITS, JUDGED),
            "predicted": named,
            "confidence": chances.max(axis=1),
            "margin": margin(chances),
            "unknown_score": unknown_score(logits),
            "correct": (named == asked.photos["species"].to_numpy()).astype(int),
            "check": 1,
        },
        columns=PHOTO_COLUMNS,
    )


def _choose(study: Study, rows: dict[str, pd.DataFrame]) -> tuple[str, str]:
    """(the simplest input that the half that chooses cannot tell from its best, why): exact McNemar, Holm's correction.

    Only inputs that new photos can be brought into: true masks, imported ones and a method of the user's own cannot be
    made for new photos from a run folder alone.
    """
    needs_no_mask = not can_cut(study)
    names = [name for name in rows if name == "original" or not needs_no_mask]
    right = {name: rows[name]["correct"][rows[name]["half"] == FITS].to_numpy() for name in names}
    best = max(names, key=lambda name: right[name].sum())
    others = [name for name in names if name != best]
    p_values = contrasts.holm([evaluation.mcnemar(right[name], right[best])["p_value"] for name in others])
    worse = {name for name, p in zip(others, p_values, strict=True) if p < contrasts.ALPHA}
    simplest = next(name for name in names if name not in worse)
    if needs_no_mask:
        return simplest, f"New photos get no masks from {study.method} by themselves, so they are named as they are."
    return simplest, ""


def can_cut(study: Study) -> bool:
    """Can new photos be cut out as the run's were, by what its folder says alone?"""
    given = study.profile.segmenters.get(study.method, {}).get("masks")
    return study.method != "truth" and study.method not in own.NAMED and ":" not in study.method and not given


def _input(asked: Asked, variant: str, mine: pd.DataFrame, chosen: bool) -> dict:
    """INPUT_COLUMNS on the half that is judged."""
    judged = ~asked.fits
    as_given = shares(asked.logits[variant][judged]).max(axis=1)
    right = mine["correct"].to_numpy()[judged]
    return {
        "variant": variant,
        "chosen": int(chosen),
        "n": int(judged.sum()),
        "percent": 100 * right.mean(),
        "temperature": _temperature(asked, variant),
        "ece_as_given": calibration.expected_error(as_given, right),
        "ece": calibration.expected_error(mine["confidence"].to_numpy()[judged], right),
    }


def _promises(variant: str, mine: pd.DataFrame, grouped: bool) -> pd.DataFrame:
    """variant and coverage.HELD, a row a promise: thresholds of one half on the other."""
    fits, judged = (mine[mine["half"] == half] for half in (FITS, JUDGED))
    rows = []
    for promise in coverage.PROMISES:
        at = coverage.threshold(fits["confidence"].to_numpy(), fits["correct"].to_numpy(), promise)
        rows.append(coverage.held(judged["confidence"].to_numpy(), judged["correct"].to_numpy(), at, promise, grouped))
    return pd.DataFrame(rows, columns=coverage.HELD).assign(variant=variant)


def _threshold(promises: pd.DataFrame, variant: str, promise: int) -> float:
    mine = promises[(promises["variant"] == variant) & (promises["promise"] == promise)]
    return float(mine["threshold"].iloc[0])


def _unknown(study: Study, asked: Asked, variant: str, found: pd.DataFrame) -> pd.DataFrame:
    """unknown.COLUMNS on the half that is judged."""
    if len(asked.species) < 3:  # without one there is nothing left to choose from
        return pd.DataFrame(columns=unknown.COLUMNS)
    judged = ~asked.fits
    labels = asked.labels[judged]
    if not asked.learnt:
        logits = asked.logits[variant][judged]
        return unknown.areas(labels, asked.species, lambda at: np.delete(logits, at, axis=1))

    source = inference.features_source(study)
    x = features.compute(study, asked.photos, found, [BASIC[variant]], source)[variant]
    head = heads.adam(study.profile.transfer, [study.profile.seed], study.device)

    def without(at: int) -> np.ndarray:
        """A head that never saw the species."""
        rest = np.where(asked.labels > at, asked.labels - 1, asked.labels)
        rows = np.flatnonzero(asked.fits & (asked.labels != at))
        return head(x, rest, rows[None], len(asked.species) - 1)[0][judged]

    return unknown.areas(labels, asked.species, without)


def _keep(study: Study, asked: Asked, answer: Sure) -> None:
    """Write the tables, and the namer for new photos."""
    tables = {
        PHOTOS: answer.photos,
        INPUTS: answer.inputs,
        PROMISES: answer.promises,
        SPECIES: answer.species,
        UNKNOWN: answer.unknown,
    }
    for name, frame in tables.items():
        write_frame(frame, study.out / name)
    mine = answer.photos[(answer.photos["variant"] == answer.chosen) & (answer.photos["half"] == FITS)]
    thresholds = {}
    for promise in coverage.PROMISES:
        at = _threshold(answer.promises, answer.chosen, promise)
        thresholds[str(promise)] = at if math.isfinite(at) else None
    settings = namer.Settings(
        variant=answer.chosen,
        species=asked.species,
        source=study.classifier or inference.features_source(study),
        temperature=_temperature(asked, answer.chosen),
        thresholds=thresholds,
        unknown_threshold=unknown.threshold(mine["unknown_score"].to_numpy()),
    )
    namer.keep(study.out, settings, asked.learnt.get(answer.chosen))
