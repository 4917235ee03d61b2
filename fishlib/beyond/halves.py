"""Fair contrasts where no classifier knows the species: heads that learnt from what they are asked about.

A head that learnt from originals alone, asked about Crop or Mask, tells what it never saw. Beside it stand heads that
learnt from the same input: Original, Crop, Mask and Crop & Mask each from itself, and the colours and dilations of
tables 3 and 4 from black Crop & Mask, the tables' own question. Every head learns from half of the photos of each
species and is asked about the other half, in SPLITS seeded splits (photos.groups.halves); photos of a group stay on one
side. Nothing here is "without further training".
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from fishlib import cache
from fishlib.errors import UserError
from fishlib.files.frames import write_frame
from fishlib.naming import features, inference
from fishlib.photos.composite import BASIC, CROP_MASK, ORIGINAL, Variant, variants_of_tables
from fishlib.photos.groups import halves
from fishlib.scores import contrasts, evaluation
from fishlib.study import Study, stage

SAME, ORIGINALS = "the same input", "originals"  # what heads learnt from
CONTRASTS, SHARES = "beyond/halves.csv", "beyond/halves_shares.csv"  # in the run folder
SHARE_COLUMNS = ["learnt_from", "variant", "splits", "n", "micro_f1", "macro_f1"]


class Split(NamedTuple):
    """Rows of the photos, int, that learn and that are judged; seed: of the head's first weights."""

    train: np.ndarray
    test: np.ndarray
    seed: int


def run(
    study: Study, manifest: pd.DataFrame, found: pd.DataFrame, groups: pd.Series | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """(contrasts.COLUMNS with learnt_from and splits; SHARE_COLUMNS; notes), also kept in CONTRASTS and SHARES.

    found: the segments of study.method. groups: of the photos, or None. micro_f1 and macro_f1: percent, means over
    splits. UserError where fewer than two species have two photos.
    """
    photos, lost = features.usable(manifest, found)
    answer, changed = features.without_changed(study, photos, lambda there: _asked(study, there, found, groups))
    frame, shares, notes = answer
    write_frame(frame, study.out / CONTRASTS)
    write_frame(shares, study.out / SHARES)
    return frame, shares, notes + features.told(lost | changed)


def gained(
    study: Study, manifest: pd.DataFrame, found: pd.DataFrame, variant: Variant, groups: pd.Series | None = None
) -> tuple[int, float]:
    """(photos that a split judges, points that `variant` gains over the originals), each learnt from itself.

    found: a segments frame of study.method. The mean over the same splits as `run` takes.
    """
    photos, _ = features.usable(manifest, found)
    answer, _ = features.without_changed(study, photos, lambda there: _gained(study, there, found, variant, groups))
    return answer


def _gained(
    study: Study, photos: pd.DataFrame, found: pd.DataFrame, variant: Variant, groups: pd.Series | None
) -> tuple[int, float]:
    splits, _ = _splits(study, photos, groups)
    labels = _labels(photos)
    values = features.compute(study, photos, found, [ORIGINAL, variant], inference.features_source(study))
    percents = []
    for one in (ORIGINAL, variant):
        named = _named(study, values, one.name, one.name, labels, splits)
        percents.append(_share(SAME, one.name, named, labels))
    originals, others = (dict(zip(SHARE_COLUMNS, share, strict=True)) for share in percents)
    return originals["n"], others["micro_f1"] - originals["micro_f1"]


def learns_from(variant: str) -> str:
    """The input that a fair head learnt from, to be asked about this variant."""
    return variant if variant in BASIC else CROP_MASK.name


def _asked(study: Study, photos: pd.DataFrame, found: pd.DataFrame, groups: pd.Series | None):
    wanted = variants_of_tables(study.profile.composite.backgrounds, study.profile.composite.dilations)
    splits, notes = _splits(study, photos, groups)
    labels = _labels(photos)
    values = features.compute(study, photos, found, wanted, inference.features_source(study))

    shares, frames = [], []
    for learnt_from in (SAME, ORIGINALS):
        named = {}  # variant -> int (R, N), the species named, -1 where the photo was not judged
        for variant in values:
            source = learns_from(variant) if learnt_from == SAME else ORIGINAL.name
            named[variant] = _named(study, values, source, variant, labels, splits)
        right = {variant: np.where(named[variant] < 0, np.nan, named[variant] == labels) for variant in named}
        shares += [_share(learnt_from, variant, named[variant], labels) for variant in named]
        for frame in contrasts.from_draws(right).values():
            frames.append(frame.assign(learnt_from=learnt_from, splits=len(splits)))
    return pd.concat(frames, ignore_index=True), pd.DataFrame(shares, columns=SHARE_COLUMNS), notes


def _labels(photos: pd.DataFrame) -> np.ndarray:
    """Int (N,): each photo's species as its place among their sorted names."""
    species = sorted(photos["species"].unique())
    return np.array([species.index(name) for name in photos["species"]])


def _splits(study: Study, photos: pd.DataFrame, groups: pd.Series | None) -> tuple[list[Split], list[str]]:
    """The half-splits of these photos, and which species no split could halve."""
    place = {photo_id: row for row, photo_id in enumerate(photos["photo_id"])}
    splits = []
    left_out = set()
    for at, (train, test, lost) in enumerate(halves(photos, study.profile.seed, groups)):
        left_out |= set(lost)
        seed = study.profile.seed if at == 0 else study.profile.seed + 1000 * at  # the first is table 2's own
        if len({photo_id.split("/")[0] for photo_id in train}) > 1:
            splits.append(Split(np.array([place[p] for p in train]), np.array([place[p] for p in test]), seed))
    if not splits:
        raise UserError(f"{study.photos} has fewer than two species that can be halved; nothing can be compared.")
    notes = []
    if left_out:
        notes.append(f"Left out of a half-split, which cannot halve it: {', '.join(sorted(left_out))}.")
    return splits, notes


def _named(
    study: Study, values: dict[str, np.ndarray], source: str, variant: str, labels: np.ndarray, splits: list[Split]
) -> np.ndarray:
    """Int (R, N): the species that a head which learnt from `source` names each judged photo in `variant`, else -1."""
    settings = study.profile.transfer
    key = cache.key(
        learnt=cache.array_hash(values[source]),
        asked=cache.array_hash(values[variant]),
        labels=labels.tolist(),
        splits=[[split.train.tolist(), split.test.tolist(), split.seed] for split in splits],
        epochs=settings.epochs,
        lr=settings.learning_rate,
        code=cache.code_version("fishlib.naming.transfer"),
    )
    entry = cache.entry(study.cache, "halves", key)
    with stage(study, "halves") as record:
        kept = (cache.load(entry) or {}).get("named")
        if kept is not None and kept.shape == (len(splits), len(labels)):
            record["reused"] += len(splits)
            return kept
        named = np.stack([_ask(study, values[source], values[variant], labels, split) for split in splits])
        cache.save(entry, named=named)
        record["computed"] += len(splits)
        return named


def _ask(study: Study, learnt: np.ndarray, asked: np.ndarray, labels: np.ndarray, split: Split) -> np.ndarray:
    """Int (N,): one head's answers about the photos that it is judged on, -1 for all others."""
    from fishlib.naming import transfer  # imports torch, which a cached run never needs

    settings = study.profile.transfer
    weight, bias = transfer.train_heads(
        learnt,
        labels,
        split.train[None],
        int(labels.max()) + 1,
        settings.epochs,
        settings.learning_rate,
        [split.seed],
        study.device,
    )
    named = np.full(len(labels), -1)
    [answers] = transfer.predict_heads(asked[split.test], weight, bias)
    named[split.test] = answers
    return named


def _share(learnt_from: str, variant: str, named: np.ndarray, labels: np.ndarray) -> tuple:
    """SHARE_COLUMNS of one variant. n: photos that a split judges, the mean, rounded."""
    micro, macro, judged = [], [], []
    for answers in named:
        asked = answers >= 0
        micro.append(evaluation.micro_f1(labels[asked], answers[asked]))
        macro.append(evaluation.macro_f1(labels[asked], answers[asked]))
        judged.append(asked.sum())
    return learnt_from, variant, len(named), round(np.mean(judged)), float(np.mean(micro)), float(np.mean(macro))
