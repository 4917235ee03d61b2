"""Does the sign hold whoever cuts the fish out? The verdict's input once more, with the masks of every rival.

In: the rivals' masks as notebook 02 left them. Out: a row a rival in KEPT, which evidence.of reads. The photos as they
are need no mask, so only the one input passes through the namer again.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from fishlib.beyond import halves
from fishlib.errors import NotRun, UserError
from fishlib.files.frames import read_frame, write_frame
from fishlib.naming import features, inference
from fishlib.photos.composite import BASIC, ORIGINAL, Variant
from fishlib.removal import segmenters, segmenting, segments
from fishlib.study import Study

KEPT = "beyond/cutters.csv"  # in the run folder
COLUMNS = ["cutter", "variant", "n", "difference"]


def run(
    study: Study, manifest: pd.DataFrame, variant: str, groups: pd.Series | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """(COLUMNS, a row a rival; notes on those left out), the rows also kept in KEPT.

    variant: one of composite.BASIC, but not the original. difference: points gained over the originals, by the study's
    classifier, or by heads that learnt from half of the photos in the same input (see halves). A rival that notebook 02
    did not run has no row.
    """
    rows, notes = [], []
    for method in dict.fromkeys(study.profile.compare):
        if method == study.method or not (study.out / "segments" / method / segments.INDEX).is_file():
            continue
        name = segmenters.label(method, study.profile.segmenters.get(method, {}))
        try:
            n, difference = _asked(replace(study, method=method), manifest, BASIC[variant], groups)
        except (NotRun, UserError) as error:
            notes.append(f"Whether the sign holds with {name} as well is left out: {error}")
            continue
        rows.append((name, variant, n, difference))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    write_frame(frame, study.out / KEPT)
    return frame, notes


def read(study: Study, variant: str) -> list[tuple[str, float]]:
    """(cutter, points) of every rival that was asked about this variant; none where nobody asked."""
    path = study.out / KEPT
    if not path.is_file():
        return []
    frame = read_frame(path, COLUMNS)
    mine = frame[frame["variant"] == variant]
    try:
        return list(zip(mine["cutter"], mine["difference"].astype(float), strict=True))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); run notebook 05 again.") from error


def _asked(study: Study, manifest: pd.DataFrame, variant: Variant, groups: pd.Series | None) -> tuple[int, float]:
    """(photos judged, points gained over the originals) with the masks of study.method."""
    found = segmenting.run(study, study.method, manifest)
    if study.classifier is None:
        return halves.gained(study, manifest, found, variant, groups)

    photos, _ = features.usable(manifest, found)
    both = [ORIGINAL, variant]
    answers, _ = features.without_changed(study, photos, lambda there: inference.ask(study, there, found, both))
    right = {name: _right(answers, name) for name in (ORIGINAL.name, variant.name)}
    return len(answers.photos), 100 * float(right[variant.name].mean() - right[ORIGINAL.name].mean())


def _right(answers: inference.Answers, variant: str) -> np.ndarray:
    """Bool (N,): was the photo named right in this variant?"""
    named = np.array(answers.species)[answers.logits[variant].argmax(axis=1)]
    return named == answers.photos["species"].to_numpy()
